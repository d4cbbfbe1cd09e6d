/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_BPF_COMPILER_H
#define SALLYPORT_BPF_COMPILER_H

#include "lib/constants.h"

#ifndef offsetof
#define offsetof(type, field) __builtin_offsetof(type, field)
#endif

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/*
 * A function that the verifier checks once, for any arguments, instead of once for each way to each call:
 * what has loops in it stays cheap to load. Pointer arguments must be tested for NULL.
 */
#define verified_alone __attribute__((noinline))

/*
 * For functions with a loop that compilers would lay out with its last block in front of its first: the
 * verifier of kernel 6.1 refuses a loop that is closed by falling through. When size counts it is not done.
 */
#define loop_head_first __attribute__((minsize))

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

#define READ_ONCE(field) (*(const volatile __typeof__(field) *)&(field))
#define WRITE_ONCE(field, value) (*(volatile __typeof__(field) *)&(field) = (value))

/* Keeps the compiler from moving memory accesses across it. */
#define compiler_barrier() __asm__ volatile("" ::: "memory")

/*
 * Makes the compiler take a value as it is instead of computing it anew: a bounds check then counts for the
 * very register that is used afterwards (clang 14 recomputes packet + offset, and the verifier takes the
 * second result for another pointer).
 */
#define settle(value) __asm__ volatile("" : "+r"(value))

/*
 * value & mask, done where it is written: the compiler, which may know that it changes nothing, does not
 * drop it, and the verifier, which does not know, learns the bound. `mask` is a constant.
 */
#ifdef __bpf__
#define mask_for_verifier(value, mask)                                                                       \
	({                                                                                                   \
		__u64 masked_ = (value);                                                                     \
		__asm__ volatile("%0 &= %1" : "+r"(masked_) : "i"(mask));                                    \
		masked_;                                                                                     \
	})
#else
#define mask_for_verifier(value, mask) ((value) & (mask))
#endif

/*
 * Comparisons without a branch, for loops: the verifier follows both ways of a branch in each round, and forgets none
 * of what they have led to. What is settled the compiler cannot take for the comparison that it is.
 */
static __always_inline __u64 is_not_zero(__u64 value)
{
	__u64 negative = -value;

	settle(negative);
	return (value | negative) >> 63;
}

static __always_inline __u64 is_less(__u32 a, __u32 b)
{
	__u64 difference = (__u64)a - b;

	settle(difference);
	return difference >> 63;
}

#endif

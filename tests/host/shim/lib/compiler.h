/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The programs' accessors with a pause in each, so that threads meet in the narrow places between
 * them: left alone, two cores interleave too coarsely. In a build without pauses this changes
 * nothing.
 */
#include_next "lib/compiler.h"

#ifndef SALLYPORT_TEST_COMPILER_H
#define SALLYPORT_TEST_COMPILER_H

#include "host/runtime.h"

#ifdef HOST_PAUSES

/* Takes out the check of a view, or of a copy: the entry always seems to have been one flow's. */
#if defined(HOST_WITHOUT_CHECK)
#define HOST_SEES_ONE(text) (__builtin_strcmp(text, "seen->flow_id") == 0)
#elif defined(HOST_MIXED_COPIES)
#define HOST_SEES_ONE(text) (__builtin_strcmp(text, "copied->flow_id") == 0)
#else
#define HOST_SEES_ONE(text) 0
#endif

#undef READ_ONCE
#define READ_ONCE(field)                                                                                     \
	({                                                                                                   \
		host_pause();                                                                                \
		HOST_SEES_ONE(#field) ? (__typeof__(field))1                                                 \
				      : *(const volatile __typeof__(field) *)&(field);                       \
	})

#undef WRITE_ONCE
#define WRITE_ONCE(field, value)                                                                             \
	do {                                                                                                 \
		host_pause();                                                                                \
		*(volatile __typeof__(field) *)&(field) = (value);                                           \
	} while (0)

#undef compiler_barrier
#define compiler_barrier()                                                                                   \
	do {                                                                                                 \
		__asm__ volatile("" ::: "memory");                                                           \
		host_pause();                                                                                \
		__asm__ volatile("" ::: "memory");                                                           \
	} while (0)

#define __sync_fetch_and_add(at, value)                                                                      \
	({                                                                                                   \
		host_pause();                                                                                \
		__typeof__(*(at)) before_ = __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);                 \
		host_pause();                                                                                \
		before_;                                                                                     \
	})
#define __sync_fetch_and_or(at, value)                                                                       \
	({                                                                                                   \
		host_pause();                                                                                \
		__typeof__(*(at)) before_ = __atomic_fetch_or(at, value, __ATOMIC_SEQ_CST);                  \
		host_pause();                                                                                \
		before_;                                                                                     \
	})
#define __sync_fetch_and_and(at, value)                                                                      \
	({                                                                                                   \
		host_pause();                                                                                \
		__typeof__(*(at)) before_ = __atomic_fetch_and(at, value, __ATOMIC_SEQ_CST);                 \
		host_pause();                                                                                \
		before_;                                                                                     \
	})

#endif
#endif

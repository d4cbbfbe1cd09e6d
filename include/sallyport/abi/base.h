/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ground that all shared headers stand on. They are plain C, and both compilers read them:
 * clang for the BPF programs and g++ for the agent, so that a layout is written down once.
 *
 * Fields are of fixed width; __be16 and __be32 are in network order, all else in host order.
 * Padding is explicit and zero, because map keys are compared as bytes.
 */
#ifndef SALLYPORT_ABI_BASE_H
#define SALLYPORT_ABI_BASE_H

#include <linux/types.h>

#ifdef __cplusplus
#define ABI_ASSERT(condition) static_assert(condition, #condition)
#else
#define ABI_ASSERT(condition) _Static_assert(condition, #condition)
#endif

#define ABI_ASSERT_SIZE(type, size) ABI_ASSERT(sizeof(type) == (size))
#define ABI_ASSERT_OFFSET(type, field, offset) ABI_ASSERT(__builtin_offsetof(type, field) == (offset))

#endif

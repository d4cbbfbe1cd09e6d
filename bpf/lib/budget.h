/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* So many per second, and a number of them at once. */
#ifndef SALLYPORT_BPF_BUDGET_H
#define SALLYPORT_BPF_BUDGET_H

#include "lib/compiler.h"
#include "sallyport/abi/maps.h"

#define SECOND_NS 1000000000ULL

/*
 * Takes one out of the budget if there is one. It costs as many tokens as a second has nanoseconds, and each
 * nanosecond brings the rate. Processors that share a budget may now and then spend the same token.
 */
static __always_inline int budget_take(struct budget *budget, __u64 now, __u64 per_second, __u64 at_once)
{
	__s64 elapsed = now - budget->refilled_ns;
	__u64 tokens, most = at_once * SECOND_NS;

	if (elapsed < 0) /* another processor was a moment ahead */
		elapsed = 0;
	if (elapsed > (__s64)SECOND_NS)
		elapsed = SECOND_NS;
	tokens = budget->tokens + elapsed * per_second;
	if (tokens > most)
		tokens = most;
	budget->refilled_ns = now;
	budget->tokens = tokens < SECOND_NS ? tokens : tokens - SECOND_NS;
	return tokens >= SECOND_NS;
}

#endif

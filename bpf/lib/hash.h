/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * NH (Black et al., UMAC): two keys collide with a chance of 2^-32 whoever chooses them, because the seed
 * is secret. Multiply-and-xor hashes are faster by nothing and can be collided without knowing the seed.
 */
#ifndef SALLYPORT_BPF_HASH_H
#define SALLYPORT_BPF_HASH_H

#include "lib/compiler.h"

static __always_inline __u64 keyed_hash(__u64 addresses, __u64 rest)
{
	__u64 hash;

	hash = (__u64)(__u32)(addresses + hash_seed[0]) * (__u32)((addresses >> 32) + hash_seed[1]) +
	       (__u64)(__u32)(rest + hash_seed[2]) * (__u32)((rest >> 32) + hash_seed[3]);
	/* Spread, so that each part of it depends on every bit. */
	hash ^= hash >> 32;
	hash *= 0x9e3779b97f4a7c15ULL;
	hash ^= hash >> 32;
	return hash;
}

#endif

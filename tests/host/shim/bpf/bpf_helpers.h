/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * libbpf's bpf_helpers.h for a program that runs on the host: the same names, on ordinary memory.
 *
 * A map is declared as for BPF: a struct of pointers whose types say everything about it. Nobody
 * reads those pointers there, so here they carry what is only known at run time: `value` points at
 * the elements (or at a struct host_map), and `max_entries` holds their number.
 */
#ifndef SALLYPORT_TEST_BPF_HELPERS_H
#define SALLYPORT_TEST_BPF_HELPERS_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/runtime.h"

#define SEC(name)
#define __uint(name, number) int(*name)[number]
#define __type(name, of) __typeof__(of) *name

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif

#define HOST_MAP_TYPE(map) ((int)(sizeof(*(map)->type) / sizeof(int)))

/* A map that nobody has made: whoever adds one to lib/maps.h adds it to host/maps.h as well. */
static inline void *host_made(const char *map, const volatile void *value)
{
	if (!value) {
		fprintf(stderr, "%s: the host has no such map\n", map);
		abort();
	}
	return (void *)value;
}

static inline void *host_lookup(int type, void *value, uintptr_t count, size_t size, const void *key)
{
	uint32_t index;

	if (type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY) {
		index = *(const uint32_t *)key;
		if (index >= count)
			return NULL;
		if (type == BPF_MAP_TYPE_PERCPU_ARRAY)
			index += host_thread() * (uint32_t)count;
		return (char *)value + index * size;
	}
	return host_map_lookup(value, key);
}

static inline long host_update(int type, void *value, uintptr_t count, size_t size, const void *key,
			       const void *new_value, uint64_t flags)
{
	void *element;

	if (type != BPF_MAP_TYPE_ARRAY && type != BPF_MAP_TYPE_PERCPU_ARRAY)
		return host_map_update(value, key, new_value, flags);
	element = host_lookup(type, value, count, size, key);
	if (!element)
		return -E2BIG;
	memcpy(element, new_value, size);
	return 0;
}

#define bpf_map_lookup_elem(map, key_)                                                                       \
	host_lookup(HOST_MAP_TYPE(map), host_made(#map, (map)->value), (uintptr_t)(map)->max_entries,        \
		    sizeof(*(map)->value), key_)
#define bpf_map_update_elem(map, key_, value_, flags)                                                        \
	host_update(HOST_MAP_TYPE(map), host_made(#map, (map)->value), (uintptr_t)(map)->max_entries,        \
		    sizeof(*(map)->value), key_, value_, flags)
#define bpf_map_delete_elem(map, key_) host_map_delete(host_made(#map, (map)->value), key_)

/* The lock of the flow table: a spin lock that lets others run when it is held for long. */
#ifdef HOST_WITHOUT_LOCK
static inline void bpf_spin_lock(struct bpf_spin_lock *lock)
{
	(void)lock;
	host_pause();
}

static inline void bpf_spin_unlock(struct bpf_spin_lock *lock)
{
	(void)lock;
	host_pause();
}
#else
static inline void bpf_spin_lock(struct bpf_spin_lock *lock)
{
	host_pause();
	while (__atomic_exchange_n(&lock->val, 1, __ATOMIC_ACQUIRE))
		host_yield();
	host_pause();
}

static inline void bpf_spin_unlock(struct bpf_spin_lock *lock)
{
	host_pause();
	__atomic_store_n(&lock->val, 0, __ATOMIC_RELEASE);
	host_pause();
}
#endif

static inline long bpf_loop(uint32_t times, long (*step)(uint32_t, void *), void *context, uint64_t flags)
{
	uint32_t i;

	(void)flags;
	for (i = 0; i < times; i++)
		if (step(i, context))
			return i + 1;
	return i;
}

/* The sum of all words of `to`, less those of `from`: as the kernel's, which asks for multiples of four bytes. */
static inline int64_t host_csum_diff(const void *from, uint32_t from_size, const void *to, uint32_t to_size,
				     uint32_t seed)
{
	uint64_t sum = seed;
	uint32_t word;

	if (from_size % 4 || to_size % 4)
		return -EINVAL;
	for (uint32_t at = 0; at < from_size; at += 4) {
		memcpy(&word, (const char *)from + at, 4);
		sum += ~word;
	}
	for (uint32_t at = 0; at < to_size; at += 4) {
		memcpy(&word, (const char *)to + at, 4);
		sum += word;
	}
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (uint32_t)((sum & 0xffffffff) + (sum >> 32));
}

#define bpf_csum_diff host_csum_diff
#define bpf_get_prandom_u32() ((__u32)host_random())
#define bpf_ktime_get_coarse_ns() host_clock_ns()
#define bpf_ktime_get_ns() host_clock_ns()
#define bpf_jiffies64() (host_clock_ns() / 4000000)

/* Drop events are counted; what is told to the agent beside them is not. */
#define bpf_ringbuf_reserve(map, size, flags)                                                                \
	host_event_reserve(size, (const void *)(map) == (const void *)&drop_events)
#define bpf_ringbuf_submit(event, flags) ((void)(event))
#define bpf_ringbuf_output(map, data, size, flags) ((void)(map), (void)(data), (long)((size) == 0))
#define bpf_redirect_map(map, slot, flags)                                                                   \
	host_redirect((const void *)(map)->value, (uintptr_t)(map)->max_entries, slot, flags)
#define bpf_fib_lookup(context, parameters, size, flags) host_fib_lookup(parameters, flags)
#define bpf_xdp_adjust_head(context, by) host_adjust_head(context, by)
#define bpf_xdp_adjust_tail(context, by) host_adjust_tail(context, by)
#define bpf_xdp_load_bytes(context, offset, to, size) host_load_bytes(context, offset, to, size)
#define bpf_xdp_store_bytes(context, offset, from, size) host_store_bytes(context, offset, from, size)

#endif

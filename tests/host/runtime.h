/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What takes the kernel's place under the programs' C on the host. */
#ifndef SALLYPORT_TEST_RUNTIME_H
#define SALLYPORT_TEST_RUNTIME_H

/* NOLINTBEGIN(readability-identifier-naming): names of C */

#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HOST_THREADS_MAX 64 /* each has what a processor has: its own workspace and counters */

/* Memory of an array map of `count` elements, zero; a per-CPU one has HOST_THREADS_MAX times as many. */
void *host_array_new(size_t bytes);

/* Maps other than arrays: hash tables, those that let go of the oldest, and tries of prefixes. All functions
 * may be called by any thread. */
enum host_map_kind { HOST_HASH, HOST_LRU, HOST_PREFIXES };
struct host_map;
struct host_map *host_map_new(enum host_map_kind kind, size_t key_bytes, size_t value_bytes,
			      size_t max_entries);
void host_map_free(struct host_map *map);
/* An element stays readable after it was deleted, as in the kernel; until host_map_forget(). */
void *host_map_lookup(struct host_map *map, const void *key);
long host_map_update(struct host_map *map, const void *key, const void *value, uint64_t flags);
long host_map_delete(struct host_map *map, const void *key);
void host_map_forget(struct host_map *map);
void host_map_clear(struct host_map *map); /* and forgets */
size_t host_map_count(struct host_map *map);

/* State of one thread, which stands for one processor. */
struct host_processor {
	uint32_t number;
	uint32_t pauses; /* one access in this many is followed by a pause; 0: none */
	uint64_t random;
};
extern __thread struct host_processor host_processor;
extern uint64_t host_now_ns;

static inline uint32_t host_thread(void)
{
	return host_processor.number;
}

/* 32 bits; no narrower type, so that C and C++ need no cast of different styles. */
static inline uint64_t host_random(void)
{
	uint64_t x = host_processor.random;

	/* xorshift64* */
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	host_processor.random = x;
	return (x * 0x2545f4914f6cdd1dULL) >> 32;
}

static inline uint64_t host_clock_ns(void)
{
	return __atomic_load_n(&host_now_ns, __ATOMIC_RELAXED);
}

static inline void host_yield(void)
{
	sched_yield();
}

/* Now and then lets another thread run, or waits for as long as a cache miss or a short interrupt
 * takes. */
static inline void host_pause(void)
{
#ifdef HOST_PAUSES
	uint64_t chance;

	if (!host_processor.pauses)
		return;
	chance = host_random();
	if (chance % host_processor.pauses)
		return;
	chance = host_random();
	if (chance % 8 == 0)
		host_yield();
	else
		for (chance = chance / 8 % 1024; chance; chance--)
			__asm__ volatile("" ::: "memory");
#endif
}

/*
 * The frame that a program works on. There is one in a process, so one thread runs packets. Its memory is
 * exactly as large as the frame as far as AddressSanitizer is concerned: an access of one byte too far is
 * an error.
 */
struct xdp_md;
#define HOST_FRAME_MAX 3520
void host_frame_load(struct xdp_md *context, const void *frame, size_t bytes);
long host_adjust_head(struct xdp_md *context, int by);
long host_adjust_tail(struct xdp_md *context, int by);
long host_load_bytes(const struct xdp_md *context, uint32_t offset, void *to, uint32_t bytes);
long host_store_bytes(const struct xdp_md *context, uint32_t offset, const void *from, uint32_t bytes);
long host_redirect(const void *devices, size_t count, uint32_t slot, uint64_t flags);
/* The slot that the last redirect named. */
extern uint32_t host_redirected_to;

/* The kernel's routing; whoever runs packets says what it is. `flags` are those of bpf_fib_lookup(). */
struct bpf_fib_lookup;
extern long (*host_fib_lookup)(struct bpf_fib_lookup *parameters, uint32_t flags);

/* A ring buffer with room for one event at a time. */
extern uint64_t host_events; /* submitted so far */
void *host_event_reserve(size_t bytes, int counts);
const void *host_event_last(void);

#ifdef __cplusplus
}
#endif
/* NOLINTEND(readability-identifier-naming) */

#endif

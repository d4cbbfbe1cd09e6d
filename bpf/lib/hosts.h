/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What each instance holds of a NAT gateway that limits it: flows, external ports, and new flows per second.
 * Asked only when a flow begins or ends, and only where there are limits.
 *
 * All of an instance's numbers change under the lock of its bucket, so a limit is exact however many processors
 * open flows at once. A flow that was counted carries FLOW_COUNTED and gives back at its end what it took, whatever
 * the configuration is by then. An instance that holds nothing gives its place to the next: nobody tidies up.
 */
#ifndef SALLYPORT_BPF_HOSTS_H
#define SALLYPORT_BPF_HOSTS_H

#include "lib/clock.h"
#include "lib/compiler.h"
#include "lib/maps.h"

#define HOST_NONE HOST_BUCKET_ENTRIES /* the last number that its bits can say */
_Static_assert(!(HOST_NONE & (HOST_NONE + 1)), "a place is masked with it");
#define NANOSECONDS_PER_SECOND 1000000000ULL

struct host_key {
	__be32 address;
	__u16 zone;
	__u16 nat_gateway;
};

static __always_inline struct host_bucket *host_bucket_of(const struct host_key *key)
{
	__u64 hash = *(const __u64 *)key * 0x9e3779b97f4a7c15ULL + hash_seed[1];
	__u32 index;

	hash = (hash ^ hash >> 32) * 0xbf58476d1ce4e5b9ULL;
	index = (hash >> 32) * ((__u64)flow_regions * HOST_BUCKETS_PER_REGION) >> 32;
	return bpf_map_lookup_elem(&hosts, &index);
}

/* 0 where it is the instance's. */
static __always_inline __u64 host_difference(const struct host *host, const struct host_key *key)
{
	return (host->address ^ key->address) | (host->zone ^ key->zone) |
	       (host->nat_gateway ^ key->nat_gateway);
}

/* 0 where it is nobody's: nothing is held, and the rate of new flows has nothing to remember. */
static __always_inline __u64 host_use(const struct host *host, __u64 now)
{
	return host->flows | host->ports | (now - host->next_ns) >> 63;
}

/*
 * `number` where `value` is 0, else `otherwise`. With a branch, the verifier would follow each place that an
 * instance and a free place may have together, which took a third of all that it looked at.
 */
static __always_inline __u32 number_if_zero(__u64 value, __u32 number, __u32 otherwise)
{
	__u64 mask = is_not_zero(value) - 1;

	return (number & mask) | (otherwise & ~mask);
}

/*
 * The rate, by the time at which the next flow would be due if they came evenly (the generic cell rate
 * algorithm): a second's worth may come at once.
 */
static __always_inline int host_is_early(const struct host *host, __u32 per_second, __u64 now)
{
	return host->next_ns > now &&
	       host->next_ns - now > NANOSECONDS_PER_SECOND - NANOSECONDS_PER_SECOND / per_second;
}

static __always_inline int host_refusal(const struct host *host, const struct host_limits *limits,
					__u32 flows, __u32 ports, __u64 now)
{
	if (flows && limits->flows && host->flows >= limits->flows)
		return DROP_FLOW_LIMIT;
	if (ports && limits->ports && host->ports >= limits->ports)
		return DROP_PORT_LIMIT;
	if (flows && limits->new_flows_per_second && host_is_early(host, limits->new_flows_per_second, now))
		return DROP_NEW_FLOW_RATE;
	return 0;
}

/* Beside a reason: the instance was told of a refusal within this tick. */
#define HOST_IS_TOLD 0x100

/*
 * Takes `flows` and `ports`, 0 or 1 each, for the instance of work->wish. Returns 0, or the reason why it may not
 * have them. Without room to count an instance it is refused: a limit must not be escaped by being many.
 */
verified_alone int host_take(__u32 flows, __u32 ports)
{
	__u32 zero = 0, owner = workspace_owner, number, found = HOST_NONE, unused = HOST_NONE;
	struct workspace *work = bpf_map_lookup_elem(&workspaces, &owner);
	struct settings *current = bpf_map_lookup_elem(&settings, &zero);
	const struct host_limits *limits;
	struct host_key key = {};
	struct host_bucket *bucket;
	struct host *host;
	__u64 now, due;
	__u32 tick;
	int result;

	if (!work || !current)
		return DROP_INTERNAL_ERROR;
	number = work->wish.nat_gateway;
	key.address = work->wish.key.source;
	key.zone = work->wish.key.zone;
	key.nat_gateway = number;
	limits = bpf_map_lookup_elem(&host_limits, &number);
	bucket = host_bucket_of(&key);
	if (!limits || !bucket)
		return DROP_INTERNAL_ERROR;
	now = clock_ns(current) + current->clock_offset_ns;
	tick = work->wish.now;

	bpf_spin_lock(&bucket->lock);
	for (__u32 i = 0; i < HOST_BUCKET_ENTRIES; i++) {
		found = number_if_zero(host_difference(&bucket->host[i], &key), i, found);
		unused = number_if_zero(host_use(&bucket->host[i], now), i, unused);
	}
	/* Kernel 6.1 has forgotten it: a comparison of 32 bits, which follows, tells it nothing of the others. */
	found = mask_for_verifier(found, HOST_NONE);
	unused = mask_for_verifier(unused, HOST_NONE);
	result = DROP_HOST_TABLE_FULL;
	if (found == HOST_NONE) {
		found = unused;
		if (found >= HOST_BUCKET_ENTRIES)
			goto unlock;
		host = &bucket->host[found];
		host->address = key.address;
		host->zone = key.zone;
		host->nat_gateway = key.nat_gateway;
		host->flows = 0;
		host->ports = 0;
		host->next_ns = 0;
		host->told = tick - 1;
	}
	if (found >= HOST_BUCKET_ENTRIES) /* it is not; the verifier wants to see it */
		goto unlock;
	host = &bucket->host[found];
	result = host_refusal(host, limits, flows, ports, now);
	if (result) {
		if (host->told == tick)
			result |= HOST_IS_TOLD;
		host->told = tick;
		goto unlock;
	}
	host->flows += flows;
	host->ports += ports;
	if (flows && limits->new_flows_per_second) {
		due = host->next_ns > now ? host->next_ns : now;
		host->next_ns = due + NANOSECONDS_PER_SECOND / limits->new_flows_per_second;
	}
unlock:
	bpf_spin_unlock(&bucket->lock);
	return result;
}

/* Gives back what was taken. A new flow that came to nothing counts for the rate all the same. */
verified_alone int host_give(__be32 address, __u32 zone, __u32 nat_gateway, __u32 flows, __u32 ports)
{
	struct host_key key = { .address = address, .zone = zone, .nat_gateway = nat_gateway };
	struct host_bucket *bucket = host_bucket_of(&key);
	int done = 0;

	if (!bucket)
		return 0;
	bpf_spin_lock(&bucket->lock);
	for (__u32 i = 0; i < HOST_BUCKET_ENTRIES; i++) {
		struct host *host = &bucket->host[i];

		if (host_difference(host, &key))
			continue;
		host->flows -= host->flows < flows ? host->flows : flows;
		host->ports -= host->ports < ports ? host->ports : ports;
		done = 1;
	}
	bpf_spin_unlock(&bucket->lock);
	return done;
}

#endif

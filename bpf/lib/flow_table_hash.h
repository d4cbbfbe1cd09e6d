/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The functions of flow_table.h on BPF_MAP_TYPE_HASH: the oracle of the tests and the baseline of the
 * benchmark, never installed. The kernel's table gives no slot numbers: peers are found by key, and
 * peer_slot holds the zone of the instance, which a reverse entry would not know otherwise. A hash map
 * gives no critical section over two elements either: state changes of one flow are not serialised.
 */
#ifndef SALLYPORT_BPF_FLOW_TABLE_HASH_H
#define SALLYPORT_BPF_FLOW_TABLE_HASH_H

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* set by the loader */
	__type(key, struct flow_key);
	__type(value, struct flow_entry);
} flow_hash SEC(".maps");

static __always_inline struct flow_entry *flow_find(const struct flow_key *key, struct flow_view *view)
{
	struct flow_entry *entry = bpf_map_lookup_elem(&flow_hash, key);

	if (entry)
		flow_view_copy(view, entry);
	return entry;
}

/* One lookup finds all that there is. */
static __always_inline struct flow_entry *flow_find_seated(const struct flow_key *key, struct flow_view *view)
{
	return flow_find(key, view);
}

static __always_inline struct flow_entry *flow_find_on_little_stack(const struct flow_key *key,
								    struct flow_view *view)
{
	return flow_find_seated(key, view);
}

static __always_inline __u32 flow_find_further(const struct flow_key *key, struct flow_view *view)
{
	return 0;
}

static __always_inline struct flow_entry *flow_standing(const struct flow_key *key, __u32 slot)
{
	return bpf_map_lookup_elem(&flow_hash, key);
}

/* There are no slots: the reaper, which names flows by them, finds nothing. */
static __always_inline struct flow_entry *flow_at_slot(__u32 slot)
{
	return NULL;
}

static __always_inline struct flow_entry *flow_peer(const struct flow_entry *entry)
{
	struct flow_key key = entry->key;
	struct flow_entry *peer;

	if (entry->key.kind == FLOW_KIND_PERMIT)
		return NULL;
	if (entry->flags & FLOW_FORWARD) {
		key.source = entry->key.destination;
		key.source_port = entry->key.destination_port;
		key.destination = entry->new_address;
		key.destination_port = entry->new_port;
		key.zone = ZONE_OUTSIDE;
		if (entry->key.kind == FLOW_KIND_MAPPING) {
			key.source = 0;
			key.source_port = 0;
		}
	} else {
		key.source = entry->new_address;
		key.source_port = entry->new_port;
		key.destination = entry->key.source;
		key.destination_port = entry->key.source_port;
		key.zone = entry->peer_slot;
	}
	peer = bpf_map_lookup_elem(&flow_hash, &key);
	if (!peer && entry->key.kind == FLOW_KIND_MAPPING && !(entry->flags & FLOW_FORWARD)) {
		key.destination = entry->key.destination; /* a mapping of one flow alone */
		key.destination_port = entry->key.destination_port;
		peer = bpf_map_lookup_elem(&flow_hash, &key);
	}
	return peer && peer->flow_id == entry->flow_id ? peer : NULL;
}

verified_alone int flow_insert(const struct flow_entry *new, __u32 *slot)
{
	long error;

	if (!new || !slot)
		return FLOW_FULL;
	error = bpf_map_update_elem(&flow_hash, &new->key, new, BPF_NOEXIST);

	*slot = 0;
	return !error ? FLOW_INSERTED : error == -17 /* EEXIST */ ? FLOW_EXISTS : FLOW_FULL;
}

verified_alone int flow_remove(const struct flow_entry *known, int removal, __u32 now,
			       struct flow_entry *removed)
{
	struct flow_entry *entry, *peer;
	struct flow_key key;
	__u32 flow_id;

	if (!known || !removed)
		return 0;
	key = known->key;
	flow_id = known->flow_id;
	entry = bpf_map_lookup_elem(&flow_hash, &key);
	if (!entry || entry->flow_id != flow_id)
		return 0;
	if (removal == FLOW_REMOVE_EXPIRED) {
		peer = flow_peer(entry);
		if (!flow_past(entry, now) || (peer && !flow_past(peer, now)))
			return 0;
	}
	if (removal == FLOW_REMOVE_UNREFERENCED && entry->references)
		return 0;
	*removed = *entry;
	return bpf_map_delete_elem(&flow_hash, &key) == 0;
}

verified_alone int flow_reference(const struct flow_key *key, __u32 now, __u32 timeout,
				  struct flow_entry *copy)
{
	struct flow_entry *entry;

	if (!key || !copy)
		return 0;
	entry = bpf_map_lookup_elem(&flow_hash, key);
	if (!entry || (entry->state == MAPPING_RESTING && flow_past(entry, now)))
		return 0;
	*copy = *entry;
	__sync_fetch_and_add(&entry->references, 1);
	entry->state = MAPPING_IN_USE;
	entry->timeout = timeout;
	entry->last_seen = now;
	return 1;
}

verified_alone int flow_unreference(const struct flow_key *key, __u32 flow_id, __u32 rest, __u32 now)
{
	struct flow_entry *entry;

	if (!key)
		return FLOW_REFERENCES_UNKNOWN;
	entry = bpf_map_lookup_elem(&flow_hash, key);
	if (!entry || entry->flow_id != flow_id)
		return FLOW_REFERENCES_UNKNOWN;
	return flow_entry_unreference(entry, rest, now);
}

static __always_inline int flow_join(__u32 reverse_slot, __u32 forward_slot, __u32 flow_id)
{
	return 1;
}

static __always_inline __u32 flow_peer_reference(__u32 slot, __u16 zone)
{
	return zone;
}

static __always_inline struct flow_lock *flow_state_lock(const struct flow_entry *forward)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&flow_locks, &zero);
}

static __always_inline void flow_state_begin(struct flow_lock *lock)
{
}

static __always_inline void flow_state_end(struct flow_lock *lock)
{
}

static __always_inline int flow_make_room(const struct flow_key *key, __u32 now, struct flow_entry *victim)
{
	return 0;
}

#endif

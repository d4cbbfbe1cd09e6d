/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow table (memory layout: include/sallyport/abi/flow.h; why it looks so: bpf/README.md).
 *
 * A key's hash gives a region of 64 buckets and two buckets in it. The region's lock covers both, so an
 * insert that must find nothing equal is one critical section. Readers take no lock: they note the entry's
 * flow_id, copy what they need and look at the flow_id again. It is random, the last thing that is written
 * into a new entry and the first that is taken from an old one.
 *
 * What this file promises:
 *  - a key is in the table at most once;
 *  - a view that flow_find() returns was whole: it belongs to its key and is no mixture of two entries;
 *  - an entry never moves, so a slot number and a flow_id name it for as long as it lives.
 *
 * The same functions on a kernel hash map, for comparison, are in flow_table_hash.h.
 */
#ifndef SALLYPORT_BPF_FLOW_TABLE_H
#define SALLYPORT_BPF_FLOW_TABLE_H

#include "lib/clock.h"
#include "lib/compiler.h"
#include "lib/hash.h"
#include "lib/maps.h"

enum flow_insert_result {
	FLOW_INSERTED,
	FLOW_EXISTS, /* the entry that stands in the way is given */
	FLOW_FULL,
};

/* What is left of a mapping's, block's or permit's references when one is given back. */
enum flow_references {
	FLOW_REFERENCES_UNKNOWN, /* it is gone, or it is another */
	FLOW_REFERENCES_LEFT,
	FLOW_REFERENCES_NONE,
};

/* What must hold, under the lock, for an entry to be removed. */
enum flow_removal {
	FLOW_REMOVE_ANY,
	FLOW_REMOVE_EXPIRED,	  /* this entry and its peer are past their timeout */
	FLOW_REMOVE_UNREFERENCED, /* a mapping or permit that no flow uses */
};

static __always_inline int flow_key_equal(const struct flow_key *a, const struct flow_key *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[0] == y[0] && x[1] == y[1];
}

static __always_inline int flow_unused(const struct flow_entry *entry, __u32 now)
{
	return clock_age(now, READ_ONCE(entry->last_seen)) > (__u32)entry->timeout
								     << FLOW_TICKS_PER_TIMEOUT_SHIFT;
}

/*
 * May it go, as far as its own time is concerned? A block, and a permit, lives as long as flows refer to it: they give
 * their references back when they are ended, which may be late where no agent runs.
 */
static __always_inline int flow_past(const struct flow_entry *entry, __u32 now)
{
	if (unlikely(entry->key.kind >= FLOW_KIND_PERMIT) && READ_ONCE(entry->references) &&
	    (entry->key.kind == FLOW_KIND_PERMIT || entry->flags & FLOW_FORWARD))
		return 0;
	return flow_unused(entry, now);
}

static __always_inline void flow_view_copy(struct flow_view *view, const struct flow_entry *entry)
{
	/* Three loads of eight bytes; the layout of both structs is asserted where they stand. */
	const __u64 *from = (const __u64 *)entry;
	__u64 *to = (__u64 *)view;

	to[0] = READ_ONCE(from[2]);
	to[1] = READ_ONCE(from[3]);
	to[2] = READ_ONCE(from[5]);
}

/*
 * Keeps accesses before it before those after it, where the processor does not do so by itself. An entry is
 * read before all that is in it and written after it, so the barrier may as well use its line.
 */
static __always_inline void flow_entry_barrier(struct flow_entry *entry)
{
	compiler_barrier();
	if (weakly_ordered_memory)
		__sync_fetch_and_add(&entry->bytes, 0);
	compiler_barrier();
}

/*
 * Copies an entry that others may change meanwhile. What is copied is whole, or, if the entry changed hands, has
 * flow_id 0 and so names no flow: a mixture of two flows would take the wrong port when it is ended. Returns whether
 * it is whole.
 */
static __always_inline int flow_entry_copy(struct flow_entry *copy, struct flow_entry *copied)
{
	const __u64 *from = (const __u64 *)copied;
	__u64 *to = (__u64 *)copy;
	__u32 flow_id = READ_ONCE(copied->flow_id);

	flow_entry_barrier(copied);
	for (int i = 0; i < (int)(sizeof(*copy) / sizeof(*to)); i++)
		to[i] = READ_ONCE(from[i]);
	flow_entry_barrier(copied);
	if (READ_ONCE(copied->flow_id) != flow_id)
		copy->flow_id = 0;
	return copy->flow_id != 0;
}

/* One reference less, or the beginning of a mapping's rest: see flow_unreference(). Under the lock. */
static __always_inline int flow_entry_unreference(struct flow_entry *entry, __u32 rest, __u32 now)
{
	if (!rest) {
		if (!entry->references)
			return FLOW_REFERENCES_UNKNOWN;
		return --entry->references ? FLOW_REFERENCES_LEFT : FLOW_REFERENCES_NONE;
	}
	if (entry->references || entry->state == MAPPING_RESTING)
		return FLOW_REFERENCES_LEFT;
	if (flow_past(entry, now)) /* nobody has tidied up for so long that it has rested already */
		return FLOW_REFERENCES_UNKNOWN;
	entry->state = MAPPING_RESTING;
	WRITE_ONCE(entry->timeout, rest);
	WRITE_ONCE(entry->last_seen, now);
	return FLOW_REFERENCES_NONE;
}

#ifdef FLOW_TABLE_HASH
#include "lib/flow_table_hash.h"
#else

struct flow_home {
	__u32 first; /* bucket */
	__u32 second;
	__u32 region;
	__u16 tag;
	__u16 seat; /* the entry number that the key takes if that is free, and else its neighbour's */
};

static __always_inline __u64 flow_hash(const struct flow_key *key)
{
	const __u64 *word = (const __u64 *)key;

	return keyed_hash(word[0], word[1]);
}

static __always_inline struct flow_home flow_home_of(const struct flow_key *key)
{
	__u64 hash = flow_hash(key);
	__u32 low = hash;
	struct flow_home home;

	home.first = ((hash >> 32) * (flow_regions * (__u64)FLOW_REGION_BUCKETS)) >> 32;
	home.region = home.first / FLOW_REGION_BUCKETS;
	home.second = home.region * FLOW_REGION_BUCKETS + (low / FLOW_REGION_BUCKETS) % FLOW_REGION_BUCKETS;
	if (home.second == home.first)
		home.second ^= 1;
	home.tag = low >> 16;
	if (!home.tag)
		home.tag = 1;
	home.seat = ((low >> 12 & 0xffff) * FLOW_BUCKET_ENTRIES) >> 16;
	return home;
}

#define TAG_WORDS 4
#define TAG_LANES 4
#define TAG_LOW_BITS 0x7fff7fff7fff7fffULL
#define TAG_EACH 0x0001000100010001ULL

/* The top bit of each of the four lanes that is zero, exactly (no carry runs from lane to lane). */
static __always_inline __u64 tag_zero_lanes(__u64 lanes)
{
	return ~(((lanes & TAG_LOW_BITS) + TAG_LOW_BITS) | lanes | TAG_LOW_BITS);
}

/* Number of the lowest lane whose top bit is set. */
static __always_inline __u32 tag_lane(__u64 tops)
{
	/* 2^(16 k) times this constant has k in its top sixteen bits. */
	return (((tops & -tops) >> 15) * 0x0000000100020003ULL >> 48) & (TAG_LANES - 1);
}

static __always_inline __u32 tag_lane_count(__u64 tops)
{
	return (tops >> 15) * TAG_EACH >> 48 & 7;
}

static __always_inline __u64 tag_word(const struct flow_bucket *bucket, __u32 word)
{
	return READ_ONCE(((const __u64 *)bucket->tags.tag)[word]);
}

static __always_inline struct flow_entry *flow_entry_at(struct flow_bucket *bucket, __u32 number)
{
	/* The tag line stands where the sixteenth entry would: any four bits are within the bucket. */
	return (struct flow_entry *)((char *)bucket + ((number & 15) << 6));
}

/* The entry of `key` in `bucket`, or NULL. Its number is left in *number. */
static __always_inline struct flow_entry *
flow_bucket_find(struct flow_bucket *bucket, const struct flow_key *key, __u16 tag, __u32 *number)
{
	__u64 pattern = tag * TAG_EACH;

	for (__u32 word = 0; word < TAG_WORDS; word++) {
		__u64 tops = tag_zero_lanes(tag_word(bucket, word) ^ pattern);

		for (__u32 i = 0; i < TAG_LANES && tops; i++) {
			__u32 candidate = word * TAG_LANES + tag_lane(tops);
			struct flow_entry *entry = flow_entry_at(bucket, candidate);

			if (flow_key_equal(&entry->key, key)) {
				*number = candidate;
				return entry;
			}
			tops &= tops - 1;
		}
	}
	return NULL;
}

static __always_inline struct flow_bucket *flow_bucket_at(__u32 index)
{
	return bpf_map_lookup_elem(&flow_buckets, &index);
}

/*
 * Takes a view of an entry without a lock, once. Returns whether it is certainly that of `key`: no, if the
 * entry is another's, unused, or changed hands meanwhile. Nothing but the entry's own line is read.
 */
static __always_inline int flow_entry_read(struct flow_entry *seen, const struct flow_key *key,
					   struct flow_view *view)
{
	__u32 flow_id = READ_ONCE(seen->flow_id);

	flow_entry_barrier(seen);
	if (!flow_key_equal(&seen->key, key))
		return 0;
	flow_view_copy(view, seen);
	flow_entry_barrier(seen);
	return flow_id && READ_ONCE(seen->flow_id) == flow_id;
}

/* Writes a whole entry into an unused place. Under the lock. */
static __always_inline void flow_entry_write(struct flow_entry *entry, const struct flow_entry *new)
{
	const __u64 *from = (const __u64 *)new;
	__u64 *to = (__u64 *)entry;

	for (int i = 0; i < (int)(sizeof(*new) / sizeof(*from)); i++)
		if (i != offsetof(struct flow_entry, peer_slot) / (int)sizeof(*from))
			WRITE_ONCE(to[i], from[i]);
	WRITE_ONCE(entry->peer_slot, new->peer_slot);
	flow_entry_barrier(entry);
	WRITE_ONCE(entry->flow_id, new->flow_id);
}
ABI_ASSERT_OFFSET(struct flow_entry, peer_slot, 32);
ABI_ASSERT_OFFSET(struct flow_entry, flow_id, 36);

#define FLOW_NO_SLOT (~0U)

/*
 * The rest of a search: the key is not at its seat, or the entry there changed while it was read. Returns
 * the slot, or FLOW_NO_SLOT.
 */
verified_alone __u32 flow_find_further(const struct flow_key *key, struct flow_view *view)
{
	struct flow_bucket *first, *second;
	__u32 number, slot = FLOW_NO_SLOT;
	struct flow_entry *entry;
	struct flow_home home;
	struct flow_lock *lock;

	if (!key || !view)
		return FLOW_NO_SLOT;
	home = flow_home_of(key);
	first = flow_bucket_at(home.first);
	if (!first)
		return FLOW_NO_SLOT;
	entry = flow_bucket_find(first, key, home.tag, &number);
	if (entry && flow_entry_read(entry, key, view))
		return FLOW_SLOT(home.first, number);
	if (!entry && !READ_ONCE(first->tags.spilled))
		return FLOW_NO_SLOT;
	lock = bpf_map_lookup_elem(&flow_locks, &home.region);
	second = flow_bucket_at(home.second);
	if (!lock || !second)
		return FLOW_NO_SLOT;
	if (!entry) {
		entry = flow_bucket_find(second, key, home.tag, &number);
		if (!entry) /* in neither, which needs no lock to be sure of */
			return FLOW_NO_SLOT;
		if (flow_entry_read(entry, key, view))
			return FLOW_SLOT(home.second, number);
	}

	/* It changed while it was read. */
	bpf_spin_lock(&lock->lock);
	entry = flow_bucket_find(first, key, home.tag, &number);
	if (entry) {
		flow_view_copy(view, entry);
		slot = FLOW_SLOT(home.first, number);
		goto unlock;
	}
	entry = flow_bucket_find(second, key, home.tag, &number);
	if (entry) {
		flow_view_copy(view, entry);
		slot = FLOW_SLOT(home.second, number);
	}
unlock:
	bpf_spin_unlock(&lock->lock);
	return slot;
}

static __always_inline struct flow_entry *flow_at_slot(__u32 slot)
{
	struct flow_bucket *bucket = flow_bucket_at(FLOW_SLOT_BUCKET(slot));

	if (!bucket || FLOW_SLOT_NUMBER(slot) >= FLOW_BUCKET_ENTRIES)
		return NULL;
	return flow_entry_at(bucket, FLOW_SLOT_NUMBER(slot));
}

/*
 * Looks where `key` most likely is: at half load more than 85 keys of 100 sit at their seat or next to it. Many
 * processors fetch lines in pairs, so the neighbour is at hand when the seat is another's.
 */
static __always_inline struct flow_entry *flow_find_seated(const struct flow_key *key, struct flow_view *view)
{
	struct flow_home home = flow_home_of(key);
	struct flow_bucket *bucket = flow_bucket_at(home.first);
	struct flow_entry *entry;

	if (!bucket)
		return NULL;
	entry = flow_entry_at(bucket, home.seat);
	if (likely(flow_entry_read(entry, key, view)))
		return entry;
	entry = flow_entry_at(bucket, home.seat ^ 1);
	return flow_entry_read(entry, key, view) ? entry : NULL;
}

/* The entry of `key` with a view of it, or NULL. Does not ask whether it is past its timeout. */
static __always_inline struct flow_entry *flow_find(const struct flow_key *key, struct flow_view *view)
{
	struct flow_entry *entry = flow_find_seated(key, view);

	return likely(entry) ? entry : flow_at_slot(flow_find_further(key, view));
}

/* The same in a function of its own. */
static __always_inline struct flow_entry *flow_find_on_little_stack(const struct flow_key *key,
								    struct flow_view *view)
{
	return flow_at_slot(flow_find_further(key, view));
}

/* The other direction, or NULL if it is gone or not there yet. */
static __always_inline struct flow_entry *flow_peer(const struct flow_entry *entry)
{
	struct flow_entry *peer = flow_at_slot(READ_ONCE(entry->peer_slot));

	return peer && READ_ONCE(peer->flow_id) == entry->flow_id ? peer : NULL;
}

#define SPILL_THRESHOLD 4 /* free entries in the first bucket at which the second is looked at */

static __always_inline __u32 flow_bucket_free(const struct flow_bucket *bucket)
{
	__u32 free = 0;

	for (__u32 word = 0; word < TAG_WORDS; word++)
		free += tag_lane_count(tag_zero_lanes(tag_word(bucket, word)));
	return free - 1; /* the sixteenth tag is never set */
}

static __always_inline __u32 flow_bucket_free_number(const struct flow_bucket *bucket, __u16 seat)
{
	if (!READ_ONCE(bucket->tags.tag[seat & 15]))
		return seat;
	/* The last seat's neighbour is the tag line, whose own tag stays unset. */
	if ((seat ^ 1) < FLOW_BUCKET_ENTRIES && !READ_ONCE(bucket->tags.tag[(seat ^ 1) & 15]))
		return seat ^ 1;
	for (__u32 word = 0; word < TAG_WORDS; word++) {
		__u64 tops = tag_zero_lanes(tag_word(bucket, word));

		if (tops)
			return word * TAG_LANES + tag_lane(tops);
	}
	return FLOW_BUCKET_ENTRIES;
}

/*
 * Puts `new` into the table unless its key is there. *slot is where it stands, or where the one stands
 * that is in the way; flow_id 0 marks an entry as unused and must not be given.
 */
verified_alone int flow_insert(const struct flow_entry *new, __u32 *slot)
{
	int result = FLOW_EXISTS;
	struct flow_bucket *first, *second, *bucket;
	__u32 number = 0, index, room, other;
	struct flow_entry *entry;
	struct flow_home home;
	struct flow_lock *lock;

	if (!new || !slot)
		return FLOW_FULL;
	home = flow_home_of(&new->key);
	lock = bpf_map_lookup_elem(&flow_locks, &home.region);
	first = bucket = flow_bucket_at(home.first);
	second = flow_bucket_at(home.second);
	index = home.first;
	if (!lock || !first || !second)
		return FLOW_FULL;

	bpf_spin_lock(&lock->lock);
	if (flow_bucket_find(first, &new->key, home.tag, &number))
		goto unlock;
	/* While none of the first bucket's keys stand in their second one, this one need not be looked for there. */
	if (first->tags.spilled) {
		index = home.second;
		if (flow_bucket_find(second, &new->key, home.tag, &number))
			goto unlock;
	}

	/*
	 * The first choice, unless it is nearly full and the second has more room: that fills the table beyond
	 * the seven tenths that it is sized for without an overflow (three would not, in a table for millions),
	 * and at half load leaves 98 lookups of 100 with one bucket to read.
	 */
	index = home.first;
	room = flow_bucket_free(first);
	if (room <= SPILL_THRESHOLD) {
		other = flow_bucket_free(second);
		if (other > room) {
			bucket = second;
			index = home.second;
			room = other;
		}
	}
	result = FLOW_FULL;
	if (!room)
		goto unlock;
	number = flow_bucket_free_number(bucket, home.seat);
	entry = flow_entry_at(bucket, number);
	flow_entry_write(entry, new);
	WRITE_ONCE(bucket->tags.tag[number & 15], home.tag);
	if (bucket == second)
		WRITE_ONCE(first->tags.spilled, first->tags.spilled + 1);
	result = FLOW_INSERTED;
unlock:
	bpf_spin_unlock(&lock->lock);
	*slot = FLOW_SLOT(index, number);
	return result;
}

/* Does `removal` hold? Under the lock. */
static __always_inline int flow_may_go(const struct flow_entry *entry, int removal, __u32 now)
{
	if (removal == FLOW_REMOVE_EXPIRED)
		return flow_past(entry, now);
	return removal != FLOW_REMOVE_UNREFERENCED || !entry->references;
}

/*
 * Removes the entry of which `known` is a copy, if it is still there and `removal` holds. Of the copy only
 * key, flow_id and peer_slot count. *removed, which may be the same memory, gets what it was at the end, for
 * the caller to give back what it held. Returns whether it was removed.
 */
verified_alone int flow_remove(const struct flow_entry *known, int removal, __u32 now,
			       struct flow_entry *removed)
{
	struct flow_bucket *first, *second, *bucket;
	struct flow_entry *entry, *peer;
	struct flow_home home;
	struct flow_lock *lock;
	__u32 number;

	if (!known || !removed)
		return 0;
	/* The peer's time is written without a lock, so it may as well be read before this one is taken. */
	if (removal == FLOW_REMOVE_EXPIRED) {
		peer = flow_at_slot(known->peer_slot);
		if (peer && READ_ONCE(peer->flow_id) == known->flow_id && !flow_past(peer, now))
			return 0;
	}
	home = flow_home_of(&known->key);
	lock = bpf_map_lookup_elem(&flow_locks, &home.region);
	first = bucket = flow_bucket_at(home.first);
	second = flow_bucket_at(home.second);
	if (!lock || !first || !second)
		return 0;

	bpf_spin_lock(&lock->lock);
	entry = flow_bucket_find(first, &known->key, home.tag, &number);
	if (!entry) {
		bucket = second;
		entry = flow_bucket_find(second, &known->key, home.tag, &number);
	}
	if (entry && entry->flow_id == known->flow_id && flow_may_go(entry, removal, now)) {
		*removed = *entry;
		WRITE_ONCE(entry->flow_id, 0);
		flow_entry_barrier(entry);
		WRITE_ONCE(bucket->tags.tag[number & 15], 0);
		if (bucket == second)
			WRITE_ONCE(first->tags.spilled, first->tags.spilled - 1);
	} else {
		entry = NULL;
	}
	bpf_spin_unlock(&lock->lock);
	return entry != NULL;
}

/*
 * Adds one to the references of a mapping or permit unless it went away, and wakes a mapping that rests unless that
 * is over. *copy, which may hold the key, is what it was before.
 */
verified_alone int flow_reference(const struct flow_key *key, __u32 now, __u32 timeout,
				  struct flow_entry *copy)
{
	int done = 0;
	struct flow_bucket *first, *second;
	struct flow_entry *entry;
	struct flow_home home;
	struct flow_lock *lock;
	__u32 number;

	if (!key || !copy)
		return 0;
	home = flow_home_of(key);
	lock = bpf_map_lookup_elem(&flow_locks, &home.region);
	first = flow_bucket_at(home.first);
	second = flow_bucket_at(home.second);
	if (!lock || !first || !second)
		return 0;
	bpf_spin_lock(&lock->lock);
	entry = flow_bucket_find(first, key, home.tag, &number);
	if (!entry)
		entry = flow_bucket_find(second, key, home.tag, &number);
	if (entry && !(entry->state == MAPPING_RESTING && flow_past(entry, now))) {
		*copy = *entry;
		entry->references++;
		entry->state = MAPPING_IN_USE;
		WRITE_ONCE(entry->timeout, timeout);
		WRITE_ONCE(entry->last_seen, now);
		done = 1;
	}
	bpf_spin_unlock(&lock->lock);
	return done;
}

/*
 * Takes one reference away. With `rest` other than 0, sends the mapping to rest for so many timeout units instead,
 * if it has no reference. Returns enum flow_references; of a rest, whether it began, as _NONE or _LEFT.
 */
verified_alone int flow_unreference(const struct flow_key *key, __u32 flow_id, __u32 rest, __u32 now)
{
	int left = FLOW_REFERENCES_UNKNOWN;
	struct flow_bucket *first, *second;
	struct flow_entry *entry;
	struct flow_home home;
	struct flow_lock *lock;
	__u32 number;

	if (!key)
		return FLOW_REFERENCES_UNKNOWN;
	home = flow_home_of(key);
	lock = bpf_map_lookup_elem(&flow_locks, &home.region);
	first = flow_bucket_at(home.first);
	second = flow_bucket_at(home.second);
	if (!lock || !first || !second)
		return FLOW_REFERENCES_UNKNOWN;
	bpf_spin_lock(&lock->lock);
	entry = flow_bucket_find(first, key, home.tag, &number);
	if (!entry)
		entry = flow_bucket_find(second, key, home.tag, &number);
	if (entry && entry->flow_id == flow_id)
		left = flow_entry_unreference(entry, rest, now);
	bpf_spin_unlock(&lock->lock);
	return left;
}

/*
 * Makes two entries each other's peer. Returns whether `reverse_slot` still holds the entry called flow_id: it stood
 * alone so far, and whoever found it past its timeout may have removed it.
 */
static __always_inline int flow_join(__u32 reverse_slot, __u32 forward_slot, __u32 flow_id)
{
	struct flow_entry *reverse = flow_at_slot(reverse_slot);

	if (!reverse || READ_ONCE(reverse->flow_id) != flow_id)
		return 0;
	WRITE_ONCE(reverse->peer_slot, forward_slot);
	return 1;
}

/* What a new entry keeps to find its peer again, which stands at `slot`. */
static __always_inline __u32 flow_peer_reference(__u32 slot, __u16 zone)
{
	return slot;
}

/* The entry that stood in the way of an insert of `key`. */
static __always_inline struct flow_entry *flow_standing(const struct flow_key *key, __u32 slot)
{
	return flow_at_slot(slot);
}

/*
 * Looks in the two buckets of `key` for an entry that is past its timeout, and copies the first to
 * *victim: removing its flow makes room for a new one. Returns whether there is one.
 */
verified_alone int flow_make_room(const struct flow_key *key, __u32 now, struct flow_entry *victim)
{
	struct flow_home home;

	if (!key || !victim)
		return 0;
	home = flow_home_of(key);
	for (__u32 i = 0; i < 2 * FLOW_BUCKET_ENTRIES; i++) {
		__u32 number = i < FLOW_BUCKET_ENTRIES ? i : i - FLOW_BUCKET_ENTRIES;
		__u32 index = i < FLOW_BUCKET_ENTRIES ? home.first : home.second;
		struct flow_bucket *bucket = flow_bucket_at(index);
		struct flow_entry *entry, *peer;

		if (!bucket)
			return 0;
		if (!READ_ONCE(bucket->tags.tag[number & 15]))
			continue;
		entry = flow_entry_at(bucket, number);
		if (!flow_past(entry, now))
			continue;
		peer = flow_peer(entry);
		if (peer && !flow_past(peer, now))
			continue;
		if (flow_entry_copy(victim, entry))
			return 1;
	}
	return 0;
}

/*
 * Serialises changes of a flow's state: everything between these two sees and leaves both entries in
 * step. Nothing but memory accesses may stand between them.
 */
static __always_inline struct flow_lock *flow_state_lock(const struct flow_entry *forward)
{
	struct flow_home home = flow_home_of(&forward->key);

	return bpf_map_lookup_elem(&flow_locks, &home.region);
}

static __always_inline void flow_state_begin(struct flow_lock *lock)
{
	bpf_spin_lock(&lock->lock);
}

static __always_inline void flow_state_end(struct flow_lock *lock)
{
	bpf_spin_unlock(&lock->lock);
}

#endif /* FLOW_TABLE_HASH */

/* Past its timeout, by the time of whichever direction was used last. */
static __always_inline int flow_expired(const struct flow_entry *entry, __u32 now)
{
	struct flow_entry *peer;

	if (!flow_past(entry, now))
		return 0;
	peer = flow_peer(entry);
	return !peer || flow_past(peer, now);
}

/* The first tick at which the flow or mapping is past its timeout unless it is used again. */
static __always_inline __u32 flow_due(const struct flow_entry *entry)
{
	__u32 due, peer_due;
	struct flow_entry *peer;

	due = READ_ONCE(entry->last_seen) + ((__u32)entry->timeout << FLOW_TICKS_PER_TIMEOUT_SHIFT) + 1;
	peer = flow_peer(entry);
	if (!peer)
		return due;
	peer_due = READ_ONCE(peer->last_seen) + ((__u32)peer->timeout << FLOW_TICKS_PER_TIMEOUT_SHIFT) + 1;
	return clock_reached(peer_due, due) ? peer_due : due;
}

#endif

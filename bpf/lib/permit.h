/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Permits: which remote addresses an external endpoint has flows to, for address-dependent filtering (RFC 4787
 * section 5). The first flow to an address makes the permit, the last takes it along.
 */
#ifndef SALLYPORT_BPF_PERMIT_H
#define SALLYPORT_BPF_PERMIT_H

#include "lib/flow_table.h"
#include "lib/pair.h"

/* The permit that lets a packet with the key of a reverse entry in. */
static __always_inline void permit_key(const struct flow_key *reverse, struct flow_key *key)
{
	key->source = reverse->source;
	key->destination = reverse->destination;
	key->source_port = 0;
	key->destination_port = reverse->destination_port;
	key->protocol = reverse->protocol;
	key->kind = FLOW_KIND_PERMIT;
	key->zone = ZONE_OUTSIDE;
}

/* Is there a flow to the source address of `reverse` on the external endpoint that is its destination? */
verified_alone int permit_stands(const struct flow_key *reverse, __u32 now)
{
	struct flow_entry *entry;
	struct flow_view view;
	struct flow_key key;

	if (!reverse)
		return 0;
	permit_key(reverse, &key);
	entry = flow_find(&key, &view);
	return entry && READ_ONCE(entry->references) && !flow_unused(entry, now);
}

/* As long as its flows are used, so is the permit. */
verified_alone int permit_touch(const struct flow_key *reverse, __u32 now)
{
	struct flow_entry *entry;
	struct flow_view view;
	struct flow_key key;

	if (!reverse)
		return 0;
	permit_key(reverse, &key);
	entry = flow_find(&key, &view);
	if (entry)
		WRITE_ONCE(entry->last_seen, now);
	return entry != NULL;
}

/*
 * Takes a reference on the permit for the source address of `reverse`, which is made if there is none. Returns
 * enum flow_insert_result: FLOW_FULL if the table has no room for it.
 */
verified_alone int permit_take(const struct flow_key *reverse, __u32 timeout, __u32 now)
{
	struct workspace *work = workspace_get();
	struct flow_entry *permit;
	int result = FLOW_EXISTS;
	__u32 slot = 0;

	if (!reverse || !work)
		return FLOW_FULL;
	permit = &work->permit;
	/* Another processor may make it, or end it, between the two steps. */
	for (int i = 0; i < 4 && result == FLOW_EXISTS; i++) {
		permit_key(reverse, &permit->key);
		if (flow_reference(&permit->key, now, timeout, permit))
			return FLOW_EXISTS;
		__builtin_memset(permit, 0, sizeof(*permit));
		permit_key(reverse, &permit->key);
		permit->flow_id = new_flow_id();
		permit->references = 1;
		permit->timeout = timeout;
		permit->last_seen = now;
		result = flow_insert(permit, &slot);
	}
	return result == FLOW_INSERTED ? FLOW_INSERTED : FLOW_FULL;
}

/*
 * Gives the reference back, and ends the permit with the last one. Inlined, because it stands at the end of the
 * longest chain of calls, whose stack is full.
 */
static __always_inline void permit_put(struct workspace *work, const struct flow_key *reverse, __u32 now)
{
	struct flow_entry *permit = &work->permit, *entry;

	permit_key(reverse, &permit->key);
	entry = flow_find_on_little_stack(&permit->key, &work->view);
	if (!entry)
		return;
	permit->flow_id = READ_ONCE(entry->flow_id);
	permit->peer_slot = 0;
	if (flow_unreference(&permit->key, permit->flow_id, 0, now) == FLOW_REFERENCES_NONE)
		flow_remove(permit, FLOW_REMOVE_UNREFERENCED, now, permit);
}

/*
 * For a flow that was made before the filtering became address-dependent: takes its permit unless it has one. It goes
 * without if the table has no room.
 */
static __always_inline void flow_permit_late(struct workspace *work, struct flow_entry *forward,
					     __u32 timeout, __u32 now)
{
	__u32 flow_id;
	struct flow_lock *lock;
	int kept = 0;

	flow_id = READ_ONCE(forward->flow_id);
	lock = flow_state_lock(forward);
	if (!lock || forward->flags & FLOW_PERMITTED)
		return;
	flow_reverse_key(forward, &work->key);
	if (permit_take(&work->key, timeout, now) == FLOW_FULL)
		return;
	flow_state_begin(lock);
	if (forward->flow_id == flow_id && !(forward->flags & FLOW_PERMITTED)) {
		WRITE_ONCE(forward->flags, forward->flags | FLOW_PERMITTED);
		kept = 1;
	}
	flow_state_end(lock);
	if (!kept)
		permit_put(work, &work->key, now);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which external port a new flow or mapping gets.
 *
 * The flow table decides: a port is free towards a remote if the reverse entry for it can be inserted.
 * So ports are shared between remotes by themselves (RFC 7857 section 3), a tuple never has two owners,
 * and capacity is exact. The search is
 *   1. a port at random (RFC 6056 algorithm 1), and a few more if the remote has no port set: enough unless most of
 *      the range is taken;
 *   2. then the remote's port set, which knows which ports are not worth a try: constant time up to the
 *      last free port;
 *   3. when the set says that nothing is left, a part of it is checked against the table, so that ports
 *      of flows that timed out are found even when no agent runs.
 */
#ifndef SALLYPORT_BPF_PORTS_H
#define SALLYPORT_BPF_PORTS_H

#include "lib/flow_table.h"
#include "lib/packet.h"
#include "lib/release.h"
#include "lib/route.h"

enum port_result {
	PORT_CLAIMED,
	PORT_IN_USE,
	PORT_NONE_FREE,
	PORT_TABLE_FULL,
	PORT_BEHIND_EXPIRED, /* work->standing is past its timeout: end it and search again */
};

static __always_inline __u32 random_below(__u32 bound)
{
	return (__u64)bpf_get_prandom_u32() * bound >> 32;
}

/* Does the port of work->reverse's Elastic IP lead to an instance by configuration? */
static __always_inline int port_is_forwarded(const struct workspace *work, __u32 port)
{
	const struct flow_key *key = &work->reverse.key;

	return work->claim.forwards && port_forward_of(key->destination, bpf_htons(port), key->protocol);
}

/*
 * The ports of a word that are the host's on work->reverse's Elastic IP; of blocks, whose ports are those of every
 * protocol, the first port of one that has no others.
 */
static __always_inline __u64 port_word_of_host(struct workspace *work, __u32 word)
{
	struct host_ports *of_host;

	if (!work->claim.shares)
		return 0;
	of_host = bpf_map_lookup_elem(&host_ports, &work->reverse.key.destination);
	if (!of_host)
		return 0;
	if (work->reverse.key.kind == FLOW_KIND_BLOCK)
		return of_host->block[word / 64 % PORT_SET_SUMMARY_WORDS] >> (word % 64) & 1;
	return of_host->word[word % PORT_SET_WORDS];
}

/* Is the port one that the NAT gateway never gives out? */
static __always_inline int port_is_reserved(struct workspace *work, __u32 port)
{
	const struct port_claim *claim = &work->claim;
	__u32 number = claim->nat_gateway;
	struct port_mask *mask;

	if (port_is_forwarded(work, port))
		return 1;
	/* The compiler knows that it is a port and leaves the bound out; the verifier of kernel 6.1 has lost it. */
	settle(port);
	if (port_word_of_host(work, port / 64) & 1ULL << (port % 64))
		return 1;
	if (!claim->reserves)
		return 0;
	mask = bpf_map_lookup_elem(&reserved_ports, &number);
	settle(port);
	return mask && mask->word[port / 64 % PORT_SET_WORDS] & 1ULL << (port % 64);
}

/* How many ports the claim is about, reserved ones included. */
static __always_inline __u32 port_count(const struct port_claim *claim)
{
	return ((__u32)claim->last - claim->first) / claim->step + 1;
}

/* Any of them, each as likely as the next. */
static __always_inline __u32 port_at_random(const struct port_claim *claim)
{
	return claim->first + random_below(port_count(claim)) * claim->step;
}

/* Tries to insert work->reverse with this port. */
static __always_inline enum port_result port_try(struct workspace *work, __u32 port)
{
	struct flow_entry *reverse = &work->reverse, *found;
	struct port_claim *claim = &work->claim;
	int inserted;

	reverse->key.destination_port = bpf_htons(port);
	flow_complete_reverse(reverse, reverse->new_address, reverse->new_port);
	inserted = flow_insert(reverse, &claim->slot);
	if (inserted == FLOW_INSERTED)
		return PORT_CLAIMED;
	claim->again = port;
	if (inserted == FLOW_FULL)
		return flow_make_room(&reverse->key, claim->now, &work->standing) ? PORT_BEHIND_EXPIRED
										  : PORT_TABLE_FULL;
	found = flow_standing(&reverse->key, claim->slot);
	if (!found || !flow_expired(found, claim->now))
		return PORT_IN_USE;
	flow_entry_copy(&work->standing, found);
	return PORT_BEHIND_EXPIRED;
}

static long port_random_step(__u32 i, void *context)
{
	struct workspace *work = workspace_get();
	struct port_claim *claim;
	__u32 port;

	if (!work)
		return 1;
	claim = &work->claim;
	/* What stood before this port has just been ended: where all have timed out, the next would be no better. */
	port = claim->again;
	if (!port) {
		port = port_at_random(claim);
		if (port_is_reserved(work, port)) { /* another one: the rest stay equally likely */
			claim->result = PORT_IN_USE;
			return 0;
		}
	}
	claim->again = 0;
	claim->result = port_try(work, port);
	if (claim->result == PORT_IN_USE)
		claim->again = 0;
	return claim->result != PORT_IN_USE;
}

#define EVEN_PORTS 0x5555555555555555ULL

/* The bits of a set's word that the claim is not about. */
static __always_inline __u64 port_set_outside(struct workspace *work, __u32 word)
{
	const struct port_claim *claim = &work->claim;
	__u16 first = claim->first, last = claim->last;
	__u32 number = claim->nat_gateway;
	struct port_mask *mask;
	__u64 outside = 0;

	if (word < first / 64 || word > last / 64)
		return ~0ULL;
	if (word == first / 64)
		outside |= (1ULL << (first % 64)) - 1;
	if (word == last / 64)
		outside |= ~1ULL << (last % 64);
	if (claim->step >= 64)
		outside |= word & (claim->step / 64 - 1) ? ~0ULL : ~1ULL;
	else if (claim->step == 2)
		outside |= first % 2 ? EVEN_PORTS : ~EVEN_PORTS;
	outside |= port_word_of_host(work, word);
	if (!claim->reserves)
		return outside;
	mask = bpf_map_lookup_elem(&reserved_ports, &number);
	return mask ? outside | mask->word[word % PORT_SET_WORDS] : outside;
}

static __always_inline __u32 bit_number(__u64 bit)
{
	return __builtin_popcountll(bit - 1);
}

static __always_inline __u64 rotate_right(__u64 value, __u32 by)
{
	by %= 64;
	return by ? value >> by | value << (64 - by) : value;
}

/*
 * A word with a free port, searched from a random one on; PORT_SET_WORDS if all are full. The summary has
 * sixteen words, so this is seventeen steps at the most.
 */
static __always_inline __u32 port_set_search(struct port_set *set, __u32 start)
{
	for (__u32 i = 0; i <= PORT_SET_SUMMARY_WORDS; i++) {
		__u32 summary = (start / 64 + i) % PORT_SET_SUMMARY_WORDS;
		__u64 open = ~READ_ONCE(set->full[summary]);

		if (i == 0)
			open &= ~0ULL << (start % 64);
		else if (i == PORT_SET_SUMMARY_WORDS)
			open &= (1ULL << (start % 64)) - 1;
		if (open)
			return summary * 64 + bit_number(open & -open);
	}
	return PORT_SET_WORDS;
}

verified_alone int port_set_has_room(__u32 number)
{
	struct port_set *set = bpf_map_lookup_elem(&port_sets, &number);

	return set && port_set_search(set, 0) < PORT_SET_WORDS;
}

#define PORT_SET_FULL 0x10000
#define PORT_SET_PICKS 8   /* words found full, or bits taken by others, before the search starts anew */
#define PORT_SET_LOOKS 256 /* bits looked at anywhere before words are searched */
#define PORT_SET_UNPICKED (-1)

/*
 * Looks at any bit. Searching on from one would favour ports behind a run of others, be they in use or reserved
 * (RFC 6056 section 5); looking at many single ones does not.
 */
static long port_set_look_step(__u32 i, void *context)
{
	struct workspace *work = workspace_get();
	struct port_claim *claim;
	struct port_set *set;
	__u32 number, port;
	__u64 bit, *word;

	if (!work)
		return 1;
	claim = &work->claim;
	claim->looks--;
	number = claim->set;
	set = bpf_map_lookup_elem(&port_sets, &number);
	if (!set)
		return 1;
	if (claim->looks == PORT_SET_LOOKS - PORT_RANDOM_PROBES) /* what gives a remote a set keeps it */
		WRITE_ONCE(set->last_used, claim->now);
	port = port_at_random(claim);
	bit = 1ULL << (port % 64);
	word = &set->word[port / 64 % PORT_SET_WORDS];
	if (READ_ONCE(*word) & bit || port_is_reserved(work, port) || __sync_fetch_and_or(word, bit) & bit)
		return 0;
	claim->picked = port;
	return 1;
}

/* Takes a port off the set: its bit is set now and was not before. PORT_SET_FULL: every port is in use. */
verified_alone int port_set_pick(__u32 number)
{
	struct port_set *set = bpf_map_lookup_elem(&port_sets, &number);
	struct workspace *work = workspace_get();

	if (!work || !set)
		return PORT_SET_UNPICKED;
	WRITE_ONCE(set->last_used, work->claim.now);
	for (int i = 0; i < PORT_SET_PICKS; i++) {
		__u32 word = port_set_search(set, random_below(PORT_SET_WORDS)), turn;
		__u64 taken, open, *full;

		if (word >= PORT_SET_WORDS)
			return PORT_SET_FULL;
		full = &set->full[word / 64 % PORT_SET_SUMMARY_WORDS];
		taken = READ_ONCE(set->word[word]) | port_set_outside(work, word);
		if (taken == ~0ULL) {
			__sync_fetch_and_or(full, 1ULL << (word % 64));
			/* A port that came free in between would be lost: look again. */
			taken = READ_ONCE(set->word[word]) | port_set_outside(work, word);
			if (taken != ~0ULL)
				__sync_fetch_and_and(full, ~(1ULL << (word % 64)));
			continue;
		}
		turn = random_below(64);
		open = rotate_right(~taken, turn);
		turn = (bit_number(open & -open) + turn) % 64;
		if (!(__sync_fetch_and_or(&set->word[word], 1ULL << turn) & 1ULL << turn))
			return word * 64 + turn;
	}
	return PORT_SET_UNPICKED;
}

static long port_set_step(__u32 i, void *context)
{
	struct workspace *work = workspace_get();
	struct port_claim *claim;
	struct port_set *set;
	__u32 number;
	int port;

	if (!work)
		return 1;
	claim = &work->claim;
	number = claim->set;
	claim->picked = PORT_SET_UNPICKED;
	bpf_loop(claim->looks, port_set_look_step, NULL, 0);
	port = claim->picked;
	if (port < 0)
		port = port_set_pick(number);
	if (port < 0)
		return 0;
	if (port >= PORT_SET_FULL) {
		claim->result = PORT_NONE_FREE;
		return 1;
	}
	/* In use by a flow that the set did not know yet, or not to be had: the bit stays. */
	claim->result = port_is_forwarded(work, port) ? PORT_IN_USE : port_try(work, port);
	if (claim->result == PORT_IN_USE)
		return 0;
	if (claim->result != PORT_CLAIMED) {
		set = bpf_map_lookup_elem(&port_sets, &number);
		if (set)
			port_set_unmark(set, port);
	}
	return 1;
}

/* Looks whether the flow behind the port at the cursor still lives; claims the port if there is none. */
static long port_check_step(__u32 i, void *context)
{
	struct workspace *work = workspace_get();
	struct port_claim *claim;
	struct flow_entry *found;
	struct port_set *set;
	__u32 number, port, due;

	if (!work)
		return 1;
	claim = &work->claim;
	number = claim->set;
	set = bpf_map_lookup_elem(&port_sets, &number);
	if (!set)
		return 1;
	port = claim->first + __sync_fetch_and_add(&set->cursor, 1) % port_count(claim) * claim->step;
	if (port_is_reserved(work, port))
		return 0;
	claim->result = port_try(work, port);
	if (claim->result != PORT_IN_USE)
		return 1;
	found = flow_standing(&work->reverse.key, claim->slot);
	due = found ? flow_due(found) : claim->now;
	if (clock_reached(set->next_due, due))
		set->next_due = due;
	return 0;
}

static long port_set_clear_step(__u32 i, void *context)
{
	__u32 *number = context;
	struct port_set *set = bpf_map_lookup_elem(&port_sets, number);

	if (!set)
		return 1;
	set->word[i % PORT_SET_WORDS] = 0;
	set->full[i % PORT_SET_SUMMARY_WORDS] = 0;
	return 0;
}

#define PORT_SET_STEPS_MAX 70000 /* each port once, and each word once to find it full */
#define PORT_CHECK_STEPS_MAX 512 /* ports looked at again per refused flow */
/* A round in vain rests no longer: processors that take part in one at the same time may miss the first to end. */
#define PORT_CHECK_REST_TICKS (60 * FLOW_TOUCH_TICKS)
#define PORT_FALLBACK_STEPS 128 /* random tries when every port set is in use by a busy remote */
#define PORT_SET_CANDIDATES 32
#define PORT_SET_IDLE_TICKS (60 * FLOW_TOUCH_TICKS)
#define PORT_SET_NONE (~0U)

static __always_inline void port_set_take(struct port_set *set, __u32 number, const struct port_claim *claim)
{
	set->key = claim->key;
	set->first_port = claim->first;
	set->last_port = claim->last;
	set->generation = claim->generation;
	set->host_ports = claim->host_ports;
	set->checked = 0;
	set->rests_until = claim->now;
	bpf_loop(PORT_SET_WORDS, port_set_clear_step, &number, 0);
}

/*
 * The host uses other ports now. Which ones are in use by flows is known as before; which words are full is not. The
 * agent does not raise the generation for that, as every flow would be checked again: servers come and go.
 */
static __always_inline void port_set_look_again(struct port_set *set, const struct port_claim *claim)
{
	set->host_ports = claim->host_ports;
	set->rests_until = claim->now;
	for (int i = 0; i < PORT_SET_SUMMARY_WORDS; i++)
		WRITE_ONCE(set->full[i], 0);
}

/*
 * Number of the set of work->claim.key, if it has one. What is known of full words does not outlast the configuration
 * that it was found with.
 */
verified_alone __u32 port_set_known(void)
{
	struct workspace *work = workspace_get();
	const struct port_claim *claim;
	struct port_set *set;
	__u32 *number, found;

	if (!work)
		return PORT_SET_NONE;
	claim = &work->claim;
	number = bpf_map_lookup_elem(&port_set_numbers, &claim->key);
	if (!number)
		return PORT_SET_NONE;
	found = *number;
	set = bpf_map_lookup_elem(&port_sets, &found);
	if (!set)
		return PORT_SET_NONE;
	if (set->first_port != claim->first || set->last_port != claim->last ||
	    set->generation != claim->generation)
		port_set_take(set, found, claim);
	else if (set->host_ports != claim->host_ports)
		port_set_look_again(set, claim);
	return found;
}

/* Number of a set for work->claim.key, made of one that nobody has used for a minute. */
verified_alone __u32 port_set_make(__u32 now)
{
	struct workspace *work = workspace_get();
	__u32 zero = 0, candidate, *number;
	const struct port_set_key *key;
	const struct port_claim *claim;
	struct port_set *set;
	struct meta *known;

	if (!work)
		return PORT_SET_NONE;
	claim = &work->claim;
	key = &claim->key;
	known = bpf_map_lookup_elem(&meta, &zero);
	if (!known || !known->port_sets)
		return PORT_SET_NONE;
	candidate = bpf_get_prandom_u32() % known->port_sets;
	for (int i = 0; i < PORT_SET_CANDIDATES; i++) {
		__u32 used;

		candidate = candidate + 1 < known->port_sets ? candidate + 1 : 0;
		set = bpf_map_lookup_elem(&port_sets, &candidate);
		if (!set)
			return PORT_SET_NONE;
		used = READ_ONCE(set->last_used);
		/* A set without a key may be in the hands of a processor that is about to write the key. */
		if (clock_age(now, used) < (set->key.protocol ? PORT_SET_IDLE_TICKS : FLOW_TOUCH_TICKS))
			continue;
		if (__sync_val_compare_and_swap(&set->last_used, used, now) != used)
			continue;
		if (set->key.protocol)
			bpf_map_delete_elem(&port_set_numbers, &set->key);
		port_set_take(set, candidate, claim);
		if (!bpf_map_update_elem(&port_set_numbers, key, &candidate, BPF_NOEXIST))
			return candidate;
		/* Another processor has made one for the same remote: that one stands. */
		set->key.protocol = 0;
		number = bpf_map_lookup_elem(&port_set_numbers, key);
		return number ? *number : PORT_SET_NONE;
	}
	return PORT_SET_NONE;
}

/*
 * The shortest time, in ticks, after which a flow whose timeout changes now may be past it: a packet that changes it
 * has touched the flow, if that was not done within the last FLOW_TOUCH_TICKS.
 */
static __always_inline __u32 port_soonest_change(const struct nat_gateway *nat_gateway)
{
	__u32 shortest = nat_gateway->timeouts[0], quarantine = nat_gateway->port_quarantine;
	__u32 hold = nat_gateway->port_block_hold;

	for (int i = 1; i < TIMEOUT_CLASSES; i++)
		if (nat_gateway->timeouts[i] < shortest)
			shortest = nat_gateway->timeouts[i];
	if (quarantine && quarantine < shortest)
		shortest = quarantine;
	if (hold && hold < shortest)
		shortest = hold;
	shortest <<= FLOW_TICKS_PER_TIMEOUT_SHIFT;
	return shortest > FLOW_TOUCH_TICKS ? shortest - FLOW_TOUCH_TICKS : 0;
}

/*
 * The set says that nothing is left. Some of its ports may be those of flows that timed out and that no agent has
 * ended: a stretch of them is looked at for each flow that would be refused. Once a round through all of them was in
 * vain, that rests until the first of these flows can be past its timeout, or one that was shortened after it was
 * looked at; so a flood for an exhausted address costs next to nothing, and no port that is free is overlooked.
 */
static __always_inline void port_set_check(struct port_claim *claim, const struct nat_gateway *nat_gateway)
{
	__u32 number = claim->set, due;
	struct port_set *set = bpf_map_lookup_elem(&port_sets, &number);

	if (!set || !clock_reached(claim->now + 1, set->rests_until))
		return;
	if (!set->checked) {
		set->began = claim->now;
		set->next_due = claim->now + PORT_CHECK_REST_TICKS;
	}
	set->checked += bpf_loop(PORT_CHECK_STEPS_MAX, port_check_step, NULL, 0);
	if (claim->result != PORT_IN_USE && claim->result != PORT_NONE_FREE) {
		set->checked = 0;
	} else if (set->checked >= port_count(claim)) {
		due = set->began + port_soonest_change(nat_gateway);
		set->checked = 0;
		set->rests_until = clock_reached(set->next_due, due) ? due : set->next_due;
	}
}

/* What holds on the Elastic IP of work->reverse: which of its ports are others'. */
static __always_inline void port_claim_place(struct workspace *work, int is_block)
{
	struct elastic_ip *elastic_ip = bpf_map_lookup_elem(&elastic_ips, &work->reverse.key.destination);
	__u32 flags = elastic_ip ? elastic_ip->flags : 0;
	struct port_claim *claim = &work->claim;
	struct host_ports *of_host;

	claim->forwards = !is_block && flags & ELASTIC_IP_FORWARDS_PORTS;
	claim->host_ports = 0;
	/* An identifier of ICMP is no port: the host takes its own as it likes. */
	claim->shares =
		flags & ELASTIC_IP_SHARED_WITH_HOST && (is_block || work->wish.key.protocol != IPPROTO_ICMP);
	if (!claim->shares)
		return;
	of_host = bpf_map_lookup_elem(&host_ports, &work->reverse.key.destination);
	if (of_host)
		claim->host_ports = of_host->version;
}

/*
 * Which ports the flow may have, and which it would like best: its own, where the NAT gateway preserves ports
 * (RFC 4787 sections 4.2.1 and 4.2.2). Identifiers of echo requests are no ports. Returns whether there are any.
 */
verified_alone int port_claim_begin(__u32 number)
{
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	struct workspace *work = workspace_get();
	__u32 wanted, first, last, flags;
	struct port_claim *claim;
	int is_block;

	if (!nat_gateway || !work)
		return 0;
	claim = &work->claim;
	wanted = bpf_ntohs(work->wish.key.source_port);
	first = nat_gateway->first_port;
	last = nat_gateway->last_port;
	is_block = work->reverse.key.kind == FLOW_KIND_BLOCK;
	flags = is_block || work->wish.key.protocol == IPPROTO_ICMP ? 0 : nat_gateway->flags;
	claim->now = work->wish.now;
	claim->nat_gateway = number;
	claim->generation = work->wish.generation;
	claim->reserves = nat_gateway->reserves_ports;
	port_claim_place(work, is_block);
	claim->step = 1;
	claim->result = PORT_NONE_FREE;
	if (flags & NAT_GATEWAY_PRESERVE_RANGE) {
		if (wanted <= LOW_PORT_LAST) {
			first = 1;
			last = LOW_PORT_LAST;
		} else if (first <= LOW_PORT_LAST) {
			first = LOW_PORT_LAST + 1;
		}
	}
	if (is_block) {
		first = port_block_first(first, nat_gateway->port_block_size);
		claim->step = nat_gateway->port_block_size;
		claim->reserves = 0;
	} else if (nat_gateway->port_block_size) {
		first = first < work->block.first_port ? work->block.first_port : first;
		last = last > work->block.last_port ? work->block.last_port : last;
	}
	if (flags & NAT_GATEWAY_PRESERVE_PARITY) {
		first += (first ^ wanted) & 1;
		claim->step = 2;
	}
	if (first > last || !claim->step)
		return 0;
	claim->first = first;
	claim->last = last;
	if (claim->is_new) {
		claim->again = 0;
		if (flags & NAT_GATEWAY_PRESERVE_PORT && wanted >= first && wanted <= last &&
		    !port_is_reserved(work, wanted))
			claim->again = wanted;
	}
	claim->is_new = 0;
	return 1;
}

/*
 * Claims a port on the address in work->reverse.key and inserts the entry, which must be whole but for the
 * port. work->claim.slot is where it stands then.
 */
static __always_inline enum port_result port_claim(struct workspace *work,
						   const struct nat_gateway *nat_gateway)
{
	struct port_claim *claim = &work->claim;

	if (!port_claim_begin(work->wish.nat_gateway))
		return PORT_NONE_FREE;
	bpf_loop(1, port_random_step, NULL, 0);
	if (claim->result != PORT_IN_USE)
		return claim->result;
	port_set_key_of(&claim->key, &work->reverse.key, claim->first, nat_gateway);
	claim->set = port_set_known();
	if (claim->set == PORT_SET_NONE) {
		bpf_loop(PORT_RANDOM_PROBES - 1, port_random_step, NULL, 0);
		if (claim->result != PORT_IN_USE)
			return claim->result;
		claim->set = port_set_make(claim->now);
	}
	if (claim->set == PORT_SET_NONE) {
		bpf_loop(PORT_FALLBACK_STEPS, port_random_step, NULL, 0);
		return claim->result == PORT_IN_USE ? PORT_NONE_FREE : claim->result;
	}
	claim->looks = port_set_has_room(claim->set) ? PORT_SET_LOOKS : 0;
	bpf_loop(PORT_SET_STEPS_MAX, port_set_step, NULL, 0);
	if (claim->result == PORT_NONE_FREE)
		port_set_check(claim, nat_gateway);
	return claim->result == PORT_IN_USE ? PORT_NONE_FREE : claim->result;
}

#endif

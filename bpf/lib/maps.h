/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All maps. Every program declares the same ones and the agent gives it those that are pinned, under
 * these names. Sizes that depend on flow_capacity are 1 here and set by the agent before loading.
 */
#ifndef SALLYPORT_BPF_MAPS_H
#define SALLYPORT_BPF_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "lib/compiler.h"
#include "lib/flow_view.h"
#include "sallyport/abi/flow.h"
#include "sallyport/abi/maps.h"
#include "sallyport/abi/port_set.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct meta);
} meta SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FLOW_REGION_BUCKETS); /* meta.flow_regions * FLOW_REGION_BUCKETS */
	__type(key, __u32);
	__type(value, struct flow_bucket);
} flow_buckets SEC(".maps");

struct flow_lock {
	struct bpf_spin_lock lock;
	__u32 zero[15]; /* a cache line each */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* meta.flow_regions */
	__type(key, __u32);
	__type(value, struct flow_lock);
} flow_locks SEC(".maps");

/* How many flows nobody has answered: all of them, and those of each group of instances. */
enum unanswered_index {
	UNANSWERED_ALL = 0,
	UNANSWERED_CURSOR = 1,	    /* the next bucket of the table that is looked through for them */
	UNANSWERED_FIRST_GROUP = 8, /* apart from what every processor writes */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UNANSWERED_FIRST_GROUP + UNANSWERED_GROUPS);
	__type(key, __u32);
	__type(value, __u32);
} unanswered SEC(".maps");

struct host_bucket {
	struct bpf_spin_lock lock;
	__u8 zero0[HOST_BUCKET_HEADER_BYTES - sizeof(struct bpf_spin_lock)];
	struct host host[HOST_BUCKET_ENTRIES];
};
ABI_ASSERT_SIZE(struct host_bucket, HOST_BUCKET_BYTES);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* meta.flow_regions * HOST_BUCKETS_PER_REGION */
	__type(key, __u32);
	__type(value, struct host_bucket);
} hosts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* meta.port_sets */
	__type(key, __u32);
	__type(value, struct port_set);
} port_sets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NAT_GATEWAYS_MAX);
	__type(key, __u32);
	__type(value, struct port_mask);
} reserved_ports SEC(".maps");

/* A hash map, because an element of one is replaced as a whole. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SHARED_ELASTIC_IPS_MAX);
	__type(key, __be32);
	__type(value, struct host_ports);
} host_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PORT_SETS_MAX);
	__type(key, struct port_set_key);
	__type(value, __u32);
} port_set_numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DEVICES_MAX);
	__type(key, __u32);
	__type(value, struct device);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, DEVICES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} transmit SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SUBNETS_MAX);
	__type(key, struct subnet_key);
	__type(value, struct subnet);
} subnets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, ROUTES_MAX);
	__type(key, struct route_key);
	__type(value, struct route);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PRIVATE_PREFIXES_MAX);
	__type(key, struct prefix_key);
	__type(value, __u32);
} private_prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, INSTANCES_MAX);
	__type(key, struct instance_key);
	__type(value, struct instance);
} instances SEC(".maps");

/* A hash map, because an element of one is replaced as a whole: no packet sees half of a new rule. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SECURITY_GROUPS_MAX);
	__type(key, __u32);
	__type(value, struct security_group);
} security_groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, INNER_FLOWS_MAX);
	__type(key, struct flow_key);
	__type(value, struct inner_flow);
} inner_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PORT_FORWARDS_MAX);
	__type(key, struct port_forward_key);
	__type(value, struct port_forward);
} port_forwards SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PORT_FORWARDS_MAX);
	__type(key, struct forwarded_endpoint_key);
	__type(value, struct forwarded_endpoint);
} forwarded_endpoints SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NAT_GATEWAYS_MAX);
	__type(key, __u32);
	__type(value, struct nat_gateway);
} nat_gateways SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NAT_GATEWAYS_MAX);
	__type(key, __u32);
	__type(value, struct nat_gateway_usage);
} nat_gateway_usage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NAT_GATEWAYS_MAX);
	__type(key, __u32);
	__type(value, struct host_limits);
} host_limits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ELASTIC_IPS_MAX);
	__type(key, __be32);
	__type(value, struct elastic_ip);
} elastic_ips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * LOCAL_ADDRESSES_MAX); /* and as many broadcasts of their links */
	__type(key, __be32);
	__type(value, __u32);
} local_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NEXT_HOPS_MAX);
	__type(key, __u32);
	__type(value, struct next_hop);
} next_hops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NEXT_HOPS_MAX);
	__type(key, struct neighbour_key);
	__type(value, __u32);
} next_hop_numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, IDENTIFIERS_MAX);
	__type(key, struct identifier_key);
	__type(value, __u32);
} identifiers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAGMENTS_MAX);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EARLY_FRAGMENTS_BYTES);
} early_fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, AWAITED_DATAGRAMS_MAX);
	__type(key, struct fragment_key);
	__type(value, __u32);
} awaited_datagrams SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, DEVICES_MAX);
	__type(key, __u32);
	__type(value, struct early_fragment_account);
} early_fragment_accounts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, EARLY_FRAGMENT_SOURCES);
	__type(key, __u32);
	__type(value, struct budget);
} early_fragment_budgets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct early_fragment_work);
} early_fragment_works SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, IDENTIFICATION_COUNTERS);
	__type(key, __u32);
	__type(value, __u32);
} identifications SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} counters SEC(".maps");

/* What a new flow is made from. */
struct flow_wish {
	struct flow_key key; /* of the packet that opens it */
	__u32 nat_gateway;   /* number */
	__u32 now;
	__u32 generation;
	__u32 acknowledged;	 /* TCP: what a RST that answers the SYN has to acknowledge */
	__u32 mapping_id;	 /* of the mapping that it shall use; 0: none */
	__be32 external_address; /* if is_static */
	__be16 external_port;
	__u8 is_static; /* the external endpoint is given: FLOW_STATIC */
	__u8 zero0;
	__u8 unshared;	/* a mapping that is to be made is for this flow alone */
	__u8 permitted; /* a reference on a permit is the flow's */
	__u8 state;	/* enum flow_state to begin with */
	__u8 counted;	/* FLOW_COUNTED, if it takes part of its instance's limits */
};

/* A search for a free port in progress. */
struct port_claim {
	__u32 now;
	__u32 slot;  /* where the reverse entry stands */
	__u32 set;   /* number of the port set */
	__u16 first; /* the range, host order: every step-th port from the first on */
	__u16 last;
	__u16 nat_gateway; /* number */
	__u16 generation;  /* of the configuration */
	__u16 step;	   /* 2: only ports of the first one's parity; more: blocks of so many */
	__u8 reserves;	   /* the NAT gateway has ports that it never gives out */
	__u8 forwards;	   /* the Elastic IP has ports that lead to instances */
	__u8 is_new;	   /* nothing has been tried yet on this Elastic IP */
	__u8 shares;	   /* the Elastic IP is the host's as well, and so are some of its ports */
	__u16 looks;	   /* how many bits of the set may still be looked at */
	__u32 host_ports;  /* version of these */
	__s32 picked;	   /* a port whose bit in the set is this claim's, not tried yet */
	__u32 result;	   /* enum port_result */
	__u32 again;	   /* the port behind work->standing, to be tried first the next time; 0: none */
	struct port_set_key key; /* of the set that is asked for */
};

/* In the flags of struct flow_ends, beside those of enum flow_flag: the flow stays inside (inner.h). */
#define FLOW_ENDS_INNER (1 << 0)

/* A flow, for the question whether the configuration allows it: route.h, security_group.h. */
struct flow_ends {
	__be32 instance;
	__be32 remote;
	__be32 external;
	__be16 instance_port;
	__be16 remote_port;
	__be16 external_port;
	__u16 zone;
	__u8 protocol;
	__u8 flags;				  /* FLOW_STATIC, FLOW_FROM_OUTSIDE, FLOW_ENDS_INNER */
	__u16 is_open;				  /* without a security group it is allowed */
	__be32 own_elastic_ip;			  /* of the instance, or 0 */
	struct security_group_list groups;	  /* of the instance */
	struct security_group_list remote_groups; /* of the remote, if it is an instance as well */
};

/*
 * Room for what is being made or ended: the stack has 512 bytes for all functions together. A processor works
 * on one packet at a time, so there is one for each; and one for the reaper, which a packet may interrupt
 * (BPF_PROG_RUN leaves soft interrupts on before kernel 6.11).
 */
struct workspace {
	struct flow_entry forward;
	struct flow_entry reverse;
	struct flow_entry mapping;
	struct flow_entry permit;
	struct flow_entry standing; /* past its timeout, and in the way of a new one */
	struct flow_entry ending;
	struct flow_entry removed;
	struct flow_entry released;
	struct flow_wish wish;
	struct flow_key key;
	struct flow_view view;
	struct flow_view outward; /* what becomes of a packet's source before it turns around: hairpin.h */
	struct port_claim claim;
	struct flow_ends ends;
	struct {
		__u32 mapping_id; /* of the mapping that the flow held a reference on; 0: none */
		__u32 flags;	  /* enum flow_flag */
		__u32 in_block;	  /* its port, or that of its mapping which went with it, was of a block */
	} ended;		  /* what else is to be given back of the flow in `ending` */
	struct {
		__be32 elastic_ip;
		__u32 flow_id;
		__u16 first_port; /* host order */
		__u16 last_port;
		__u16 number; /* which of its instance's blocks */
		__u8 gone;    /* its Elastic IP is not the NAT gateway's any more */
		__u8 zero0;
		__u32 tried; /* a bit for each block that has no free port for the flow */
		__u32 held;  /* blocks that the instance has on Elastic IPs of the NAT gateway */
	} block;	     /* that the port of the flow or mapping in `wish` is to be of */
	__u32 place;	     /* in the list of the NAT gateway's Elastic IPs */
	__u32 tried;	     /* Elastic IPs that have no free port */
};

enum workspace_owner {
	WORKSPACE_OF_PACKETS,
	WORKSPACE_OF_REAPER,
	WORKSPACES,
};
extern const __u32 workspace_owner; /* which one a program uses: each says it */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WORKSPACES);
	__type(key, __u32);
	__type(value, struct workspace);
} workspaces SEC(".maps");

static __always_inline struct workspace *workspace_get(void)
{
	__u32 owner = workspace_owner;

	return bpf_map_lookup_elem(&workspaces, &owner);
}

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct reply_budget);
} reply_budgets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, DROP_EVENTS_BYTES);
} drop_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, PORT_BLOCK_EVENTS_BYTES);
} port_block_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, REAP_BATCH_MAX);
	__type(key, __u32);
	__type(value, struct reap_request);
} reap_batch SEC(".maps");

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keys and values of the maps that the agent fills and the programs read, with the counters that the
 * programs write and the agent reads. The maps themselves are declared in bpf/lib/maps.h; their names
 * there are the names that they are pinned under.
 */
#ifndef SALLYPORT_ABI_MAPS_H
#define SALLYPORT_ABI_MAPS_H

#include "sallyport/abi/base.h"
#include "sallyport/abi/drop_reason.h"
#include "sallyport/abi/limits.h"

/* "meta", one element: what was decided when the pinned state was made, and never changes. */
struct meta {
	__u32 layout_version;
	__u32 flow_regions;  /* of FLOW_REGION_BUCKETS buckets each */
	__u32 hash_seed[4];  /* random, so that nobody outside can aim at a bucket */
	__u32 flow_capacity; /* as configured when the table was made */
	__u32 port_sets;     /* elements of the map port_sets */
	char made_by[32];    /* version of the agent */
};
ABI_ASSERT_SIZE(struct meta, 64);

/* "settings", one element: what a running agent changes. */
struct settings {
	__u64 clock_offset_ns;	     /* added to CLOCK_MONOTONIC (coarse) to give the flows' clock */
	__u32 generation;	     /* low 16 bits are compared with the flows' */
	__u32 next_hops_valid_until; /* tick; past it next hops are not trusted, the kernel is asked */
	__u32 drop_events_until;     /* tick; drop events are sent until then */
	__u32 unanswered_capacity;   /* flows without an answer that may stand at once; 0: any number */
	__u64 jiffies_offset_ns;     /* CLOCK_MONOTONIC less the jiffies; 0: the next packet finds out */
	__u32 fragments_held_until;  /* tick; the agent takes early fragments until then */
	__u32 zero0;
	__u64 zero1[3];
};
ABI_ASSERT_SIZE(struct settings, 64);

enum device_role {
	DEVICE_UNUSED = 0,
	DEVICE_INSIDE = 1,
	DEVICE_OUTSIDE = 2,
	DEVICE_BOTH = 3, /* one-armed: inside and outside at once */
};

enum device_flag {
	/*
	 * The host's routes may take what is behind it for something else: another VPC has the same addresses, or the
	 * device is of a VRF. What goes in here is left to them only where they have just been asked and were right.
	 */
	DEVICE_AMBIGUOUS = 1 << 0,
};

/* "devices", by slot. A program knows its own slot as a constant. */
struct device {
	__u32 ifindex;
	__be32 address; /* source of the ICMP errors that are sent out of this device; 0: none are */
	__u16 mtu;
	__u16 zone; /* of the VPC on the inside; 0 for an outside device */
	__u8 role;  /* enum device_role */
	__u8 mac[6];
	__u8 flags;		  /* enum device_flag */
	__u32 replies_per_second; /* ICMP errors and resets that a processor may send out of it */
	__u32 zero1[2];
};
ABI_ASSERT_SIZE(struct device, 32);

/* "transmit" is a DEVMAP by slot whose values are interface indexes. */

/* "subnets": longest prefix by zone and instance address. */
struct subnet_key {
	__u32 prefix_length; /* 32 bits of zone and then the prefix */
	__u32 zone;	     /* in network order, because tries compare from the first byte */
	__be32 address;
};
/* Numbers, from 1 on, of the security groups that hold for an address; none: nothing is held back by any. */
struct security_group_list {
	__u16 count;
	__u16 number[SECURITY_GROUPS_PER_INSTANCE_MAX];
};
ABI_ASSERT_SIZE(struct security_group_list, 12);
enum subnet_flag {
	SUBNET_HAS_INSTANCES = 1 << 0, /* "instances" has some of its addresses */
};
struct subnet {
	__u32 subnet;	   /* number of the subnet */
	__u32 route_table; /* number of its route table */
	__u32 flags;	   /* enum subnet_flag */
	struct security_group_list groups;
};
ABI_ASSERT_SIZE(struct subnet, 24);

/* "instances": what holds for one address of a VPC, in place of what its subnet says. */
struct instance_key {
	__u32 zone;
	__be32 address;
};
struct instance {
	__be32 elastic_ip; /* its own, or 0 */
	struct security_group_list groups;
};
ABI_ASSERT_SIZE(struct instance, 16);

/* "security_groups", by number. A flow that one rule allows is allowed. */
struct security_rule {
	__be32 remote; /* address & mask */
	__be32 mask;
	/* Of the end that is called, host order; of ICMP, type * 256 + code of a message. 0 to 65535 for all. */
	__u16 first_port;
	__u16 last_port;
	__u8 protocol; /* 0: any */
	__u8 zero0;
	__u16 remote_group; /* number of a security group that has to hold for the remote; 0: none has to */
};
ABI_ASSERT_SIZE(struct security_rule, 16);
struct security_group {
	__u16 ingress_count;
	__u16 egress_count;
	__u32 zero0;
	struct security_rule ingress[SECURITY_GROUP_RULES_MAX];
	struct security_rule egress[SECURITY_GROUP_RULES_MAX];
};
ABI_ASSERT_SIZE(struct security_group, 8 + 2 * SECURITY_GROUP_RULES_MAX * 16);

/* "routes": longest prefix by route table and destination. */
struct route_key {
	__u32 prefix_length;
	__u32 route_table; /* network order */
	__be32 destination;
};
enum route_target {
	ROUTE_LOCAL = 1,       /* a prefix of the VPC itself: the kernel forwards it */
	ROUTE_NAT_GATEWAY = 2, /* index: number of the NAT gateway */
	ROUTE_BLACKHOLE = 3,
	ROUTE_UNTRANSLATED = 4,	    /* index: NAT gateway whose timers and counters apply */
	ROUTE_INTERNET_GATEWAY = 5, /* index: its number, from INTERNET_GATEWAY_FIRST on */
	ROUTE_VIA = 6,		    /* via: a router inside, which gets the packet as it is */
};
struct route {
	__u16 target; /* enum route_target */
	__u16 index;
	__be32 via;
};
ABI_ASSERT_SIZE(struct route, 8);

/*
 * "inner_flows", by struct flow_key of whoever opened it: what the security groups have let through of what stays inside
 * (bpf/lib/inner.h). The key's kind is the ICMP type of a question, and 0 for other protocols.
 */
enum inner_flow_seen {
	INNER_FLOW_ANSWERED = 1 << 0,
	INNER_FLOW_FIN_OF_OPENER = 1 << 1,
	INNER_FLOW_FIN_OF_ANSWER = 1 << 2,
	INNER_FLOW_FINISHED = INNER_FLOW_FIN_OF_OPENER | INNER_FLOW_FIN_OF_ANSWER, /* or a reset */
};
struct inner_flow {
	__u32 last_seen;  /* tick */
	__u16 generation; /* of the configuration that it was last checked against */
	__u16 message;	  /* ICMP: type * 256 + code of what opened it */
	__u8 seen;	  /* enum inner_flow_seen */
	__u8 zero0[3];
};
ABI_ASSERT_SIZE(struct inner_flow, 12);
/* How long it lives without a packet, in seconds: TCP once it is answered and until it is closed, and before and after. */
#define INNER_FLOW_TIMEOUT 300
#define INNER_FLOW_TIMEOUT_ICMP 60
#define INNER_FLOW_TIMEOUT_TCP_ESTABLISHED 7440
#define INNER_FLOW_TIMEOUT_TCP 240

/* "private_prefixes": prefixes of all VPCs; what comes from outside must not be addressed to them. */
struct prefix_key {
	__u32 prefix_length;
	__be32 address;
};

enum timeout_class {
	TIMEOUT_UDP = 0,
	TIMEOUT_ICMP = 1,
	TIMEOUT_TCP_OPENING = 2,
	TIMEOUT_TCP_ESTABLISHED = 3,
	TIMEOUT_TCP_CLOSING = 4,
	TIMEOUT_TCP_RESET = 5,
	TIMEOUT_CLASSES = 6
};

/* Index of what is set per protocol. */
enum nat_protocol {
	NAT_TCP = 0,
	NAT_UDP = 1,
	NAT_ICMP = 2,
	NAT_PROTOCOLS = 3,
};

/* RFC 4787 sections 4.1 and 5. */
enum endpoint_rule {
	ENDPOINT_INDEPENDENT = 0,
	ADDRESS_DEPENDENT = 1,
	ADDRESS_AND_PORT_DEPENDENT = 2,
};

enum nat_gateway_flag {
	NAT_GATEWAY_IN_USE = 1 << 0,
	NAT_GATEWAY_STRICT_PAIRING = 1 << 1,
	NAT_GATEWAY_HAIRPIN = 1 << 2, /* its instances and others may meet through Elastic IPs */
	NAT_GATEWAY_CLAMP_MSS = 1 << 3,
	NAT_GATEWAY_LIMITS = 1 << 4, /* "host_limits" has some */
	NAT_GATEWAY_PRESERVE_PORT = 1 << 5,
	NAT_GATEWAY_PRESERVE_PARITY = 1 << 6,
	NAT_GATEWAY_PRESERVE_RANGE = 1 << 7,
	NAT_GATEWAY_RESET_ON_IDLE = 1 << 10,	   /* the agent's business */
	NAT_GATEWAY_HAIRPIN_SAME_TENANT = 1 << 11, /* but only those of one VPC */
	NAT_GATEWAY_FORWARDS_PORTS = 1 << 12,	   /* of one of its Elastic IPs */
	NAT_GATEWAY_LENIENT_QUOTES = 1 << 13,	   /* ICMP errors may quote headers with a wrong checksum */
};

/* What an instance is told when no flow can be made for it. */
enum exhaustion {
	EXHAUSTION_UNREACHABLE = 0, /* ICMP 3/1, which aborts no TCP connection */
	EXHAUSTION_PROHIBITED = 1,  /* ICMP 3/13, as RFC 5508 REQ-8 has it */
	EXHAUSTION_NOT_TOLD = 2,
};

/* "nat_gateways", by number. An internet gateway is one that has no Elastic IPs: its instances have them. */
struct nat_gateway {
	__u32 flags; /* enum nat_gateway_flag */
	__u32 elastic_ip_count;
	__be32 elastic_ips[NAT_GATEWAY_ELASTIC_IPS_MAX];
	__u16 first_port; /* of the range that external ports are taken from, host order */
	__u16 last_port;
	__u16 timeouts[TIMEOUT_CLASSES]; /* timeout units, see flow.h */
	__u8 mapping[NAT_PROTOCOLS];	 /* enum endpoint_rule */
	__u8 filtering[NAT_PROTOCOLS];
	__u8 icmp_on_exhaustion;   /* enum exhaustion */
	__u8 reserves_ports;	   /* "reserved_ports" has some */
	__u16 port_quarantine;	   /* timeout units that a freed port rests; 0: none does */
	__u16 port_block_size;	   /* a power of two; 0: ports are anybody's */
	__u32 port_quarantine_max; /* ports that rest at once */
	__u16 port_block_hold;	   /* timeout units that an instance keeps a block without a flow */
	__u16 port_blocks_max;	   /* of an instance, at most PORT_BLOCKS_MAX */
	__u32 zero1[5];
};
ABI_ASSERT_SIZE(struct nat_gateway, 320);

/*
 * How much an instance belongs to the Elastic IP at a place in its NAT gateway's list: it is at home where that is
 * most, and stays there when others come and go (rendezvous hashing). The place is in the lowest bits.
 */
static inline __attribute__((always_inline)) __u64 elastic_ip_weight(__be32 elastic_ip, __u32 place,
								     __be32 instance, __u32 zone)
{
	__u64 weight = instance, tenant = zone;

	weight = (weight << 32 | elastic_ip) ^ tenant << 16;
	weight = (weight ^ weight >> 32) * 0x9e3779b97f4a7c15ULL;
	weight = (weight ^ weight >> 29) * 0xbf58476d1ce4e5b9ULL;
	weight >>= 32;
	return (weight & ~(NAT_GATEWAY_ELASTIC_IPS_MAX - 1ULL)) | place;
}

/* "nat_gateway_usage", by number: what the programs count, exactly and for all processors together. */
struct nat_gateway_usage {
	__u32 resting_ports;
	__u32 port_block_events_lost;
	__u32 zero0[14]; /* a cache line each */
};
ABI_ASSERT_SIZE(struct nat_gateway_usage, 64);
/* "host_limits", by number of the NAT gateway: what one instance may have. 0: not limited. */
struct host_limits {
	__u32 flows;
	__u32 ports; /* external ports held: by a mapping, or by a flow without one */
	__u32 new_flows_per_second;
	__u32 flows_per_mapping;
	__u32 zero0[4];
};
ABI_ASSERT_SIZE(struct host_limits, 32);

/*
 * "hosts": buckets of HOST_BUCKET_BYTES, a header with a lock and then HOST_BUCKET_ENTRIES of these: what an
 * instance holds of a NAT gateway with limits. Unused where it holds nothing.
 */
struct host {
	__be32 address;
	__u16 zone;
	__u16 nat_gateway;
	__u32 flows;
	__u32 ports;
	__u64 next_ns; /* when the next new flow would be due, by the flows' clock */
	__u32 told;    /* tick of the last refusal */
	__u32 zero0;
};
ABI_ASSERT_SIZE(struct host, 32);

#define NO_NAT_GATEWAY 0xffff
#define NO_DEVICE 0xff

enum elastic_ip_flag {
	ELASTIC_IP_FORWARDS_PORTS = 1 << 0, /* "port_forwards" has some */
	ELASTIC_IP_DRAINING = 1 << 1,	    /* takes no new flows; not in its NAT gateway's list either */
	/*
	 * Where it is in "local_addresses" as well, what nobody inside has of it is the host's; and no flow gets a
	 * port of "host_ports".
	 */
	ELASTIC_IP_SHARED_WITH_HOST = 1 << 2,
};

/* "elastic_ips", by address: what the gateway answers for. */
struct elastic_ip {
	__u16 nat_gateway;   /* number, of an internet gateway if it is an instance's; or NO_NAT_GATEWAY */
	__u8 on_link_device; /* slot of the device whose subnet it lies in: ARP is answered there */
	__u8 flags;	     /* enum elastic_ip_flag */
	__u32 identifier;
	__be32 instance; /* that has it to itself; 0: none */
	__u16 zone;	 /* of the instance */
	__u16 zero0;
};
ABI_ASSERT_SIZE(struct elastic_ip, 16);

/* "port_forwards": longest prefix by Elastic IP, protocol and port, which a range is cut into. */
struct port_forward_key {
	__u32 prefix_length; /* 48 bits of address and protocol, and then the port's */
	__be32 elastic_ip;
	__u8 protocol;
	__u8 zero0;
	__be16 port;
};
ABI_ASSERT_SIZE(struct port_forward_key, 12);
struct port_forward {
	__be32 address; /* of the instance */
	__u16 zone;
	__u16 first_port; /* of the whole range, host order */
	__u16 to_port;	  /* what first_port becomes, host order */
	__u16 zero0;
};
ABI_ASSERT_SIZE(struct port_forward, 12);

/*
 * "forwarded_endpoints": the same seen from inside, longest prefix by instance, protocol and port. What such an endpoint
 * sends leaves from the external endpoint that leads to it (RFC 4787 REQ-1).
 */
struct forwarded_endpoint_key {
	__u32 prefix_length; /* 64 bits of zone, protocol and address, and then the port's */
	__u16 zone;
	__u8 protocol;
	__u8 zero0;
	__be32 address;
	__be16 port;
	__u16 zero1;
};
ABI_ASSERT_SIZE(struct forwarded_endpoint_key, 16);
struct forwarded_endpoint {
	__be32 elastic_ip;
	__u16 first_port; /* of the whole range inside, host order */
	__u16 to_port;	  /* what first_port becomes outside, host order */
};
ABI_ASSERT_SIZE(struct forwarded_endpoint, 8);

/* "local_addresses", by address: what the kernel does not forward. */
enum local_address {
	LOCAL_ADDRESS_OF_HOST = 1,   /* the host's own */
	LOCAL_ADDRESS_BROADCAST = 2, /* the directed broadcast of a link that the host is on */
};

/* "next_hops", by number; number 0 is never used. */
enum next_hop_state {
	NEXT_HOP_UNUSED = 0,
	NEXT_HOP_RESOLVED = 1,
	NEXT_HOP_UNRESOLVED = 2, /* the packet goes up the stack, which resolves the neighbour */
	NEXT_HOP_UNREACHABLE =
		3, /* it did not answer: the sender is told, and now and then it is tried anew */
};
struct next_hop {
	__u32 ifindex;
	__be32 address; /* of the neighbour */
	__u16 mtu;	/* of the device */
	__u8 device;	/* slot */
	__u8 state;	/* enum next_hop_state */
	__u8 destination_mac[6];
	__u8 source_mac[6];
	__u32 zero0[2];
};
ABI_ASSERT_SIZE(struct next_hop, 32);

/* "next_hop_numbers": by neighbour, so that a new flow finds the number. Value: __u32 number. */
struct neighbour_key {
	__u32 ifindex;
	__be32 address;
};

/* "identifiers": numbers given to names, for the agent alone, so that a new agent gives the same. */
enum identifier_kind {
	IDENTIFIER_VPC = 1, /* the number is the zone */
	IDENTIFIER_SUBNET = 2,
	IDENTIFIER_ROUTE_TABLE = 3,
	IDENTIFIER_NAT_GATEWAY = 4,
	IDENTIFIER_ELASTIC_IP = 5,
	IDENTIFIER_DEVICE = 6, /* the number is the slot */
	IDENTIFIER_INTERNET_GATEWAY = 7,
	IDENTIFIER_SECURITY_GROUP = 8,
};
struct identifier_key {
	__u32 kind;
	char name[OBJECT_NAME_BYTES];
};

/* "counters", one element per CPU. Written only by their CPU; sum them. */
struct device_counters {
	__u64 received_packets;
	__u64 received_bytes;
	__u64 forwarded;
	__u64 passed; /* to the host's network stack */
	__u64 dropped;
	__u64 answered; /* ARP requests turned into replies */
	__u64 held;	/* fragments handed to the agent; each is received again when it gives it back */
};
struct nat_gateway_counters {
	__u64 out_packets; /* from instances, forwarded to destinations */
	__u64 out_bytes;
	__u64 in_packets; /* from destinations, forwarded to instances */
	__u64 in_bytes;
	__u64 out_dropped_packets; /* from instances, known to be this gateway's, dropped */
	__u64 out_dropped_bytes;
	__u64 in_dropped_packets;
	__u64 in_dropped_bytes;
	__u64 flow_attempts;
	__u64 flows_established;
	__u64 port_allocation_errors;
	__u64 idle_timeouts;
};
struct counters {
	struct device_counters devices[DEVICES_MAX];
	__u64 drops[DROP_REASONS_MAX]; /* by enum drop_reason */
	__u64 icmp_errors_sent;
	__u64 tcp_resets_sent;
	__u64 replies_suppressed; /* ICMP errors and resets that the rate limit held back */
	__u64 zero0[5];
	struct nat_gateway_counters nat_gateways[NAT_GATEWAYS_MAX];
};
ABI_ASSERT(sizeof(struct counters) <= 32768); /* a per-CPU element cannot be larger */

/* "fragments": the translation of a datagram's first fragment, for those that follow it. */
struct fragment_key {
	__be32 source;
	__be32 destination;
	__be16 identification;
	__u8 protocol;
	__u8 zero0;
	__u32 zone;
};
ABI_ASSERT_SIZE(struct fragment_key, 16);
struct fragment {
	__be32 new_address;
	__u32 last_seen; /* tick of the first fragment */
	__be32 ports;	 /* of its transport header, as they came */
	__u16 ip_delta;
	__u16 next_hop;
	__u16 nat_gateway;
	__u16 identification; /* that all fragments of the datagram leave with, as in the packet */
	__u8 forward;	      /* the instance's direction */
	__u8 hairpin;	      /* as FLOW_HAIRPIN says of a flow */
	__u8 complete;	      /* its last fragment was seen: another datagram may have the same key now */
	__u8 zero0;
};
ABI_ASSERT_SIZE(struct fragment, 24);

/*
 * "early_fragments": a ring buffer of these. With frame_bytes it is a fragment that came before the first one of
 * its datagram, the whole frame as it came; without, word that the first one of an awaited datagram has come.
 */
struct early_fragment {
	struct fragment_key key;
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 frame_bytes;
	__u8 device; /* slot */
	__u8 zero0[3];
	__u8 frame[EARLY_FRAGMENT_BYTES_MAX];
};
ABI_ASSERT_OFFSET(struct early_fragment, frame, 32);

/* "awaited_datagrams", by struct fragment_key: those that the agent holds fragments of; the value is unused. */

/* In front of a frame that the agent gives back, where XDP has its metadata: it is not to be held again. */
#define EARLY_FRAGMENT_HELD 0x68656c64

/* "early_fragment_accounts", by slot, kept by the agent: what became of the fragments that were handed over. */
struct early_fragment_account {
	__u64 taken;	/* out of the ring buffer */
	__u64 returned; /* to the program, which has received them twice now */
	__u64 returned_bytes;
	__u64 lost; /* with an agent that died, or with their device */
};
ABI_ASSERT_SIZE(struct early_fragment_account, 32);

/* "early_fragment_budgets", by hash of the source: how many of its fragments may still be handed over. */
struct budget {
	__u64 tokens;
	__u64 refilled_ns;
};

/*
 * "early_fragment_works", one element per CPU: what the processor may still hand over, and where a record is put
 * together.
 */
struct early_fragment_work {
	struct budget budget;
	struct early_fragment record;
};

/* "identifications": the numbers that datagrams were given, see bpf/lib/identification.h. */

/* "reply_budgets", one element per CPU: how many ICMP errors and resets may still be made. */
struct reply_budget {
	__u64 tokens; /* a reply costs as many as a second has nanoseconds */
	__u64 refilled_ns;
};

/* "drop_events": a ring buffer of these. */
struct drop_event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u16 reason; /* enum drop_reason */
	__u16 length;
	__u8 protocol;
	__u8 device; /* slot */
	__u8 tcp_flags;
	__u8 zero0;
	__u32 zero1;
};
ABI_ASSERT_SIZE(struct drop_event, 32);

enum port_block_happening {
	PORT_BLOCK_ALLOCATED = 0,
	PORT_BLOCK_RELEASED = 1,
};

/* "port_block_events": a ring buffer of these. */
struct port_block_event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__be32 elastic_ip;
	__be32 instance;
	__u16 first_port; /* host order */
	__u16 last_port;
	__u16 zone;
	__u16 nat_gateway; /* number */
	__u32 happened;	   /* enum port_block_happening */
	__u32 zero0;
};
ABI_ASSERT_SIZE(struct port_block_event, 32);

/*
 * "reap_batch": which flows the reaper is to look at. The reaper's input is one struct
 * reap_command; it writes the result back into the same bytes.
 */
enum reap_mode {
	REAP_EXPIRED = 0, /* remove what is past its timeout; checked again under the lock */
	REAP_CUT = 1,	  /* remove whatever its age */
};
struct reap_request {
	__u32 slot; /* of the forward entry, or of an entry whose forward entry is gone */
	__u32 flow_id;
};
struct reap_command {
	__u32 count;
	__u32 mode;    /* enum reap_mode */
	__u32 removed; /* result */
	__u32 zero0;
	__u8 filler[48]; /* a test run wants at least a frame's worth of input */
};
ABI_ASSERT_SIZE(struct reap_command, 64);

/*
 * Input of the program that asks where the kernel's routes lead: what a packet that came in by the interface
 * of the run's context has become. The answer is written back into the same bytes.
 */
struct next_hop_question {
	__be32 source; /* after translation, as are all of these */
	__be32 destination;
	__u32 role; /* enum device_role that the device has to have */
	__u32 zone; /* of the instance that it is for; ZONE_OUTSIDE: it is for none, or nobody knows whose */
	__u32 inward; /* whether it is for an instance */
	__u32 reason; /* answer: enum drop_reason, or 0 */
	__u32 refused; /* answer, of a drop: code of the ICMP unreachable that its sender gets, and 1; 0: none */
	__u32 device;	 /* answer: slot */
	__be32 towards;	 /* answer: the neighbour that is to get it, which is the destination or a router */
	__u32 resolved;	 /* answer: whether the kernel knows that neighbour's link address */
	__u32 elsewhere; /* answer: whether the kernel by itself would send it elsewhere */
	__u8 filler[20];
};
ABI_ASSERT_SIZE(struct next_hop_question, 64);

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every bound of the data plane, named once. */
#ifndef SALLYPORT_ABI_LIMITS_H
#define SALLYPORT_ABI_LIMITS_H

/* Changes whenever the meaning of anything pinned changes. An agent refuses state of another version. */
#define SALLYPORT_LAYOUT_VERSION 7

#define FLOW_BUCKET_ENTRIES 15 /* entries of 64 bytes beside one line of tags in a 1 KB bucket */
#define FLOW_BUCKET_BYTES 1024
#define FLOW_REGION_BUCKETS 64 /* buckets under one lock; both choices of a key lie in one region */
#define FLOW_REGIONS_MAX (1 << 20)

#define DEVICES_MAX 64
#define NAT_GATEWAYS_MAX 256	   /* numbers, those of internet gateways included */
#define INTERNET_GATEWAY_FIRST 192 /* numbers from here on are internet gateways' */
#define NAT_GATEWAY_ELASTIC_IPS_MAX 64
#define ELASTIC_IPS_MAX 16384
#define SHARED_ELASTIC_IPS_MAX 256 /* with the host */
#define INSTANCES_MAX 65536
#define PORT_FORWARDS_MAX 65536 /* a range of ports is one to thirty of them */
#define SECURITY_GROUPS_MAX 4096
#define SECURITY_GROUP_RULES_MAX 60 /* each way */
#define SECURITY_GROUPS_PER_INSTANCE_MAX 5
#define INNER_FLOWS_MAX 131072 /* upper bound; the agent sizes the map by flow_capacity */
#define NEXT_HOPS_MAX 65536    /* number 0 means "not known yet" */
#define SUBNETS_MAX 65536
#define ROUTES_MAX 131072
#define PRIVATE_PREFIXES_MAX 65536
#define LOCAL_ADDRESSES_MAX 4096
#define IDENTIFIERS_MAX 262144
#define FRAGMENTS_MAX 16384		/* datagrams whose first fragment was seen */
#define AWAITED_DATAGRAMS_MAX 1024	/* of which fragments are held, but not the first */
#define EARLY_FRAGMENTS_BYTES (2 << 20) /* on their way to the agent */
#define EARLY_FRAGMENT_BYTES_MAX 3328	/* the largest frame that the agent can give back on every kernel */
#define EARLY_FRAGMENT_SOURCES 4096	/* budgets that sources share by their hash */
#define IDENTIFICATION_COUNTERS 16384
#define DROP_EVENTS_BYTES (256 * 1024)
#define REAP_BATCH_MAX 65536 /* flows that one run of the reaper may remove */
#define VLAN_TAGS_MAX 2

#define LOW_PORT_LAST 1023 /* ports up to this are told apart where a NAT gateway preserves the range */
#define PORT_SETS_MAX 4096 /* upper bound; the agent sizes the map by flow_capacity */
#define PORT_BLOCK_SIZE_MIN 64
#define PORT_BLOCK_SIZE_MAX 4096
#define PORT_BLOCKS_MAX 8 /* of an instance */
#define PORT_BLOCK_EVENTS_BYTES (256 * 1024)
#define PORT_RANDOM_PROBES 8 /* tries at a random port before a remote gets a port set */

#define HOST_BUCKET_ENTRIES 15 /* instances that are counted under one lock */
#define HOST_BUCKET_HEADER_BYTES 32
#define HOST_BUCKET_BYTES 512
#define HOST_BUCKETS_PER_REGION 8 /* of the flow table: an instance for every three flows */
#define UNANSWERED_GROUPS 8192	  /* that instances fall into by hash */

#define OBJECT_NAME_BYTES 64 /* a name of at most 63 characters and its end */

#endif

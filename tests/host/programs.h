/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whole programs on the host, run on frames as the kernel would. What the agent configures is there once;
 * what programs remember is there once for each of two worlds, so that the same frames can be run in two ways
 * side by side.
 */
#ifndef SALLYPORT_TEST_PROGRAMS_H
#define SALLYPORT_TEST_PROGRAMS_H

/* NOLINTBEGIN(readability-identifier-naming): names of C */

#include "host/runtime.h"
#include "sallyport/abi/flow.h"
#include "sallyport/abi/maps.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HOST_WORLDS 2

/* Makes all maps. Once. */
void host_programs_load(const __u32 seed[4], __u32 port_sets);

/* From here on the programs remember what this world has seen. */
void host_world_use(int world);
/* It has seen nothing: no flows, no fragments, nothing counted. */
void host_world_forget(void);

struct host_run {
	int action;
	const __u8 *frame; /* as it leaves; until the next run */
	size_t bytes;
	__u32 egress; /* slot, if the action is XDP_REDIRECT */
};
struct host_run host_run_packet(enum device_role role, __u32 slot, int express, const __u8 *frame,
				size_t bytes);
/* Offers every forward entry to the reaper; returns how many it ended. */
__u32 host_run_reaper(enum reap_mode mode);

/* What the agent would write, in place: one element, or the one at an index. */
struct settings *host_settings(void);
struct device *host_device(__u32 slot);
struct nat_gateway *host_nat_gateway(__u32 number);
struct host_limits *host_limits_of(__u32 nat_gateway);
struct next_hop *host_next_hop(__u32 number);
/* A port that packets can be sent out of; ifindex 0: none. */
void host_transmit(__u32 slot, __u32 ifindex);
/* By key; a NULL value removes it. */
void host_elastic_ip(__be32 address, const struct elastic_ip *value);
void host_local_address(__be32 address, int there);
void host_ports_of_host(__be32 elastic_ip, const struct host_ports *value);
void host_neighbour(const struct neighbour_key *key, const __u32 *number);
void host_subnet(const struct subnet_key *key, const struct subnet *value);
void host_route(const struct route_key *key, const struct route *value);
void host_private_prefix(const struct prefix_key *key, int there);
void host_instance(const struct instance_key *key, const struct instance *value);
void host_security_group(__u32 number, const struct security_group *value);
void host_port_forward(const struct port_forward_key *key, const struct port_forward *value);
void host_forwarded_endpoint(const struct forwarded_endpoint_key *key,
			     const struct forwarded_endpoint *value);

/* What the agent would read. */
__u32 host_ticks(void);
const struct counters *host_counters(void);
/* The entries that stand in the table, both directions; at most `room` are copied. Returns their number. */
size_t host_entries(struct flow_entry *entries, size_t room);
/* The memory of all that this world's packets have changed but workspaces; for comparison with the other. */
const void *host_table(size_t *bytes);
/* What is wrong with the table's order: an entry that cannot be found, or is not where its peer looks for
 * it. NULL: nothing. */
const char *host_table_fault(void);

#ifdef __cplusplus
}
#endif
/* NOLINTEND(readability-identifier-naming) */

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Makes the programs' maps on the host. Included after lib/maps.h, where they are declared.
 *
 * EVERY_MAP(MAP) names them all; a map that is not in it cannot be used there. The agent writes those of the
 * configuration, and programs only read them; those of the state are the programs'.
 */
#ifndef SALLYPORT_TEST_MAPS_H
#define SALLYPORT_TEST_MAPS_H

#include "host/runtime.h"
#include "lib/maps.h"

#ifdef FLOW_TABLE_HASH
#define FLOW_MAP flow_hash
#else
#define FLOW_MAP flow_buckets
#endif

#define MAPS_OF_CONFIGURATION(MAP)                                                                           \
	MAP(meta)                                                                                            \
	MAP(settings)                                                                                        \
	MAP(devices)                                                                                         \
	MAP(transmit)                                                                                        \
	MAP(subnets)                                                                                         \
	MAP(routes)                                                                                          \
	MAP(private_prefixes)                                                                                \
	MAP(nat_gateways)                                                                                    \
	MAP(host_limits)                                                                                     \
	MAP(reserved_ports)                                                                                  \
	MAP(host_ports)                                                                                      \
	MAP(security_groups)                                                                                 \
	MAP(port_forwards)                                                                                   \
	MAP(forwarded_endpoints)                                                                             \
	MAP(elastic_ips)                                                                                     \
	MAP(instances)                                                                                       \
	MAP(local_addresses)                                                                                 \
	MAP(next_hops)                                                                                       \
	MAP(next_hop_numbers)

#define MAPS_OF_STATE(MAP)                                                                                   \
	MAP(FLOW_MAP)                                                                                        \
	MAP(flow_locks)                                                                                      \
	MAP(port_sets)                                                                                       \
	MAP(port_set_numbers)                                                                                \
	MAP(hosts)                                                                                           \
	MAP(unanswered)                                                                                      \
	MAP(nat_gateway_usage)                                                                               \
	MAP(fragments)                                                                                       \
	MAP(inner_flows)                                                                                     \
	MAP(awaited_datagrams)                                                                               \
	MAP(early_fragment_accounts)                                                                         \
	MAP(early_fragment_budgets)                                                                          \
	MAP(early_fragment_works)                                                                            \
	MAP(identifications)                                                                                 \
	MAP(counters)                                                                                        \
	MAP(workspaces)                                                                                      \
	MAP(reply_budgets)                                                                                   \
	MAP(reap_batch)

#define EVERY_MAP(MAP) MAPS_OF_CONFIGURATION(MAP) MAPS_OF_STATE(MAP)

static inline int host_is_array(int type)
{
	return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_DEVMAP;
}

static inline void *host_storage_new(int type, size_t key, size_t value, size_t count)
{
	if (host_is_array(type))
		return host_array_new(value * count *
				      (type == BPF_MAP_TYPE_PERCPU_ARRAY ? HOST_THREADS_MAX : 1));
	return host_map_new(type == BPF_MAP_TYPE_LPM_TRIE   ? HOST_PREFIXES
			    : type == BPF_MAP_TYPE_LRU_HASH ? HOST_LRU
							    : HOST_HASH,
			    key, value, count);
}

static inline void host_storage_free(int type, void *storage)
{
	if (host_is_array(type))
		free(storage);
	else
		host_map_free(storage);
}

/* As if it had just been made: `bytes` of an array, which is what one processor has. */
static inline void host_storage_clear(int type, void *storage, size_t bytes)
{
	if (host_is_array(type))
		memset(storage, 0, bytes);
	else
		host_map_clear(storage);
}

/* As many elements as it is declared with. */
#define HOST_MAP_ENTRIES(map) (sizeof(*(map).max_entries) / sizeof(int))
#define HOST_MAP_NEW(map, count)                                                                             \
	do {                                                                                                 \
		*(uintptr_t *)&(map).max_entries = (count);                                                  \
		*(void **)&(map).value = host_storage_new(HOST_MAP_TYPE(&(map)), sizeof(*(map).key),         \
							  sizeof(*(map).value), (count));                    \
	} while (0)
#define HOST_MAP_FREE(map)                                                                                   \
	do {                                                                                                 \
		if ((map).value)                                                                             \
			host_storage_free(HOST_MAP_TYPE(&(map)), (void *)(map).value);                       \
		(map).value = NULL;                                                                          \
		*(uintptr_t *)&(map).max_entries = 0;                                                        \
	} while (0)

#endif

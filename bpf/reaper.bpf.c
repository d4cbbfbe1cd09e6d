// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Not attached: the agent runs it (BPF_PROG_RUN) to end the flows that it found in the mapped table. Each
 * is checked again under its lock, so what the agent saw need not be true any more.
 */
#include "lib/drop.h"
#include "lib/release.h"

struct reap {
	struct workspace *work;
	__u32 now;
	__u32 count;
	__u32 removed;
	enum flow_removal removal;
};

static long reap_step(__u32 i, void *context)
{
	struct reap *reap = context;
	struct reap_request *request = bpf_map_lookup_elem(&reap_batch, &i);
	struct flow_entry *entry;

	if (!request || i >= reap->count)
		return 1;
	entry = flow_at_slot(request->slot);
	if (!entry || READ_ONCE(entry->flow_id) != request->flow_id || !request->flow_id)
		return 0;
	flow_entry_copy(&reap->work->standing, entry);
	if (reap->work->standing.flow_id != request->flow_id)
		return 0;
	reap->removed += flow_end(&reap->work->standing, reap->removal, reap->now);
	return 0;
}

const __u32 workspace_owner = WORKSPACE_OF_REAPER;

SEC("xdp")
int sallyport_reaper(struct xdp_md *context)
{
	struct reap_command *command = (void *)(long)context->data;
	__u32 zero = 0;
	struct settings *current = bpf_map_lookup_elem(&settings, &zero);
	struct reap reap = {
		.work = workspace_get(),
	};

	if ((void *)(command + 1) > (void *)(long)context->data_end || !current || !reap.work)
		return XDP_ABORTED;
	reap.now = clock_ticks(current);
	reap.count = command->count;
	reap.removal = command->mode == REAP_CUT ? FLOW_REMOVE_ANY : FLOW_REMOVE_EXPIRED;
	bpf_loop(REAP_BATCH_MAX, reap_step, &reap, 0);
	command = (void *)(long)context->data;
	if ((void *)(command + 1) > (void *)(long)context->data_end)
		return XDP_ABORTED;
	command->removed = reap.removed;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";

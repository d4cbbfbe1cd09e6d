/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Security groups: which flows an instance may have. They are stateful: what is asked here is asked when a flow is
 * made, and again when the configuration has changed. A flow that one rule of one group allows is allowed.
 *
 * A rule may ask for a security group of the remote. Only what stays inside has one: see inner.h.
 */
#ifndef SALLYPORT_BPF_SECURITY_GROUP_H
#define SALLYPORT_BPF_SECURITY_GROUP_H

#include "lib/headers.h"
#include "lib/route.h"

/*
 * 1 or 0. Without a branch: the verifier would otherwise follow both ways of each rule, and that of kernel 6.1 spent a
 * third of all its steps here. A protocol or group of 0 is any.
 */
static __always_inline __u32 security_rule_admits(const struct security_rule *rule,
						  const struct flow_ends *ends, __u16 port)
{
	__u64 refused = (ends->remote & rule->mask) ^ rule->remote, absent = 1;

	refused |= rule->protocol & -is_not_zero(rule->protocol ^ ends->protocol);
	refused |= is_less(port, rule->first_port);
	refused |= is_less(rule->last_port, port);
	for (__u32 i = 0; i < SECURITY_GROUPS_PER_INSTANCE_MAX; i++)
		absent &= is_not_zero(ends->remote_groups.number[i] ^ rule->remote_group);
	refused |= absent & is_not_zero(rule->remote_group);
	return 1 - is_not_zero(refused);
}

/* Does a rule of the group allow the flow of work->ends? */
verified_alone int security_group_admits(__u32 number)
{
	struct security_group *group = bpf_map_lookup_elem(&security_groups, &number);
	struct workspace *work = workspace_get();
	const struct security_rule *rules;
	const struct flow_ends *ends;
	__u32 count, admitted = 0;
	__u16 port;

	if (!group || !work)
		return 0;
	ends = &work->ends;
	if (ends->flags & FLOW_FROM_OUTSIDE) {
		rules = group->ingress;
		count = group->ingress_count;
		port = bpf_ntohs(ends->instance_port);
	} else {
		rules = group->egress;
		count = group->egress_count;
		port = bpf_ntohs(ends->remote_port);
	}
	/* What stands there is no port. Translated is nothing but what an echo request has opened. */
	if (ends->protocol == IPPROTO_ICMP && !(ends->flags & FLOW_ENDS_INNER))
		port = ICMP_ECHO_REQUEST << 8;
	for (__u32 i = 0; i < SECURITY_GROUP_RULES_MAX; i++) {
		if (i >= count)
			break;
		admitted |= security_rule_admits(&rules[i], ends, port);
	}
	return admitted;
}

/* The same for all groups of the instance of work->ends. */
verified_alone int security_groups_admit(void)
{
	struct workspace *work = workspace_get();
	const struct security_group_list *list;

	if (!work)
		return 0;
	list = &work->ends.groups;
	if (!list->count)
		return work->ends.is_open;
	for (__u32 i = 0; i < SECURITY_GROUPS_PER_INSTANCE_MAX; i++) {
		if (i >= list->count)
			break;
		if (security_group_admits(list->number[i]))
			return 1;
	}
	return 0;
}

#endif

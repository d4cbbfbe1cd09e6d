/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Is an ICMP error worth believing? Its own checksum and that of the header that it quotes have to be right
 * (RFC 5508 REQ-3); the quoted transport checksum does not matter, and often is not there. Only errors that have
 * found a flow come here, so that a flood of others costs no sums.
 */
#ifndef SALLYPORT_BPF_ICMP_ERROR_CHECK_H
#define SALLYPORT_BPF_ICMP_ERROR_CHECK_H

#include "lib/frame_sum.h"
#include "lib/headers.h"
#include "lib/options.h"
#include "sallyport/abi/drop_reason.h"

#define SUM_OF_WHAT_IS_RIGHT 0xffff

enum icmp_error_check {
	ICMP_ERROR_LEAVES = 1 << 0,	   /* it goes to the outside */
	ICMP_ERROR_QUOTE_LENIENT = 1 << 1, /* the quoted header's checksum may be wrong */
};

/* For the message of `bytes` bytes at `offset` of the frame; returns 0, or the reason for a drop. */
verified_alone int icmp_error_check(struct xdp_md *context, __u32 offset, __u32 bytes, __u32 how)
{
	__u32 quote = offset + sizeof(struct icmp_header), header;
	int options;
	__u8 first;

	if (frame_sum(context, offset, bytes) != SUM_OF_WHAT_IS_RIGHT)
		return DROP_ICMP_ERROR_CHECKSUM;
	if (bpf_xdp_load_bytes(context, quote, &first, sizeof(first)))
		return DROP_ICMP_ERROR_MALFORMED;
	header = (first & 15) * 4;
	if (!(how & ICMP_ERROR_QUOTE_LENIENT) && frame_sum(context, quote, header) != SUM_OF_WHAT_IS_RIGHT)
		return DROP_ICMP_ERROR_CHECKSUM;
	if (header <= sizeof(struct iphdr))
		return 0;
	options = options_look(context, quote + sizeof(struct iphdr), header - sizeof(struct iphdr));
	if (options & OPTIONS_BROKEN)
		return DROP_ICMP_ERROR_MALFORMED;
	if (options & OPTIONS_SOURCE_ROUTE) /* RFC 5508 section 7.3 */
		return DROP_SOURCE_ROUTED;
	return options & OPTIONS_ADDRESSES && how & ICMP_ERROR_LEAVES ? DROP_RECORDED_ADDRESS : 0;
}

#endif

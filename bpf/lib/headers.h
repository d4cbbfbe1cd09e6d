/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Protocol headers. Those of ICMP and ARP are written here, because the kernel's own headers for them pull
 * in the C library's, which has none for this target.
 */
#ifndef SALLYPORT_BPF_HEADERS_H
#define SALLYPORT_BPF_HEADERS_H

#include <linux/types.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#define IPV4_PLAIN 0x45 /* version 4, five words of header */
#define IP_DF 0x4000
#define IP_MF 0x2000
#define IP_OFFSET 0x1fff

struct vlan_tag {
	__be16 control;
	__be16 ethertype;
};

struct icmp_header { /* RFC 792 */
	__u8 type;
	__u8 code;
	__u16 checksum;
	union {
		struct {
			__be16 id;
			__be16 sequence;
		} echo;
		__be32 rest;
	};
};

enum icmp_type {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_SOURCE_QUENCH = 4,
	ICMP_REDIRECT = 5,
	ICMP_ECHO_REQUEST = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12,
	ICMP_TIMESTAMP_REQUEST = 13,
	ICMP_ADDRESS_MASK_REPLY = 18, /* RFC 950 */
};

enum icmp_unreachable_code {
	ICMP_NET_UNREACHABLE = 0,
	ICMP_HOST_UNREACHABLE = 1,
	ICMP_PROTOCOL_UNREACHABLE = 2,
	ICMP_FRAGMENTATION_NEEDED = 4,
	ICMP_ADMINISTRATIVELY_PROHIBITED = 13,
};

struct arp_ipv4 { /* RFC 826 for Ethernet and IPv4 */
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_bytes;
	__u8 protocol_bytes;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__be32 sender;
	__u8 target_mac[ETH_ALEN];
	__be32 target;
} __attribute__((packed));

#define ARP_ETHERNET 1
#define ARP_REQUEST 1
#define ARP_REPLY 2

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_BPF_FOUND_H
#define SALLYPORT_BPF_FOUND_H

#include "lib/flow_table.h"

/* A packet's flow: the entry of its direction, and the view of it that was taken when it was found. */
struct found {
	struct flow_entry *entry; /* NULL: there is none */
	struct flow_view view;
	int made; /* for this very packet, whose SYN the flow has seen therefore */
};

#endif

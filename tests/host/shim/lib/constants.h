/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The programs' constants, which a loader sets before they are loaded. On the host they are
 * ordinary variables, set before each test.
 */
#include <linux/types.h>

#define const
#include_next "lib/constants.h"
#undef const

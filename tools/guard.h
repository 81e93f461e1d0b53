/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Keeps tools that write from destroying what is in use. */
#ifndef GUARD_H
#define GUARD_H

#include "target.h"

/*
 * End the tool if what the target names is in use by someone else: mounted, swapped to, part of
 * another device, behind a loop device, locked. force: just warn. Holds on to a block device, so
 * that nobody begins to use it meanwhile. Before target_connect().
 */
void guard_writable(const struct target *t, bool force);

/* End the tool if both targets name the same file or device. */
void guard_distinct(const struct target *a, const struct target *b);

#endif

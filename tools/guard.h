/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Keeps tools that write from destroying what is in use, or what they read. */
#ifndef GUARD_H
#define GUARD_H

#include "place.h"

/*
 * End the tool if what the target names is in use by someone else: mounted, swapped to, part of
 * another device, behind a loop device, locked. force: just warn. Holds on to a block device, so
 * that nobody begins to use it meanwhile. Before target_connect().
 */
void guard_writable(const struct place *p, bool force);

/*
 * End the tool if both are the same file or device, by whatever names; or, but for force, if
 * writing to dst would change src: a partition and its disk, a file and a loop device over a part
 * of it, a file and the disk that it is on.
 */
void guard_distinct(const struct place *src, const struct place *dst, bool force);
/* The same for two that are only read: they must not be called by the same name. */
void guard_not_same(const struct place *a, const struct place *b);

#endif

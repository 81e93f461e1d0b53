/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The file or device behind a target, where this kernel has one. */
#ifndef PLACE_H
#define PLACE_H

#include <limits.h>
#include <sys/stat.h>

#include "target.h"

struct place {
	const struct target *t;
	char path[PATH_MAX]; /* "": properties path and fd name nothing that can be looked at */
	struct stat st;
	int fd; /* regular files and block devices, connected: the library's descriptor; else -1 */
};

/* Look at what properties path and fd name. False when there is nothing. Before connecting. */
bool place_find(struct place *p, const struct target *t);

/* The target is connected: fill in the descriptor. Ends the tool if it is not what place_find()
 * saw. */
void place_connected(struct place *p);

/* Connected: would writes fail, whatever the target's properties say? */
bool place_is_read_only(const struct place *p);

static inline bool place_is_file(const struct place *p)
{
	return *p->path && S_ISREG(p->st.st_mode);
}

static inline bool place_is_disk(const struct place *p)
{
	return *p->path && S_ISBLK(p->st.st_mode);
}

#endif

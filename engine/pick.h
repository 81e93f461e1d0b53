/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The engine is compiled once for each version of fio that the build has the source of. What each
 * of them tells pick.c, which includes none of fio's headers and so fits them all.
 */
#ifndef PICK_H
#define PICK_H

struct ioengine_ops;

struct fio_version {
	const char *fio; /* what this fio calls itself, such as "fio-3.33" */

	/* How the running fio differs from this one; NULL: it does not. */
	const char *(*find_difference)(void);
	/* The hook table, to which fio may write. */
	struct ioengine_ops *(*get_hooks)(void);
};

#endif

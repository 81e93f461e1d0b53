/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Targets: how every tool is told which device to use.
 *
 *     DRIVER[:PROPERTY=VALUE[,PROPERTY=VALUE]...]     io_uring:path=disk.img,direct=true
 *     PATH                                            /dev/nvme0n1, ./disk.img
 *
 * A target with a slash in front of any colon is a path, for driver io_uring, or posix where
 * io_uring is not permitted. Two commas stand for one in a value. Numbers may have a unit
 * (capacity=1G). Each property is set in the state in which it can be: the library says which.
 */
#ifndef TARGET_H
#define TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "blkio.h"

struct target {
	const char *text; /* as given */
	char *driver;
	struct blkio *b;
	struct setting *settings;
	int nr_settings;
};

/* Create an instance of what text says. All of these end the tool with a message on failure. */
void target_create(struct target *t, const char *text);
/* One more PROPERTY=VALUE. */
void target_add(struct target *t, const char *setting);
/* Set a property, unless the user did or the driver has none of that name. */
void target_default(struct target *t, const char *name, const char *value);
/* Set what is to be set before connecting. */
void target_select(struct target *t);
void target_connect(struct target *t);
void target_start(struct target *t);
/* A queue of a started target. */
struct blkioq *target_queue(const struct target *t, bool poll, unsigned index);
void target_destroy(struct target *t);

/* What a property was or will be set to, by the command line; NULL: not by it. Do not free. */
char *target_setting(const struct target *t, const char *name);

/* Is the driver one for files and block devices? */
bool target_opens_files(const struct target *t);

/* Properties. text: NULL when no property has that name; free() it. */
uint64_t target_number(const struct target *t, const char *name);
bool target_bool(const struct target *t, const char *name);
char *target_text(const struct target *t, const char *name);

/* A call on the target failed: say so, with the library's message, and exit. */
_Noreturn void target_die(const struct target *t, const char *what);

/* Memory of at least len bytes that both targets can use; the second may be NULL. */
struct blkio_mem_region target_memory(struct target *t, struct target *other, size_t len);
void target_free_memory(struct target *t, struct target *other, struct blkio_mem_region *region);

#endif

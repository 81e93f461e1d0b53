/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the probe's files share. The probe uses libblkio through blkio.h alone and prints what it
 * does, one line per observation: "group/step: what = value". Every step runs in a process of its
 * own, on a device with known contents, under a deadline: "ends = SIGSEGV" and "ends = hang" are
 * observations too. Output depends on the library and on nothing else.
 */
#ifndef PROBE_H
#define PROBE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "blkio.h"

#define DEVICE_SIZE  (1u << 20)
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* DRIVER_ONLY: nothing that it could connect to. */
enum target_kind { NO_DEVICE, DRIVER_ONLY, FILE_DEVICE, BLOCK_DEVICE, SERVER_DEVICE };

/* The device, as the command line says. */
struct target {
	enum target_kind kind;
	const char *driver;
	const char *path;    /* of the property */
	const char *backing; /* a file with the device's data */
	const char *scratch; /* a folder for files of the steps */
	pid_t server;
	bool direct;
};

extern struct target target;

/* ---- Steps (steps.c) ---------------------------------------------------------------------- */

void group(const char *name);
bool step_begin(const char *name); /* true in the step's process */
_Noreturn void step_end(void);

/* STEP("name") { ... } runs the block in a process of its own. */
#define STEP(name) for (bool in_step_ = step_begin(name); in_step_; in_step_ = false, step_end())

/* ---- Observations ------------------------------------------------------------------------- */

/* A result: the name of the errno value when negative. */
void show(const char *what, long ret);
void show_text(const char *what, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define SHOW(call) show(#call, (long)(call))

/* Submit what is queued, wait for one completion and show its result. SHOW_REQUEST: on queue q. */
void show_completion(const char *what, struct blkioq *q);
#define SHOW_REQUEST(call) ((call), show_completion(#call, q))

/* "0", "512", or "EINVAL". Overwritten by the fourth next call. */
const char *result_name(long ret);

/* ---- The device (device.c) ---------------------------------------------------------------- */

struct blkio *device_created(void); /* the path is set, and "direct" */
struct blkio *device_connected(void);
struct blkio *device_started(void);
struct blkioq *device_queue(struct blkio **bp); /* queue 0 of a started instance */

/* Aligned zeroed memory that requests may use; from a region of b where it needs regions. */
void *device_buffer(struct blkio *b, size_t len);

/* The byte that the device has at an offset before a step. */
unsigned char device_pattern(uint64_t offset);
void device_reset(void);

/* What is in [start, start + len) of the device: "old", "new" (0xa5), "zeroes" or "mixed". */
void show_data(const char *what, const unsigned char *buf, uint64_t start, size_t len);
void show_device_data(const char *what, uint64_t start, size_t len);
#define NEW_BYTE 0xa5

/* A setup call that must work with any library; the step says so and ends when it does not. */
void must(const char *what, long ret);
#define MUST(call) must(#call, (long)(call))

/* ---- Groups ------------------------------------------------------------------------------- */

void group_create(void);
void group_null(void);
void group_messages(void);
void group_lifecycle(void);
void group_connect(void);
void group_properties(void);
void group_values(void);
void group_queues(void);
void group_regions(void);
void group_mapping(void);
void group_data(void);
void group_edges(void);
void group_flags(void);
void group_do_io(void);
void group_events(void);
void group_stalled(void);

#endif

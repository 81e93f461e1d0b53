/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The fio engine: what its files share. It knows blkio.h and fio's headers, never the core.
 *
 *   pick.c     get_ioengine(), fio's way in: picks the engine compiled for the fio that runs
 *   engine.c   the hook table
 *   compat.c   is this the fio that we were built for?
 *   options.c  the options of a job
 *   job.c      setup, init, post_init, cleanup: the life of a job
 *   open.c     from a job's options to an open device
 *   target.c   one open device for all threads that use it, one queue for each
 *   attach.c   the device, a queue and memory, for the time that a job runs
 *   buffers.c  memory for a job's I/O
 *   mapping.c  the same memory, mapped again for each I/O
 *   io.c       queue, commit, getevents, event: the path of every I/O
 *   file.c     files as fio sees them: layout, cache invalidation
 *   mounted.c  refuses to write to what is mounted
 *   many.c     jobs with several files
 *   zones.c    zoned devices
 *   error.c    how a job fails
 *
 * All but pick.c is compiled once for each version of fio that the build has the source of
 * (meson.build), with a suffix to each bkf_ name that tells the version.
 *
 * All of fio's symbols are weak: programs that are not fio use the library without them.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include <fio.h>

#include "blkio.h"
#include "pick.h"

#pragma weak __fio_option_is_set
#pragma weak fio_gettime
#pragma weak generic_close_file
#pragma weak generic_get_file_size
#pragma weak generic_open_file
#pragma weak fio_options
#pragma weak fio_version_string
#pragma weak io_u_mark_complete
#pragma weak io_u_mark_submit
#pragma weak io_u_queued
#pragma weak log_err
#pragma weak log_info
#pragma weak read_only

#define ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))

/* ---- Options (options.c) ------------------------------------------------------------------ */

enum wait_mode { WAIT_BLOCK, WAIT_EVENTFD, WAIT_LOOP };
enum mapping { MAPPING_PERMANENT, MAPPING_TEMPORARY };

struct engine_options {
	void *td; /* fio's; also, no option may be at offset 0 */
	char *driver;
	char *path;
	char *pre_connect_props;
	char *pre_start_props;
	int num_entries;
	int queue_size;
	unsigned int hipri;
	unsigned int vectored;
	unsigned int write_zeroes_on_trim;
	unsigned int wait_mode; /* enum wait_mode */
	unsigned int mapping;	/* enum mapping */
	unsigned int force_completion_fd;
	unsigned int sq_poll;
	unsigned int always; /* what is so in any case */
};

extern struct fio_option bkf_options[];

/* ---- The self-check (compat.c) ------------------------------------------------------------- */

extern const struct fio_version bkf_version; /* engine.c */

/* See struct fio_version. */
const char *bkf_find_difference(void);

/* Fail a job whose structures are not laid out as we know them: before setup(), before its I/O. */
int bkf_check_job(struct thread_data *td, bool has_our_hooks);
int bkf_check_io_us(struct thread_data *td);

/* ---- Errors (error.c) ----------------------------------------------------------------------- */

/* Report an error as the job's: in the log, and as its exit status. Returns err (negative). */
int bkf_fail(struct thread_data *td, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));

/* The same for a libblkio call that returned err, with its message. */
int bkf_fail_call(struct thread_data *td, int err, const char *call) __attribute__((cold));

/* ---- Opening (open.c): what a job opens, and how -------------------------------------------- */

struct target_options {
	char *driver;
	char *path; /* NULL: the properties say it, or the driver needs none */
	char *pre_connect_props;
	char *pre_start_props;
	int num_entries, queue_size; /* 0: at least depth */
	int depth;
	bool by_fio;	       /* path is a file that fio creates, extends and opens, too */
	bool path_is_filename; /* a file of fio's, which drivers without a path may ignore */
	bool driver_is_default;
	bool direct;
	bool read_only;
	bool sq_poll;
	bool sleeps_on_fd; /* waits for the completion fd */
};

/*
 * Fill in *o from the job's options, for one of its files, or NULL. Ends with
 * bkf_target_options_free(), also after an error.
 */
int bkf_target_options_init(struct target_options *o, struct thread_data *td,
			    const struct fio_file *f);
void bkf_target_options_free(struct target_options *o);

/*
 * Create and connect. The caller sets the number of queues, then bkf_target_start()s it. Errors
 * are reported to fio as td's.
 */
struct blkio *bkf_target_connect(const struct target_options *o, struct thread_data *td);

/* Give b queues of both kinds, and start it. */
int bkf_target_start(struct blkio *b, int queues, int poll_queues, struct thread_data *td);

/* The value of a property, or of the fallback where the driver has no such property. */
bool bkf_get_bool(struct blkio *b, const char *name, bool fallback);
uint64_t bkf_get_number(struct blkio *b, const char *name, uint64_t fallback);

/* ---- Targets (target.c): one open device for many threads ----------------------------------- */

struct target;

/* A queue for one thread. */
struct queue_slot {
	struct blkioq *q;
	int index;
	bool poll;
	bool abandoned; /* requests are still in flight: nobody may have it next */
};

/*
 * The target for these options: with share, the one of another job in this process with the same
 * ones, else a new one. Takes *o over. The numbers of queues are what the job is going to take.
 */
struct target *bkf_target_get(struct target_options *o, bool share, int queues, int poll_queues);
void bkf_target_put(struct target *t);
const struct target_options *bkf_target_options(const struct target *t);

/* The device of the target, opened for its first user. Every attach ends with a detach. */
struct blkio *bkf_target_attach(struct target *t, struct thread_data *td);
void bkf_target_detach(struct target *t);

/* A queue that no other thread uses. */
int bkf_target_take_queue(struct target *t, struct queue_slot *slot, bool poll,
			  struct thread_data *td);
void bkf_target_return_queue(struct target *t, struct queue_slot *slot);

/* Calls on the shared device itself, rather than on a queue, exclude each other. */
void bkf_target_lock(void);
void bkf_target_unlock(void);

/* ---- Jobs (job.c) -------------------------------------------------------------------------- */

struct job {
	/* used for every I/O */
	struct blkioq *q;
	struct blkio_completion *events;      /* what getevents() gave last, nr_events of them, */
	unsigned int nr_events, nr_kept;      /* and what it keeps for the next time behind them */
	unsigned int depth;		      /* iodepth */
	struct blkio_completion *completions; /* the memory for all that, twice the depth */
	bool plain;			 /* data moves by blkioq_read(), blkioq_write() alone */
	bool plain_wait;		 /* getevents is blkioq_do_io() alone */
	struct iovec *iovecs;		 /* one per io_u; NULL: not vectored */
	struct blkio_mem_region *mapped; /* one per io_u; NULL: all memory stays mapped */
	uint32_t write_flags;		 /* BLKIO_REQ_FUA for synchronous writes */
	unsigned int submitting;	 /* handed to the queue since the last submission */
	bool stamps;			 /* fio wants issue times, */
	bool notes_issues;		 /* and more than the time in the io_u */
	bool may_defer;			 /* commit may leave the submission to getevents */
	bool waits_always;		 /* getevents follows each commit */
	bool zeroes_on_trim;
	bool zoned; /* zonemode=zbd */
	enum wait_mode wait_mode;
	int completion_fd; /* WAIT_EVENTFD */
	/* the rest */
	struct io_u **unissued; /* the I/Os that are submitting; NULL: stamped when queued */
	bool by_fio;		/* fio creates, extends and opens its files, */
	bool many;		/* several: many.c has their targets */
	struct file_queue *files;
	struct pollfd *pollfds; /* nr_pollfds of them */
	unsigned int nr_pollfds;
	const char *path; /* the target's; NULL when there is none that we know of */
	struct target *target;
	struct blkio *b;  /* NULL: not open yet */
	bool only_sizes;  /* fio opens files only to see how large they are */
	dev_t opened_dev; /* by_fio: what b has open */
	ino_t opened_ino;
	struct queue_slot slot;
	struct queue_slot zone_slot;	/* q NULL until the first zone operation */
	struct blkio_mem_region region; /* the memory of all I/Os */
	uint64_t region_align;
	bool region_is_ours; /* not memory that is only mapped */
	void *plain_memory;
	size_t plain_size;
};

int bkf_setup(struct thread_data *td);
int bkf_init(struct thread_data *td);
int bkf_post_init(struct thread_data *td);
void bkf_cleanup(struct thread_data *td);

/* ---- Attaching (attach.c) ------------------------------------------------------------------ */

/* Open the device of a job that has one, take a queue of it, and let it reach the job's memory. */
int bkf_job_open(struct thread_data *td);
void bkf_job_close(struct thread_data *td);

/* Whether the device can do the block sizes of the job. */
int bkf_check_block_sizes(struct thread_data *td, struct blkio *b);
/* Make ready to wait for completions on q. The completion fd or a negative errno value. */
int bkf_set_up_completion_fd(struct thread_data *td, struct blkioq *q, bool enable, bool blocking);

/* ---- Buffers (buffers.c) ------------------------------------------------------------------- */

int bkf_iomem_alloc(struct thread_data *td, size_t size);
void bkf_iomem_free(struct thread_data *td);

/* Let the device, which is open now, reach memory that was not allocated for it. */
int bkf_map_memory(struct thread_data *td);

/* Undo that. */
void bkf_end_region(struct thread_data *td);

/* Wait for what is in flight on q. False: some of it still is, and may access memory. */
bool bkf_drain(struct thread_data *td, struct blkioq *q, struct blkio_completion *completions);

/* ---- Temporary mapping (mapping.c): libblkio_mapping=temporary ------------------------------ */

/* Once the job's memory is allocated, and none of it mapped. */
int bkf_mapping_init(struct thread_data *td);
/* The buffer of an I/O about to be queued. 0 or a negative errno value, with libblkio's message. */
int bkf_map_io(struct job *job, const struct io_u *io_u, uint64_t len);
/* Those of n I/Os that have just completed, in job->events. */
void bkf_unmap_completed(struct job *job, unsigned int n);
/* At the end of the job: what it left behind. */
void bkf_mapping_exit(struct thread_data *td);

/* ---- I/O (io.c) ---------------------------------------------------------------------------- */

enum fio_q_status bkf_queue(struct thread_data *td, struct io_u *io_u);
int bkf_commit(struct thread_data *td);
int bkf_getevents(struct thread_data *td, unsigned int min, unsigned int max,
		  const struct timespec *timeout);
struct io_u *bkf_event(struct thread_data *td, int event);

/* For many.c: whether fio's next call waits; what was handed to queues is submitted. */
bool bkf_wait_follows(struct thread_data *td);
void bkf_submitted(struct thread_data *td);
bool bkf_timed_out(const struct timespec *start, const struct timespec *timeout);
#ifdef BKF_ERRDETAILS_HAS_TD
char *bkf_errdetails(struct thread_data *td, struct io_u *io_u);
#else
char *bkf_errdetails(struct io_u *io_u);
#endif

/* ---- Files (file.c) ------------------------------------------------------------------------ */

/* How the files of td's job come about: by fio, or given by the target. */
int bkf_prepare_files(struct thread_data *td, struct job *job, const struct target_options *o);
/* by_fio: tell fio how large the files are; those that are missing have 0 bytes. */
int bkf_size_files(struct thread_data *td);

int bkf_open_file(struct thread_data *td, struct fio_file *f);
int bkf_close_file(struct thread_data *td, struct fio_file *f);
int bkf_invalidate(struct thread_data *td, struct fio_file *f);

/* ---- Several files (many.c): a target and a queue for each that is open --------------------- */

struct file_queue;

int bkf_many_open(struct thread_data *td, struct fio_file *f);
int bkf_many_close(struct thread_data *td, struct fio_file *f);
enum fio_q_status bkf_many_queue(struct thread_data *td, struct io_u *io_u);
int bkf_many_commit(struct thread_data *td);
int bkf_many_getevents(struct thread_data *td, unsigned int min, unsigned int max,
		       const struct timespec *timeout);

/* ---- Mounted devices (mounted.c) ------------------------------------------------------------ */

/* Fail a job that writes to b's device, whose properties are set, when that is mounted. */
int bkf_check_not_mounted(struct thread_data *td, struct blkio *b);

/* ---- Zones (zones.c) ----------------------------------------------------------------------- */

/* With zonemode=zbd a trim is the reset of a zone, if the zone has a write pointer. */
bool bkf_trim_was_reset(struct thread_data *td, struct io_u *io_u);

int bkf_get_zoned_model(struct thread_data *td, struct fio_file *f, enum zbd_zoned_model *model);
int bkf_report_zones(struct thread_data *td, struct fio_file *f, uint64_t offset,
		     struct zbd_zone *zones, unsigned int nr_zones);
int bkf_reset_wp(struct thread_data *td, struct fio_file *f, uint64_t offset, uint64_t length);
int bkf_get_max_open_zones(struct thread_data *td, struct fio_file *f, unsigned int *max);
#ifdef BKF_HAS_MAX_ACTIVE_ZONES
int bkf_get_max_active_zones(struct thread_data *td, struct fio_file *f, unsigned int *max);
#endif
#ifdef BKF_HAS_FINISH_ZONE
int bkf_finish_zone(struct thread_data *td, struct fio_file *f, uint64_t offset, uint64_t length);
#endif

#endif

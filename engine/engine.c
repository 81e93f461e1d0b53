/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The fio engine's hook table, which pick.c gives to the fio that it was compiled for. */
#include "engine.h"

static int setup(struct thread_data *td);
static int init(struct thread_data *td);
static int post_init(struct thread_data *td);

#ifdef BKF_HAS_ASYNCIO_SETS_ISSUE_TIME
#define SETS_ISSUE_TIME FIO_ASYNCIO_SETS_ISSUE_TIME
#else
#define SETS_ISSUE_TIME 0 /* fio before 3.31 sets it, too, when bkf_queue() has returned */
#endif

/*
 * NO_OFFLOAD: a queue belongs to one thread. SETS_ISSUE_TIME: see bkf_queue(). Jobs whose
 * target is not a file get DISKLESSIO, too: bkf_prepare_files().
 */
static const struct ioengine_ops ops = {
	.name = "libblkio",
	.version = FIO_IOOPS_VERSION,
	.flags = FIO_NO_OFFLOAD | SETS_ISSUE_TIME,
	.setup = setup,
	.init = init,
	.post_init = post_init,
	.cleanup = bkf_cleanup,

	.iomem_alloc = bkf_iomem_alloc,
	.iomem_free = bkf_iomem_free,

	.open_file = bkf_open_file,
	.close_file = bkf_close_file,
	.get_file_size = generic_get_file_size,
	.invalidate = bkf_invalidate,

	.queue = bkf_queue,
	.commit = bkf_commit,
	.getevents = bkf_getevents,
	.event = bkf_event,
	.errdetails = bkf_errdetails,

	.get_zoned_model = bkf_get_zoned_model,
	.report_zones = bkf_report_zones,
	.reset_wp = bkf_reset_wp,
	.get_max_open_zones = bkf_get_max_open_zones,
#ifdef BKF_HAS_MAX_ACTIVE_ZONES
	.get_max_active_zones = bkf_get_max_active_zones,
#endif
#ifdef BKF_HAS_FINISH_ZONE
	.finish_zone = bkf_finish_zone,
#endif

	.options = bkf_options,
	.option_struct_size = sizeof(struct engine_options),
};

/*
 * The table for each kind of job, so that the path of an I/O need not ask: several files, and
 * memory that fio allocates. In the library's memory, where all processes of fio find it.
 */
static struct ioengine_ops kinds[2][2];

static void fill_in_kinds(void)
{
	for (int many = 0; many < 2; many++)
		for (int foreign = 0; foreign < 2; foreign++) {
			struct ioengine_ops *kind = &kinds[many][foreign];

			*kind = ops;
			if (many) {
				kind->open_file = bkf_many_open;
				kind->close_file = bkf_many_close;
				kind->queue = bkf_many_queue;
				kind->commit = bkf_many_commit;
				kind->getevents = bkf_many_getevents;
			}
			if (foreign)
				kind->iomem_alloc = NULL;
		}
}

static bool has_our_hooks(const struct thread_data *td)
{
	return td->io_ops >= &kinds[0][0] && td->io_ops <= &kinds[1][1];
}

static int setup(struct thread_data *td)
{
	return bkf_check_job(td, has_our_hooks(td)) ? 1 : bkf_setup(td);
}

static int init(struct thread_data *td)
{
	const struct job *job;

	if (bkf_check_job(td, has_our_hooks(td)) || bkf_init(td))
		return 1;
	job = td->io_ops_data;
	td->io_ops = &kinds[job->many][fio_option_is_set(&td->o, mem_type)];
	return 0;
}

static int post_init(struct thread_data *td)
{
	return bkf_check_io_us(td) ? 1 : bkf_post_init(td);
}

static struct ioengine_ops *get_hooks(void)
{
	fill_in_kinds();
	return kinds[0];
}

const struct fio_version bkf_version = {
	.fio = BKF_FIO_VERSION,
	.find_difference = bkf_find_difference,
	.get_hooks = get_hooks,
};

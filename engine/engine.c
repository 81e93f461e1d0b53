/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The fio engine's hook table, and get_ioengine(), by which fio finds it: fio opens the library
 * given as ioengine=external:PATH and calls that symbol. Start here.
 */
#include "engine.h"

/*
 * DISKLESSIO: fio shall not create, extend or open the target itself, it may not be a file.
 * NO_OFFLOAD: a queue belongs to one thread. ASYNCIO_SETS_ISSUE_TIME: see bkf_queue().
 */
struct ioengine_ops bkf_ops = {
	.name = "libblkio",
	.version = FIO_IOOPS_VERSION,
	.flags = FIO_DISKLESSIO | FIO_NOEXTEND | FIO_NODISKUTIL | FIO_NO_OFFLOAD |
		 FIO_ASYNCIO_SETS_ISSUE_TIME
#ifdef BKF_HAS_SKIPPABLE_IOMEM_ALLOC
		 | FIO_SKIPPABLE_IOMEM_ALLOC
#endif
	,
	.setup = bkf_setup,
	.init = bkf_init,
	.post_init = bkf_post_init,
	.cleanup = bkf_cleanup,

	.iomem_alloc = bkf_iomem_alloc,
	.iomem_free = bkf_iomem_free,

	.open_file = bkf_open_file,
	.close_file = bkf_close_file,
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

void get_ioengine(struct ioengine_ops **ops);

/* fio refuses an engine that is NULL, and fails the job. */
__attribute__((visibility("default"))) void get_ioengine(struct ioengine_ops **ops)
{
	*ops = bkf_fio_is_compatible() ? &bkf_ops : NULL;
}

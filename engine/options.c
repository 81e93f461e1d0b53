/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The engine's job options. Names, meanings and defaults are those of the libblkio engine that
 * newer fio has built in, so that its job files work here. docs/fio-engine.md explains them.
 */
#include "engine.h"
#include <optgroup.h>

#define OPTION(opt_name, opt_type, member)                                                         \
	.name = opt_name, .type = opt_type, .off1 = offsetof(struct engine_options, member),       \
	.category = FIO_OPT_C_ENGINE, .group = FIO_OPT_G_INVALID

struct fio_option bkf_options[] = {
	{
		OPTION("libblkio_driver", FIO_OPT_STR_STORE, driver),
		.lname = "libblkio driver name",
		.help = "The libblkio driver to use, for example io_uring (default: by the file)",
	},
	{
		OPTION("libblkio_path", FIO_OPT_STR_STORE, path),
		.lname = "libblkio path property",
		.help = "Device, file or socket to open (default: the file that fio names)",
	},
	{
		OPTION("libblkio_pre_connect_props", FIO_OPT_STR_STORE, pre_connect_props),
		.lname = "libblkio properties to set before connecting",
		.help = "Colon-separated list of name=value, set before blkio_connect()",
	},
	{
		OPTION("libblkio_num_entries", FIO_OPT_INT, num_entries),
		.lname = "libblkio num-entries property",
		.help = "Entries of each ring (default: enough for iodepth)",
		.minval = 1,
		.interval = 1,
	},
	{
		OPTION("libblkio_queue_size", FIO_OPT_INT, queue_size),
		.lname = "libblkio queue-size property",
		.help = "Size of each virtqueue (default: enough for iodepth)",
		.minval = 1,
		.interval = 1,
	},
	{
		OPTION("libblkio_pre_start_props", FIO_OPT_STR_STORE, pre_start_props),
		.lname = "libblkio properties to set before starting",
		.help = "Colon-separated list of name=value, set before blkio_start()",
	},
	{
		OPTION("hipri", FIO_OPT_STR_SET, hipri),
		.lname = "Poll queues",
		.help = "Use poll queues: poll the device for completions",
	},
	{
		OPTION("libblkio_vectored", FIO_OPT_STR_SET, vectored),
		.lname = "Vectored requests",
		.help = "Use blkioq_readv() and blkioq_writev()",
	},
	{
		OPTION("libblkio_write_zeroes_on_trim", FIO_OPT_STR_SET, write_zeroes_on_trim),
		.lname = "Write zeroes for trim",
		.help = "Trim with blkioq_write_zeroes() instead of blkioq_discard()",
	},
	{
		OPTION("libblkio_wait_mode", FIO_OPT_STR, wait_mode),
		.lname = "How to wait for completions",
		.help = "How to wait for completions",
		.def = "block",
		.posval = {
			{ .ival = "block", .oval = WAIT_BLOCK,
			  .help = "Block in blkioq_do_io()" },
			{ .ival = "eventfd", .oval = WAIT_EVENTFD,
			  .help = "Block in read() on the completion eventfd" },
			{ .ival = "loop", .oval = WAIT_LOOP,
			  .help = "Call a non-blocking blkioq_do_io() in a loop" },
		},
	},
	{
		OPTION("libblkio_mapping", FIO_OPT_STR, mapping),
		.lname = "How long I/O buffers stay mapped",
		.help = "How long the memory of I/Os stays mapped",
		.def = "permanent",
		.posval = {
			{ .ival = "permanent", .oval = MAPPING_PERMANENT,
			  .help = "Map all of it once" },
			{ .ival = "temporary", .oval = MAPPING_TEMPORARY,
			  .help = "Map and unmap the buffer of each I/O (measures the cost)" },
		},
	},
	{
		OPTION("libblkio_force_enable_completion_eventfd", FIO_OPT_STR_SET,
		       force_completion_fd),
		.lname = "Completion eventfd enabled even if unused",
		.help = "Enable the completion eventfd even if unused (measures its cost)",
	},
	/* Those of fio's io_uring engine, so that its job files work, too. */
	{
		OPTION("fixedbufs", FIO_OPT_STR_SET, always),
		.lname = "Registered buffers",
		.help = "No effect: the buffers are registered without it",
	},
	{
		OPTION("registerfiles", FIO_OPT_STR_SET, always),
		.lname = "Registered files",
		.help = "No effect: the file is registered without it",
	},
	{
		OPTION("sqthread_poll", FIO_OPT_STR_SET, sq_poll),
		.lname = "Kernel thread that submits",
		.help = "The property sq-poll: a kernel thread polls for requests",
	},
	{ .name = NULL },
};

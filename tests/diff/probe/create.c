/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Without a device: making instances, NULL arguments. With one: which failures have a message. */
#include <pthread.h>

#include "probe.h"

static void try_name(const char *step, const char *name)
{
	STEP(step) {
		struct blkio *b = (struct blkio *)1;

		show("blkio_create", blkio_create(name, &b));
		show_text("*bp", "%s", b == (struct blkio *)1 ? "kept" : b ? "set" : "NULL");
		show_text("message", "%s", *blkio_get_error_msg() ? "yes" : "none");
		blkio_destroy(&b);
		show_text("*bp after destroy", "%s", b ? "set" : "NULL");
	}
}

static void *message_of_thread(void *unused)
{
	(void)unused;
	show_text("message in another thread", "'%s'", blkio_get_error_msg());
	return NULL;
}

void group_create(void)
{
	try_name("io_uring", "io_uring");
	try_name("nvme-io_uring", "nvme-io_uring");
	try_name("virtio-blk-vhost-user", "virtio-blk-vhost-user");
	try_name("unknown driver", "floppy");
	try_name("empty name", "");
	try_name("underscores", "virtio_blk_vhost_user");
	try_name("upper case", "IO_URING");
	try_name("not UTF-8", "io_uring\xff");

	STEP("message") {
		struct blkio *b = NULL;
		pthread_t thread;

		show_text("at first", "'%s'", blkio_get_error_msg());
		SHOW(blkio_create("floppy", &b));
		show_text("after a failure", "%s", *blkio_get_error_msg() ? "yes" : "none");
		SHOW(blkio_create("io_uring", &b));
		show_text("after a success", "%s", *blkio_get_error_msg() ? "yes" : "none");
		blkio_destroy(&b);
		show_text("after destroy", "%s", *blkio_get_error_msg() ? "yes" : "none");
		if (pthread_create(&thread, NULL, message_of_thread, NULL) == 0)
			pthread_join(thread, NULL);
	}
	STEP("destroy of a pointer to NULL") {
		struct blkio *b = NULL;

		blkio_destroy(&b);
		show("returned", 1);
	}
	STEP("destroy of NULL") {
		blkio_destroy(NULL);
		show("returned", 1);
	}
}

/* ---- NULL arguments ----------------------------------------------------------------------- */

static struct blkio *instance(void)
{
	struct blkio *b = NULL;

	MUST(blkio_create("io_uring", &b));
	return b;
}

#define TRY(call)                                                                                  \
	STEP(#call) {                                                                              \
		struct blkio *b = instance();                                                      \
		(void)b;                                                                           \
		show("ret", (long)(call));                                                         \
	}
#define TRY_VOID(call)                                                                             \
	STEP(#call) {                                                                              \
		struct blkio *b = instance();                                                      \
		(void)b;                                                                           \
		call;                                                                              \
		show("returned", 1);                                                               \
	}

static void null_handle(void)
{
	struct blkio_mem_region r = { .fd = -1 };
	uint64_t u;
	char *s;
	bool t;
	int i;

	TRY(blkio_create("io_uring", NULL));
	TRY(blkio_create(NULL, &b));
	TRY(blkio_connect(NULL));
	TRY(blkio_start(NULL));
	TRY(blkio_get_bool(NULL, "direct", &t));
	TRY(blkio_get_int(NULL, "fd", &i));
	TRY(blkio_get_uint64(NULL, "capacity", &u));
	TRY(blkio_get_str(NULL, "path", &s));
	TRY(blkio_set_bool(NULL, "direct", true));
	TRY(blkio_set_int(NULL, "fd", 1));
	TRY(blkio_set_uint64(NULL, "capacity", 1));
	TRY(blkio_set_str(NULL, "path", "x"));
	TRY(blkio_add_queue(NULL));
	TRY(blkio_add_poll_queue(NULL));
	TRY(blkio_remove_queue(NULL, 0));
	TRY(blkio_remove_poll_queue(NULL, 0));
	TRY(blkio_get_queue(NULL, 0));
	TRY(blkio_get_poll_queue(NULL, 0));
	TRY(blkio_alloc_mem_region(NULL, &r, 4096));
	TRY(blkio_map_mem_region(NULL, &r));
	TRY_VOID(blkio_unmap_mem_region(NULL, &r));
	TRY_VOID(blkio_free_mem_region(NULL, &r));
}

void group_null(void)
{
	bool t;

	null_handle();
	TRY(blkio_get_bool(b, NULL, &t));
	TRY(blkio_get_bool(b, "direct", NULL));
	TRY(blkio_get_int(b, "fd", NULL));
	TRY(blkio_get_uint64(b, "max-mem-regions", NULL));
	TRY(blkio_get_str(b, "path", NULL));
	TRY(blkio_set_bool(b, NULL, true));
	TRY(blkio_set_int(b, NULL, 1));
	TRY(blkio_set_str(b, NULL, "x"));
	TRY(blkio_set_str(b, "path", NULL));
	TRY(blkio_alloc_mem_region(b, NULL, 4096));
	TRY(blkio_map_mem_region(b, NULL));
	TRY_VOID(blkio_unmap_mem_region(b, NULL));
	TRY_VOID(blkio_free_mem_region(b, NULL));
}

/* ---- Messages ----------------------------------------------------------------------------- */

/* A thread of its own has no older message. */
struct call {
	int (*run)(struct blkio *b);
	struct blkio *b;
};

static void *run_call(void *arg)
{
	struct call *call = arg;
	int ret = call->run(call->b);

	show_text("ret", "%s, %s", result_name(ret),
		  *blkio_get_error_msg() ? "message" : "no message");
	return NULL;
}

static void message_of(const char *name, struct blkio *(*make)(void), int (*run)(struct blkio *b))
{
	STEP(name) {
		struct call call = { run, make() };
		pthread_t thread;

		if (pthread_create(&thread, NULL, run_call, &call) == 0)
			pthread_join(thread, NULL);
	}
}

static int set_too_late(struct blkio *b)
{
	return blkio_set_bool(b, "read-only", true);
}

static int set_read_only(struct blkio *b)
{
	return blkio_set_str(b, "driver", "x");
}

static int set_unknown(struct blkio *b)
{
	return blkio_set_int(b, "colour", 1);
}

static int set_wrong_type(struct blkio *b)
{
	return blkio_set_int(b, "read-only", 1);
}

static int get_too_early(struct blkio *b)
{
	uint64_t value;

	return blkio_get_uint64(b, "capacity", &value);
}

static int set_negative_queues(struct blkio *b)
{
	return blkio_set_int(b, "num-queues", -1);
}

static int remove_missing_queue(struct blkio *b)
{
	return blkio_remove_queue(b, 7);
}

static int map_nothing(struct blkio *b)
{
	struct blkio_mem_region r = { .fd = -1 };

	return blkio_map_mem_region(b, &r);
}

static int connect_to_nothing(struct blkio *b)
{
	blkio_set_str(b, "path", "");
	return blkio_connect(b);
}

static int bad_do_io(struct blkio *b)
{
	return blkioq_do_io(blkio_get_queue(b, 0), NULL, 0, 1, NULL);
}

static int io_too_many(struct blkio *b)
{
	struct blkio_completion c;

	return blkioq_do_io(blkio_get_queue(b, 0), &c, 1, 1, NULL);
}

void group_messages(void)
{
	message_of("set too late", device_connected, set_too_late);
	message_of("set a read-only property", device_created, set_read_only);
	message_of("set an unknown property", device_created, set_unknown);
	message_of("set with a wrong type", device_created, set_wrong_type);
	message_of("get too early", device_created, get_too_early);
	message_of("set a negative count", device_connected, set_negative_queues);
	message_of("start too early", device_created, blkio_start);
	message_of("connect without path", device_created, connect_to_nothing);
	message_of("connect when started", device_started, blkio_connect);
	message_of("add_queue too early", device_created, blkio_add_queue);
	message_of("add_poll_queue", device_started, blkio_add_poll_queue);
	message_of("remove_queue of none", device_started, remove_missing_queue);
	message_of("map of nothing", device_started, map_nothing);
	message_of("do_io without completions", device_started, bad_do_io);
	message_of("do_io with none outstanding", device_started, io_too_many);
}

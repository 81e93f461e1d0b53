/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A life of an instance, in which every allocation and every system call fails once: nothing
 * crashes or leaks, what fails says so, and the next attempt succeeds.
 */
#include <stdlib.h>

#include "inject.h"
#include "io.h"
#include "sys.h"
#include "test.h"

enum { LEN = 16384, BATCH = 80, VARIANTS = 3, TIME = 120 };

/* What to set once connected. */
struct way {
	const char *prop, *value;
};

struct life {
	struct device *d;
	const struct way *way;
	struct blkio *b;
	char *unmapped;	   /* memory that is in no region */
	unsigned failures; /* that were told */
	bool is_lost;	   /* a conversation that broke off cannot be taken up again */
};

static const char *fault(void)
{
	static char text[64];
	int errnum;
	const char *name = inject_failed(&errnum);

	snprintf(text, sizeof(text), "after %s with %s", name ?: "nothing",
		 name ? strerrorname_np(errnum) : "no error");
	return text;
}

/* What is lost with the first failure: a conversation with a server that broke off. */
static bool may_be_lost(const struct life *l)
{
	int errnum;
	const char *name = inject_failed(&errnum);

	return name && l->d->target->traits & (T_VHOST_USER | T_PLAIN) &&
	       (!strcmp(name, "sendmsg") || !strcmp(name, "recvmsg") || !strcmp(name, "recv") ||
		!strcmp(name, "ppoll"));
}

/* A call's result was ret. Returns whether to try once more. */
static bool again(struct life *l, const char *what, int ret)
{
	int errnum;

	inject_arm(false);
	if (ret >= 0)
		return false;
	if (!blkio_get_error_msg()[0] || strstr(blkio_get_error_msg(), "no-message"))
		FAIL("%s: %s gave %d without a message", fault(), what, ret);
	if (!inject_failed(&errnum)) {
		need_ring(ret);
		FAIL("%s failed unprovoked: %s", what, blkio_get_error_msg());
	}
	if (l->failures++ && !may_be_lost(l))
		FAIL("%s: %s failed again: %s", fault(), what, blkio_get_error_msg());
	l->is_lost = l->failures > 1;
	return !l->is_lost;
}

#define TRY(l, call)                                                                               \
	do {                                                                                       \
		int try_ret_;                                                                      \
		if ((l)->is_lost)                                                                  \
			break;                                                                     \
		do {                                                                               \
			test_forget_error();                                                       \
			inject_arm(true);                                                          \
			try_ret_ = (call);                                                         \
		} while (again(l, #call, try_ret_));                                               \
	} while (0)

/* ---- The steps ------------------------------------------------------------------------------ */

static void collect(struct life *l, struct blkioq *q, int n)
{
	struct blkio_completion c;
	unsigned errors = 0;

	while (n > 0 && !l->is_lost) {
		int ret;

		test_forget_error();
		inject_arm(true);
		ret = blkioq_do_io(q, &c, 1, 1, NULL);
		inject_arm(false);
		if (ret == -EINVAL && errors) /* a request for which there was no memory */
			return;
		if (ret < 0 && ++errors > 3)
			FAIL("%s: do_io: %s", fault(), blkio_get_error_msg());
		if (ret < 0) {
			again(l, "do_io", ret);
			continue;
		}
		n -= ret;
		if (c.ret >= 0)
			continue;
		test_forget_error();
		if (l->failures++ && !may_be_lost(l))
			FAIL("%s: a second request failed: %s", fault(), strerror(-c.ret));
	}
}

static void write_and_read(struct life *l, struct blkioq *q, char *buf)
{
	struct iovec iov[3] = { { buf, 4096 }, { buf + 8192, 4096 }, { buf + 4096, 4096 } };

	pattern(buf, 0, LEN, 1);
	inject_arm(true);
	blkioq_write(q, 0, buf, LEN, NULL, BLKIO_REQ_FUA);
	collect(l, q, 1);
	inject_arm(true);
	blkioq_readv(q, 0, iov, 3, NULL, 0);
	collect(l, q, 1);
	if (!l->failures && l->d->target->traits & T_STORES) {
		check_pattern(buf + 8192, 4096, 4096, 1);
		check_pattern(buf + 4096, 8192, 4096, 1);
	}
	for (int i = 0; i < BATCH; i++) {
		inject_arm(true);
		blkioq_read(q, 0, buf, 4096, NULL, 0);
		inject_arm(false);
	}
	collect(l, q, BATCH);
	inject_arm(true);
	blkioq_set_completion_fd_enabled(q, true);
	blkioq_write_zeroes(q, 0, LEN, NULL, BLKIO_REQ_NO_UNMAP);
	blkioq_discard(q, 0, LEN, NULL, 0);
	blkioq_flush(q, NULL, 0);
	collect(l, q, 3);
}

static void use_region(struct life *l)
{
	struct blkio_mem_region r = { 0 };

	TRY(l, blkio_alloc_mem_region(l->b, &r, LEN));
	if (l->is_lost || !r.addr)
		return;
	TRY(l, blkio_map_mem_region(l->b, &r));
	if (!l->is_lost)
		write_and_read(l, blkio_get_queue(l->b, 0), r.addr);
	if (!l->is_lost && l->way && !strcmp(l->way->prop, "bounce-buffers"))
		write_and_read(l, blkio_get_queue(l->b, 0), l->unmapped);
	inject_arm(true);
	blkio_unmap_mem_region(l->b, &r);
	blkio_free_mem_region(l->b, &r);
	inject_arm(false);
}

static void add_a_queue(struct life *l)
{
	int index = -1;

	TRY(l, index = blkio_add_queue(l->b));
	if (index >= 0)
		write_and_read(l, blkio_get_queue(l->b, index), l->unmapped);
	TRY(l, blkio_remove_queue(l->b, index));
}

/* The property that names the device; NULL: there is none to name. */
static const char *address(const struct device *d)
{
	if (d->target->traits & T_PATH)
		return "path";
	return d->target->traits & T_URI ? "uri" : NULL;
}

static void read_properties(struct life *l)
{
	char *text = NULL;
	uint64_t capacity;

	TRY(l, blkio_get_str(l->b, address(l->d), &text));
	free(text);
	text = NULL;
	TRY(l, blkio_get_str(l->b, "capacity", &text));
	free(text);
	TRY(l, blkio_get_uint64(l->b, "capacity", &capacity));
}

static void live(struct life *l)
{
	const struct device *d = l->d;

	TRY(l, blkio_create(d->driver, &l->b));
	if (address(d))
		TRY(l, blkio_set_str(l->b, address(d), d->path));
	else
		TRY(l, blkio_set_uint64(l->b, "capacity", DEVICE_SIZE));
	if (d->target->traits & T_DIRECT)
		TRY(l, blkio_set_bool(l->b, "direct", true));
	TRY(l, blkio_connect(l->b));
	if (address(d))
		read_properties(l);
	TRY(l, blkio_set_int(l->b, "num-queues", 2));
	if (l->way)
		TRY(l, blkio_set_str(l->b, l->way->prop, l->way->value));
	TRY(l, blkio_start(l->b));
	if (!l->is_lost)
		use_region(l);
	if (!l->is_lost && d->target->traits & T_ADD_QUEUES)
		add_a_queue(l);
	inject_arm(true);
	blkio_destroy(&l->b);
	inject_arm(false);
}

/* ---- Each fault ----------------------------------------------------------------------------- */

/* Returns how many calls could have failed. */
static long one_life(struct device *d, const struct way *way, char *unmapped, long nr,
		     unsigned variant)
{
	unsigned fds = count_fds(), maps = count_special_maps();
	long allocations = inject_allocations();
	struct life l = { .d = d, .way = way, .unmapped = unmapped };

	inject_prepare(nr, variant);
	live(&l);
	/* The iscsi driver also frees what libiscsi has allocated, which is not counted. */
	if (!(d->target->traits & T_ISCSI) && inject_allocations() != allocations)
		FAIL("%s: %ld allocations were not freed", fault(),
		     inject_allocations() - allocations);
	if (count_fds() != fds) {
		list_fds();
		FAIL("%s: %u descriptors, not %u", fault(), count_fds(), fds);
	}
	if (count_special_maps() != maps)
		FAIL("%s: %u mappings, not %u", fault(), count_special_maps(), maps);
	return inject_calls();
}

static void each_fault(struct device *d, const struct way *way)
{
	char *unmapped = buffer(LEN);
	long n = one_life(d, way, unmapped, -1, 0);
	unsigned injected = 0;
	int errnum;

	for (long i = 0; i < n; i++) {
		for (unsigned variant = 0; variant < VARIANTS; variant++) {
			one_life(d, way, unmapped, i, variant);
			if (inject_failed(&errnum))
				injected++;
			else if (variant)
				break;
		}
	}
	one_life(d, way, unmapped, -1, 0);
	buffer_free(unmapped);
	printf("%u faults, in %ld calls\n", injected, n);
	CHECK(injected >= n / 2);
}

static void plain(struct device *d)
{
	each_fault(d, NULL);
}

static void bounce_buffers(struct device *d)
{
	each_fault(d, &(struct way){ "bounce-buffers", "2" });
}

static void register_buffers(struct device *d)
{
	each_fault(d, &(struct way){ "register-buffers", "true" });
}

static const struct test tests[] = {
	{ "each call fails once", plain, T_ANY, 0, TIME },
	{ "each call fails once, bounce buffers", bounce_buffers, T_ALIGNED | T_FILE, 0, TIME },
	{ "each call fails once, registered buffers", register_buffers, T_IO_URING | T_FILE, 0,
	  TIME },
	{ "each call fails once, bounce buffers in place of regions", bounce_buffers, T_REGIONS, 0,
	  TIME },
};
TEST_MAIN(tests)

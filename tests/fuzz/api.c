/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Fuzzer: any sequence of calls, sensible and not, on the null driver and on io_uring with a file
 * in memory. Each call must give what the model (lib/model.h) says, each request must complete
 * once, with the right result, and reads must give back what was written.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "model.h"

struct run {
	struct fuzz_input in;
	struct model m;
	struct blkio *b;
	int file;
	struct blkio_mem_region region;
	bool allocated, mapped;
};

static struct run run;

/* ---- Instance ----------------------------------------------------------------------------- */

static void create(struct run *x)
{
	MUST(!blkio_create(x->m.stores ? "io_uring" : "null", &x->b));
	x->m.state = CREATED;
	x->m.has_device = !x->m.stores;
	x->m.read_only = false;
	x->m.num_queues = 1;
	x->allocated = x->mapped = false;
}

static void destroy(struct run *x)
{
	int fd = -1;

	if (x->m.stores && x->m.state == CREATED && x->m.has_device)
		MUST(!blkio_get_int(x->b, "fd", &fd));
	blkio_destroy(&x->b);
	MUST(!x->b);
	if (fd >= 0)
		close(fd); /* still ours */
	for (unsigned i = 0; i < MODEL_QUEUES; i++)
		if (x->m.queue[i])
			model_queue_gone(&x->m, i);
}

static void set_device(struct run *x)
{
	int fd, ret;

	if (!x->m.stores || x->m.has_device)
		return;
	fd = fcntl(x->file, F_DUPFD_CLOEXEC, 0);
	ret = blkio_set_int(x->b, "fd", fd);
	MUST(ret == (x->m.state == CREATED ? 0 : -EBUSY));
	if (ret)
		close(fd);
	x->m.has_device = !ret;
}

static void do_connect(struct run *x)
{
	int want = x->m.state == STARTED ? -EBUSY : 0;

	if (x->m.state == CREATED && !x->m.has_device)
		want = -EINVAL;
	MUST(blkio_connect(x->b) == want);
	if (want)
		return;
	x->m.state = x->m.state == CREATED ? CONNECTED : x->m.state;
	x->m.end = INT64_MAX;
	if (x->m.stores)
		x->m.read_only = false; /* a given fd is what it was opened for */
	else
		MUST(!blkio_get_uint64(x->b, "capacity", &x->m.end));
}

static void start(struct run *x)
{
	int want = x->m.state == CREATED ? -ENODEV : 0, got = blkio_start(x->b);

	if (got == -ENOMEM && x->m.stores)
		return; /* rings count against RLIMIT_MEMLOCK */
	MUST(got == want);
	if (want || x->m.state == STARTED)
		return;
	x->m.state = STARTED;
	for (int i = 0; i < x->m.num_queues; i++)
		x->m.queue[i] = true;
}

static void set_queues(struct run *x)
{
	int n = (fuzz_u8(&x->in) & 7) - 2, want = 0;

	if (x->m.state != CONNECTED)
		want = x->m.state == CREATED ? -ENODEV : -EBUSY;
	else if (n < 0)
		want = -EINVAL;
	MUST(blkio_set_int(x->b, "num-queues", n) == want);
	if (!want)
		x->m.num_queues = n;
}

static void set_read_only(struct run *x)
{
	bool on = fuzz_u8(&x->in) & 1;
	int want = x->m.state == CREATED ? 0 : -EBUSY;

	MUST(blkio_set_bool(x->b, "read-only", on) == want);
	if (!want)
		x->m.read_only = on;
}

/* ---- Queues ------------------------------------------------------------------------------- */

static void add_queue(struct run *x)
{
	int want = 0, got;

	while (want < MODEL_QUEUES && x->m.queue[want])
		want++;
	if (x->m.state != STARTED)
		want = -EBUSY;
	else if (want == MODEL_QUEUES)
		return; /* more than the model has */
	got = blkio_add_queue(x->b);
	if (got == -ENOMEM && x->m.stores)
		return; /* rings count against RLIMIT_MEMLOCK */
	MUST(got == want);
	if (want >= 0)
		x->m.queue[want] = true;
}

static void remove_queue(struct run *x)
{
	int i = (fuzz_u8(&x->in) & 7) - 1;
	bool is = i >= 0 && i < MODEL_QUEUES && x->m.queue[i];

	MUST(blkio_remove_queue(x->b, i) == (is ? 0 : -ENOENT));
	if (is)
		model_queue_gone(&x->m, i);
}

static void take(struct run *x, unsigned i, int min, int max)
{
	struct blkio_completion c[MODEL_REQUESTS];
	struct blkioq *q = blkio_get_queue(x->b, i);
	bool bad = min < 0 || max < min || min > x->m.outstanding[i];
	int outstanding = x->m.outstanding[i];
	int n = blkioq_do_io(q, c, min, max, NULL);

	if (bad) {
		MUST(n == -EINVAL);
		return;
	}
	MUST(n >= min && n <= max && n <= outstanding);
	for (int k = 0; k < n; k++) {
		struct model_request *r = c[k].user_data;

		MUST(r >= x->m.requests && r < x->m.requests + MODEL_REQUESTS && r->queue == i);
		model_completed(&x->m, r, &c[k]);
	}
}

static void take_all(struct run *x)
{
	for (unsigned i = 0; i < MODEL_QUEUES; i++)
		if (x->m.queue[i])
			take(x, i, x->m.outstanding[i], MODEL_REQUESTS);
}

static void do_io(struct run *x, unsigned i)
{
	int min = (fuzz_u8(&x->in) & 15) - 1, max = fuzz_u8(&x->in) % (MODEL_REQUESTS + 1);

	take(x, i, min, max);
}

/* ---- Requests ----------------------------------------------------------------------------- */

static struct model_request *free_request(struct run *x)
{
	for (unsigned i = 0; i < MODEL_REQUESTS; i++)
		if (!x->m.requests[i].in_flight)
			return &x->m.requests[i];
	return NULL;
}

/* Up to four segments in the request's buffer, which together are r->len. */
static int split(struct run *x, struct model_request *r)
{
	uint64_t at = 0;

	for (unsigned i = 0; i < 4; i++) {
		uint64_t left = r->len - at, len = i == 3 ? left : fuzz_u16(&x->in) % (left + 1);

		r->iov[i] = (struct iovec){ r->buf + at, len };
		at += len;
	}
	return 4;
}

static void send_vector(struct run *x, struct blkioq *q, struct model_request *r, uint32_t flags)
{
	int n = split(x, r);

	if (r->op == READ)
		blkioq_readv(q, r->start, r->iov, n, r, flags);
	else
		blkioq_writev(q, r->start, r->iov, n, r, flags);
}

static void send(struct blkioq *q, struct model_request *r, uint32_t flags)
{
	switch (r->op) {
	case READ:
		blkioq_read(q, r->start, r->buf, r->len, r, flags);
		break;
	case WRITE:
		blkioq_write(q, r->start, r->buf, r->len, r, flags);
		break;
	case ZEROES:
		blkioq_write_zeroes(q, r->start, r->len, r, flags);
		break;
	case DISCARD:
		blkioq_discard(q, r->start, r->len, r, flags);
		break;
	case FLUSH:
		blkioq_flush(q, r, flags);
		break;
	case ZONE:
		blkioq_reset_zone(q, r->start, r, flags);
	}
}

static uint32_t some_flags(struct run *x)
{
	uint8_t n = fuzz_u8(&x->in);

	return n < 0xa0 ? 0 : n < 0xf8 ? n & 7 : fuzz_u32(&x->in);
}

static void choose(struct run *x, struct model_request *r, uint8_t kind)
{
	uint16_t start = fuzz_u16(&x->in), len = fuzz_u16(&x->in);

	r->op = kind % 8 < 6 ? kind % 8 : kind & 1;
	r->start = start;
	r->len = len % (MODEL_LEN + 1);
	if (len >= 0xff00) { /* the end of what can be, and beyond */
		r->start = MODEL_FAR | fuzz_u64(&x->in);
		if (r->op == ZEROES || r->op == DISCARD)
			r->len = fuzz_u64(&x->in);
	}
	if (r->op >= FLUSH)
		r->len = 0;
	memset(r->buf, fuzz_u8(&x->in), r->len < MODEL_LEN ? r->len : MODEL_LEN);
}

static void submit(struct run *x, unsigned i, uint8_t kind)
{
	struct model_request *r = free_request(x);
	uint32_t flags = some_flags(x);

	if (!r)
		return;
	choose(x, r, kind);
	r->want = model_predict(&x->m, r, flags);
	/* A far hole takes for ever to be zeroed. */
	if (r->want == MODEL_ANY && r->op != READ)
		return;
	r->may_lack =
	    r->op == ZEROES && (flags & BLKIO_REQ_NO_FALLBACK) && x->m.stores && r->want == 0;
	if (model_conflicts(&x->m, r))
		take_all(x);
	model_submitted(&x->m, r, i);
	if (kind >= 0x20 && r->op <= WRITE) {
		send_vector(x, blkio_get_queue(x->b, i), r, flags);
		return;
	}
	for (unsigned k = 0; k < 4; k++)
		r->iov[k] = (struct iovec){ r->buf, k ? 0 : r->len };
	send(blkio_get_queue(x->b, i), r, flags);
}

/* ---- Memory regions ----------------------------------------------------------------------- */

static void change_region(struct run *x)
{
	size_t len = (size_t)(fuzz_u8(&x->in) & 3) << 12;
	int want = x->m.state == CREATED ? -ENODEV : len ? 0 : -EINVAL;

	if (x->allocated) {
		blkio_free_mem_region(x->b, &x->region);
		x->allocated = x->mapped = false;
		return;
	}
	MUST(blkio_alloc_mem_region(x->b, &x->region, len) == want);
	x->allocated = !want;
}

static void map_region(struct run *x)
{
	int want = x->mapped ? -EINVAL : 0;

	if (!x->allocated)
		return;
	if (x->m.state != STARTED)
		want = -EBUSY;
	MUST(blkio_map_mem_region(x->b, &x->region) == want);
	x->mapped |= !want;
}

static void unmap_region(struct run *x)
{
	if (!x->allocated)
		return;
	blkio_unmap_mem_region(x->b, &x->region);
	x->mapped = false;
}

/* ---- Misuse ------------------------------------------------------------------------------- */

static void misuse(struct run *x)
{
	struct blkio_completion c;
	struct blkio_vring vring = { .size = 8 };
	struct blkio *none = NULL;
	uint64_t features;

	MUST(blkio_get_vring_features(x->b, &features) == -ENOTSUP && !features);
	MUST(blkio_get_device_config(x->b, &c, sizeof(c)) == -ENOTSUP);
	MUST(blkio_start_vring(x->b, 0, &vring) == -ENOTSUP);
	MUST(blkio_start_vring(x->b, 0, NULL) == -EINVAL);
	MUST(blkio_stop_vring(x->b, 0, NULL) == -ENOTSUP);
	MUST(blkio_connect(NULL) == -EINVAL && blkio_start(NULL) == -EINVAL);
	MUST(blkio_create(NULL, &none) == -EINVAL && blkio_create("none", &none) == -ENOENT);
	MUST(blkio_map_mem_region(x->b, NULL) == -EINVAL);
	MUST(blkio_alloc_mem_region(NULL, &x->region, 4096) == -EINVAL);
	MUST(blkioq_do_io(NULL, &c, 0, 1, NULL) == -EINVAL);
	MUST(!blkio_get_queue(x->b, MODEL_QUEUES) && !blkio_get_queue(NULL, 0));
	blkio_unmap_mem_region(x->b, NULL);
	blkio_free_mem_region(x->b, NULL);
	blkio_destroy(&none);
	blkioq_read(NULL, 0, NULL, 0, NULL, 0);
	MUST(blkio_get_error_msg()[0]);
}

/* ---- Turns -------------------------------------------------------------------------------- */

static void control(struct run *x, uint8_t op)
{
	static void (*const calls[])(struct run *) = {
		set_device,   do_connect,    start,	 set_queues,   set_read_only, add_queue,
		remove_queue, change_region, map_region, unmap_region, misuse,	      take_all,
	};
	unsigned n = op % 16;

	if (n < sizeof(calls) / sizeof(calls[0])) {
		calls[n](x);
	} else if (n < 15) {
		set_device(x);
		do_connect(x);
		start(x);
	} else {
		destroy(x);
		create(x);
	}
}

static void turn(struct run *x)
{
	uint8_t op = fuzz_u8(&x->in);
	unsigned i = op & 3;

	MUST(!!blkio_get_queue(x->b, i) == x->m.queue[i]);
	if (op >= 0xe0 || !x->m.queue[i])
		control(x, op >= 0xe0 ? op : op >> 2);
	else if (op >= 0xc0)
		do_io(x, i);
	else if (op >= 0xb8)
		blkioq_set_completion_fd_enabled(blkio_get_queue(x->b, i), op & 4);
	else
		submit(x, i, op >> 2);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct run *x = &run;

	x->in = (struct fuzz_input){ data, data + len };
	model_init(&x->m, fuzz_u8(&x->in) & 1);
	x->file = memfd_create("fuzz", MFD_CLOEXEC);
	create(x);
	while (fuzz_has(&x->in))
		turn(x);
	take_all(x);
	destroy(x);
	close(x->file);
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Requests: what they do to the data, at the edges of the device, and with every flag. */
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "probe.h"

#define LEN 8192u

enum { READ, WRITE, READV, WRITEV, WRITE_ZEROES, DISCARD, FLUSH, REPORT_ZONES, NR_OPS };

static const char *const op_names[] = {
	"read", "write", "readv", "writev", "write_zeroes", "discard", "flush", "report_zones",
};

static void queue_op(struct blkioq *q, int op, uint64_t start, void *buf, size_t len,
		     uint32_t flags)
{
	static struct blkio_zone zones[4];
	static struct iovec iov[2];

	iov[0] = (struct iovec){ buf, len / 2 };
	iov[1] = (struct iovec){ (char *)buf + len / 2, len - len / 2 };
	switch (op) {
	case READ:
		blkioq_read(q, start, buf, len, NULL, flags);
		break;
	case WRITE:
		blkioq_write(q, start, buf, len, NULL, flags);
		break;
	case READV:
		blkioq_readv(q, start, iov, 2, NULL, flags);
		break;
	case WRITEV:
		blkioq_writev(q, start, iov, 2, NULL, flags);
		break;
	case WRITE_ZEROES:
		blkioq_write_zeroes(q, start, len, NULL, flags);
		break;
	case DISCARD:
		blkioq_discard(q, start, len, NULL, flags);
		break;
	case FLUSH:
		blkioq_flush(q, NULL, flags);
		break;
	case REPORT_ZONES:
		blkioq_report_zones(q, start, zones, 4, NULL, flags);
		break;
	}
}

static unsigned char *new_data(struct blkio *b)
{
	return memset(device_buffer(b, 65536), NEW_BYTE, 65536);
}

/* An operation in a step of its own, and what it leaves in memory and on the device. */
static void try_op(const char *step, int op, uint64_t start, size_t len, uint32_t flags)
{
	STEP(step) {
		struct blkio *b;
		struct blkioq *q = device_queue(&b);
		unsigned char *buf = new_data(b);

		queue_op(q, op, start, buf, len, flags);
		show_completion("ret", q);
		if (op == READ || op == READV)
			show_data("memory", buf, start, len < 65536 ? len : 65536);
		else if (op < FLUSH && start < DEVICE_SIZE && start + len <= DEVICE_SIZE)
			show_device_data("device", start, len);
	}
}

static void show_size(void)
{
	struct stat st;

	if (target.kind == FILE_DEVICE && !stat(target.backing, &st))
		show("size of the file", st.st_size);
}

void group_data(void)
{
	char step[64];

	for (int op = 0; op < NR_OPS; op++)
		try_op(op_names[op], op, 16384, LEN, 0);

	for (int op = 0; op < NR_OPS; op++) {
		snprintf(step, sizeof(step), "%s, read-only", op_names[op]);
		STEP(step) {
			struct blkio *b = device_created();
			struct blkioq *q;

			MUST(blkio_set_bool(b, "read-only", true));
			MUST(blkio_connect(b));
			MUST(blkio_start(b));
			q = blkio_get_queue(b, 0);
			queue_op(q, op, 0, new_data(b), LEN, 0);
			show_completion("ret", q);
			show_device_data("device", 0, LEN);
		}
	}
	STEP("zone operations") {
		struct blkio *b;
		struct blkioq *q = device_queue(&b);

		SHOW_REQUEST(blkioq_close_zone(q, 0, NULL, 0));
		SHOW_REQUEST(blkioq_finish_zone(q, 0, NULL, 0));
		SHOW_REQUEST(blkioq_open_zone(q, 0, NULL, 0));
		SHOW_REQUEST(blkioq_reset_zone(q, 0, NULL, 0));
		SHOW_REQUEST(blkioq_close_all_zones(q, NULL, 0));
		SHOW_REQUEST(blkioq_finish_all_zones(q, NULL, 0));
		SHOW_REQUEST(blkioq_open_all_zones(q, NULL, 0));
		SHOW_REQUEST(blkioq_reset_all_zones(q, NULL, 0));
	}
}

/* ---- Edges -------------------------------------------------------------------------------- */

/* Every request that takes a range, at one. */
static void try_range(const char *name, uint64_t start, size_t len)
{
	char step[96];

	for (int op = 0; op < FLUSH; op++) {
		snprintf(step, sizeof(step), "%s, %s", op_names[op], name);
		STEP(step) {
			struct blkio *b;
			struct blkioq *q = device_queue(&b);
			uint64_t capacity = 0;

			queue_op(q, op, start, new_data(b), len, 0);
			show_completion("ret", q);
			show_size();
			blkio_get_uint64(b, "capacity", &capacity);
			show("capacity", (long)capacity);
		}
	}
}

static void try_vector(const char *name, int count, size_t segment)
{
	static struct iovec iov[4096];

	STEP(name) {
		struct blkio *b;
		struct blkioq *q = device_queue(&b);
		unsigned char *buf = new_data(b);

		for (size_t i = 0; i < ARRAY_LEN(iov); i++)
			iov[i] = (struct iovec){ buf, segment };
		blkioq_readv(q, 0, iov, count, NULL, 0);
		show_completion("readv", q);
		blkioq_writev(q, 0, iov, count, NULL, 0);
		show_completion("writev", q);
	}
}

static void vectors(void)
{
	int max = target.kind == SERVER_DEVICE ? 126 : 1024; /* max-segments */

	try_vector("no segment", 0, 512);
	try_vector("-1 segments", -1, 512);
	try_vector("INT32_MIN segments", INT32_MIN, 512);
	try_vector("empty segments", 2, 0);
	try_vector("max-segments", max, 512);
	try_vector("max-segments + 1", max + 1, 512);
	try_vector("max-segments * 2", max * 2, 512);
	try_vector("odd segments", 2, 513);
	STEP("NULL vector of none") {
		struct blkio *b;
		struct blkioq *q = device_queue(&b);

		SHOW_REQUEST(blkioq_readv(q, 0, NULL, 0, NULL, 0));
		SHOW_REQUEST(blkioq_writev(q, 0, NULL, 0, NULL, 0));
	}
	STEP("an empty segment between others") {
		struct blkio *b;
		struct blkioq *q = device_queue(&b);
		unsigned char *buf = new_data(b);
		const struct iovec v[3] = { { buf, 512 }, { buf + 512, 0 }, { buf + 512, 512 } };

		SHOW_REQUEST(blkioq_readv(q, 0, v, 3, NULL, 0));
		show_data("data", buf, 0, 1024);
	}
}

static void odd_buffers(void)
{
	STEP("odd buffer") {
		struct blkio *b;
		struct blkioq *q = device_queue(&b);
		unsigned char *buf = new_data(b) + 1;

		SHOW_REQUEST(blkioq_read(q, 0, buf, 512, NULL, 0));
		show_data("data", buf, 0, 512);
		SHOW_REQUEST(blkioq_write(q, 0, buf, 512, NULL, 0));
	}
	STEP("buffer NULL") {
		struct blkio *b;
		struct blkioq *q = device_queue(&b);

		SHOW_REQUEST(blkioq_read(q, 0, NULL, 512, NULL, 0));
		SHOW_REQUEST(blkioq_write(q, 0, NULL, 512, NULL, 0));
	}
	if (target.kind != SERVER_DEVICE) /* there it is memory that is not mapped */
		STEP("buffer that is no memory") {
			struct blkio *b;
			struct blkioq *q = device_queue(&b);

			SHOW_REQUEST(blkioq_read(q, 0, (void *)4096, 4096, NULL, 0));
			SHOW_REQUEST(blkioq_write(q, 0, (void *)4096, 4096, NULL, 0));
		}
}

void group_edges(void)
{
	try_range("the last block", DEVICE_SIZE - 4096, 4096);
	try_range("half past the end", DEVICE_SIZE - 4096, LEN);
	try_range("at the end", DEVICE_SIZE, 4096);
	try_range("far past the end", 4 * DEVICE_SIZE, 4096);
	try_range("2^63 - 4096", (1ull << 63) - 4096, 4096);
	try_range("2^63", 1ull << 63, 4096);
	try_range("2^64 - 4096", 0ull - 4096, 4096);
	try_range("2^64 - 512, wrapping", 0ull - 512, 4096);
	try_range("length 0", 0, 0);
	try_range("length 0 at the end", DEVICE_SIZE, 0);
	try_range("odd start", 1, 4096);
	try_range("odd length", 0, 4097);
	try_range("start 256", 256, 4096);
	try_range("length 256", 0, 256);
	vectors();
	odd_buffers();
	try_op("write_zeroes of all", WRITE_ZEROES, 0, DEVICE_SIZE, 0);
	try_op("discard of all", DISCARD, 0, DEVICE_SIZE, 0);
	try_op("write_zeroes of 4 GiB", WRITE_ZEROES, 0, (size_t)4 << 30, 0);
	try_op("discard of 4 GiB", DISCARD, 0, (size_t)4 << 30, 0);
}

/* ---- Flags -------------------------------------------------------------------------------- */

void group_flags(void)
{
	static const struct {
		const char *name;
		uint32_t flags;
	} flags[] = {
		{ "FUA", BLKIO_REQ_FUA },
		{ "NO_UNMAP", BLKIO_REQ_NO_UNMAP },
		{ "NO_FALLBACK", BLKIO_REQ_NO_FALLBACK },
		{ "NO_UNMAP and NO_FALLBACK", BLKIO_REQ_NO_UNMAP | BLKIO_REQ_NO_FALLBACK },
		{ "all three", BLKIO_REQ_FUA | BLKIO_REQ_NO_UNMAP | BLKIO_REQ_NO_FALLBACK },
		{ "16", 16 }, /* neither knows it; 8 is our BLKIO_REQ_ATOMIC */
		{ "2^31", 1u << 31 },
	};
	char step[64];

	for (size_t f = 0; f < ARRAY_LEN(flags); f++) {
		for (int op = 0; op < NR_OPS; op++) {
			snprintf(step, sizeof(step), "%s, %s", op_names[op], flags[f].name);
			try_op(step, op, 16384, LEN, flags[f].flags);
		}
	}
}

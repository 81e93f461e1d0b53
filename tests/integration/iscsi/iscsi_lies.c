/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An iSCSI target that lies in its answers to reads and writes: about lengths, sense data,
 * residuals, offsets and numbers, and in their order. Each request completes once, with an error
 * unless what came is in order, and nothing but its buffer is written. The case's process survives,
 * and the instance ends.
 */
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io.h"
#include "liar.h"
#include "test.h"

/* ---- Lies --------------------------------------------------------------------------------- */

static uint8_t junk[LEN];

static void truth(struct target_side *t)
{
	give(t, junk, LEN, 0, FINAL | HAS_STATUS);
}

static void truth_in_two(struct target_side *t)
{
	give(t, junk, LEN / 2, 0, 0);
	give(t, junk, LEN / 2, LEN / 2, FINAL);
	good(t);
}

static void no_sense(struct target_side *t)
{
	respond(t, CHECK_CONDITION, 0, 0, NULL, 0);
}

static void one_byte_of_sense(struct target_side *t)
{
	respond(t, CHECK_CONDITION, 0, 0, "\xff", 1);
}

static void long_sense(struct target_side *t)
{
	static const uint8_t sense[64] = {
		0xff, 0xff, 0x72, 7, 0x27, 0x07, 0, 0, 0, 0xff, 2, 0xff
	};

	respond(t, CHECK_CONDITION, 0, 0, sense, sizeof(sense));
}

static void residual_of_all(struct target_side *t)
{
	respond(t, 0, UNDERFLOW, UINT32_MAX, NULL, 0);
}

static void residual_of_some(struct target_side *t)
{
	give(t, junk, LEN - 4, 0, FINAL);
	respond(t, 0, UNDERFLOW, 4, NULL, 0);
}

static void unknown_status(struct target_side *t)
{
	respond(t, 0x55, 0, 0, NULL, 0);
}

static void status_of_data(struct target_side *t)
{
	uint8_t h[HEADER];

	begin(t, h, DATA_IN, FINAL | HAS_STATUS);
	h[3] = CHECK_CONDITION;
	t->stat_sn++;
	say(t, h, junk, 512);
}

static void data_behind(struct target_side *t)
{
	give(t, junk, 4096, LEN - 512, FINAL);
	good(t);
}

static void data_far_behind(struct target_side *t)
{
	give(t, junk, 512, UINT32_MAX - 511, FINAL);
	good(t);
}

static void data_without_bytes(struct target_side *t)
{
	give(t, junk, 0, 0, FINAL);
	good(t);
}

static void more_data_than_fits(struct target_side *t)
{
	for (int i = 0; i < 4; i++)
		give(t, junk, LEN, 0, 0);
	give(t, junk, LEN, LEN, FINAL);
	good(t);
}

static void data_of_nobody(struct target_side *t)
{
	put(t->request + 16, 0x12345678, 4);
	give(t, junk, 512, 0, FINAL);
	shutdown(t->sock, SHUT_RDWR);
}

static void answer_of_nobody(struct target_side *t)
{
	uint32_t itt = get(t->request + 16, 4);

	put(t->request + 16, itt + 1, 4);
	good(t);
	put(t->request + 16, itt, 4);
	truth(t);
}

static void another_answer(struct target_side *t)
{
	uint8_t h[HEADER];

	begin(t, h, LOGIN_RESPONSE, FINAL);
	say(t, h, NULL, 0);
}

static void unknown_opcode(struct target_side *t)
{
	uint8_t h[HEADER];

	begin(t, h, 0x3c, FINAL);
	say(t, h, NULL, 0);
}

static void twice(struct target_side *t)
{
	truth(t);
	truth(t);
	good(t);
}

static void rejected(struct target_side *t)
{
	uint8_t h[HEADER];

	begin(t, h, REJECT, FINAL);
	h[2] = 9;
	say(t, h, t->request, HEADER);
}

static void rejected_in_short(struct target_side *t)
{
	uint8_t h[HEADER];

	begin(t, h, REJECT, FINAL);
	say(t, h, t->request, 8);
}

static void long_header(struct target_side *t)
{
	uint8_t h[HEADER];

	begin(t, h, SCSI_RESPONSE, FINAL);
	h[4] = 0xff;
	say(t, h, NULL, 0);
}

static void half_a_header(struct target_side *t)
{
	send(t->sock, junk, HEADER / 2, MSG_NOSIGNAL);
	shutdown(t->sock, SHUT_RDWR);
}

static void wants_to_write(struct target_side *t)
{
	ask(t, 0, 512);
}

static void not_final(struct target_side *t)
{
	uint8_t h[HEADER];

	begin(t, h, SCSI_RESPONSE, 0);
	say(t, h, NULL, 0);
}

static void wants_to_end(struct target_side *t)
{
	uint8_t h[HEADER];

	begin(t, h, ASYNC, FINAL);
	memset(h + 16, 0xff, 4);
	h[36] = 1;
	say(t, h, NULL, 0);
	while (take_request(t))
		if ((t->request[0] & 0x3f) == LOGOUT_REQUEST)
			break;
	shutdown(t->sock, SHUT_RDWR);
}

static void takes_all(struct target_side *t)
{
	uint8_t request[HEADER];

	memcpy(request, t->request, HEADER);
	ask(t, 0, LEN);
	take_data(t, LEN);
	memcpy(t->request, request, HEADER);
	good(t);
}

static void asks_behind(struct target_side *t)
{
	ask(t, LEN - 512, 1024);
}

static void asks_far_behind(struct target_side *t)
{
	ask(t, UINT32_MAX - 511, 512);
}

static void asks_for_much(struct target_side *t)
{
	ask(t, 0, 64 << 20);
}

static void answers_with_data(struct target_side *t)
{
	for (int i = 0; i < 8; i++)
		give(t, junk, LEN, i * LEN, 0);
	good(t);
}

#define TO_READ(tell, error)                                                                       \
	{                                                                                          \
#tell, tell, error                                                                 \
	}
#define TO_WRITE(tell, error)                                                                      \
	{                                                                                          \
#tell, tell, error, true                                                           \
	}

static const struct lie lies[] = {
	TO_READ(truth, 0),
	TO_READ(truth_in_two, 0),
	TO_READ(no_sense, EIO),
	TO_READ(one_byte_of_sense, EIO),
	TO_READ(long_sense, ENOSPC),
	TO_READ(residual_of_all, EIO),
	TO_READ(residual_of_some, EIO),
	TO_READ(unknown_status, EIO),
	TO_READ(status_of_data, EIO),
	TO_READ(data_behind, ENOTCONN),
	TO_READ(data_far_behind, ENOTCONN),
	TO_READ(data_without_bytes, 0),
	TO_READ(more_data_than_fits, ENOTCONN),
	TO_READ(data_of_nobody, ENOTCONN),
	TO_READ(answer_of_nobody, 0),
	TO_READ(another_answer, ENOTCONN),
	TO_READ(unknown_opcode, ENOTCONN),
	TO_READ(twice, 0),
	TO_READ(rejected, EIO),
	TO_READ(rejected_in_short, ENOTCONN),
	TO_READ(long_header, ENOTCONN),
	TO_READ(half_a_header, ENOTCONN),
	TO_READ(wants_to_write, ENOTCONN),
	TO_READ(not_final, EIO),
	TO_READ(wants_to_end, ENOTCONN),
	TO_WRITE(takes_all, 0),
	TO_WRITE(no_sense, EIO),
	TO_WRITE(asks_behind, ENOTCONN),
	TO_WRITE(asks_far_behind, ENOTCONN),
	TO_WRITE(asks_for_much, ENOTCONN),
	TO_WRITE(answers_with_data, ENOTCONN),
	TO_WRITE(residual_of_some, ENOTCONN),
	TO_WRITE(rejected, EIO),
};

static void tell_one(const struct lie *lie)
{
	struct target_side t = { .sock = -1 };
	/* Pages on either side tell who writes beside it. */
	char *buf = buffer(LEN + 8192), *own = buf + 4096;
	struct blkio *b;
	int ret;

	printf("%s\n", lie->name);
	liar_start(&t, lie);
	b = liar_create(&t);
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	memset(buf, 0x77, LEN + 8192);
	ret = lie->to_write ? io_write(blkio_get_queue(b, 0), 0, own, LEN, 0)
			    : io_read(blkio_get_queue(b, 0), 0, own, LEN, 0);
	CHECK_EQ(ret, -lie->error);
	CHECK(!ret || *io_msg());
	if (lie->to_write)
		check_all(own, LEN, 0x77);
	check_all(buf, 4096, 0x77);
	check_all(own + LEN, 4096, 0x77);
	blkio_destroy(&b);
	liar_stop(&t);
	buffer_free(buf);
}

static void tell_all(struct device *d)
{
	(void)d;
	memset(junk, 0x33, sizeof(junk));
	for (size_t i = 0; i < ARRAY_LEN(lies); i++)
		tell_one(&lies[i]);
}

/* ---- Answers that come too early ---------------------------------------------------------- */

/* It asks for all data, says that the write is done, and only then takes the data. */
static void answers_early(struct target_side *t)
{
	ask(t, 0, BIG);
	good(t);
	usleep(50000);
	take_data(t, BIG);
}

/*
 * libiscsi sends on, from a buffer that is the caller's again as soon as the write is complete. So
 * it is not complete before.
 */
static void early_answer(struct device *d)
{
	static const struct lie lie = { "early", answers_early };
	struct target_side t = { .sock = -1 };
	const int small = 4096;
	char *buf = buffer(BIG);
	struct blkio *b;

	(void)d;
	liar_start(&t, &lie);
	SYS(setsockopt(t.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)));
	b = liar_create(&t);
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	pattern(buf, 0, BIG, 9);
	CHECK_EQ(io_write(blkio_get_queue(b, 0), 0, buf, BIG, 0), 0);
	memset(buf, 0xff, BIG);
	CHECK_EQ(blkioq_do_io(blkio_get_queue(b, 0), NULL, 0, 0, NULL), 0);
	usleep(200000);
	blkio_destroy(&b);
	liar_stop(&t);
	check_pattern(got, 0, BIG, 9);
	buffer_free(buf);
}

/* ---- A target that left ------------------------------------------------------------------- */

static const char immediate[] = "ImmediateData=Yes\0HeaderDigest=None";

/*
 * It has closed the connection, and answers what comes with a reset. libiscsi sends data in a way
 * that raises SIGPIPE then, which would end this process.
 */
static void left(struct device *d)
{
	static const struct lie lie = { "left", truth, 0, true, immediate, sizeof(immediate) };
	struct target_side t = { .sock = -1 };
	sigset_t pending;
	struct blkio *b;

	(void)d;
	signal(SIGPIPE, SIG_DFL);
	liar_start(&t, &lie);
	b = liar_create(&t);
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	shutdown(t.sock, SHUT_RDWR);
	liar_stop(&t);
	CHECK_IO_ERR(io_write(blkio_get_queue(b, 0), 0, junk, LEN, 0), ENOTCONN, "closed");
	CHECK_IO_ERR(io_write(blkio_get_queue(b, 0), 0, junk, LEN, 0), ENOTCONN, "closed");
	SYS(sigpending(&pending));
	CHECK(!sigismember(&pending, SIGPIPE));
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "lies", tell_all, 0, 0, 60 },
	{ "an answer before the data", early_answer, 0 },
	{ "a target that left", left, 0 },
};
TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * NBD servers that keep a control call waiting, or fail it, at each byte of the handshake: the call
 * ends at "connect-timeout", or when blkio_cancel() says so, or at once; and can be made again.
 */
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io.h"
#include "relay.h"
#include "sys.h"
#include "test.h"

enum { BLOCK = 4096, LIMIT_MS = 100, STEP = 9 };

/* Which control call meets the fault: it makes the connection with this number. */
enum call { CONNECT, START, ADD_QUEUE };

static sem_t cancelled; /* or the instance may be gone before blkio_cancel() returns */

static void cancel(void *b)
{
	blkio_cancel(b);
	sem_post(&cancelled);
}

static struct blkio *create(struct relay *r, int limit_ms)
{
	struct blkio *b;

	CHECK_OK(blkio_create("nbd", &b));
	CHECK_OK(blkio_set_str(b, "path", r->here.sun_path));
	CHECK_OK(blkio_set_int(b, "connect-timeout", limit_ms));
	return b;
}

static int make(struct blkio *b, enum call call)
{
	test_forget_error();
	switch (call) {
	case CONNECT:
		return blkio_connect(b);
	case START:
		return blkio_start(b);
	default:
		return blkio_add_queue(b);
	}
}

/* On a busy machine, a good server may not keep to the limit either. */
static void make_patiently(struct blkio *b, enum call call)
{
	int ret;

	do
		ret = make(b, call);
	while (ret == -ETIMEDOUT);
	CHECK_OK(ret);
}

static void prepare(struct blkio *b, enum call call)
{
	if (call == CONNECT)
		return;
	make_patiently(b, CONNECT);
	CHECK_OK(blkio_set_int(b, "num-queues", call == START ? 2 : 1));
	if (call == ADD_QUEUE)
		make_patiently(b, START);
}

/* The state is as before: the same call is good for a server that is good. */
static void make_again(struct relay *r, struct blkio *b, enum call call)
{
	static char buf[BLOCK];

	relay_set(r, RELAY_NONE, 0, 0);
	make_patiently(b, call);
	if (call == CONNECT)
		make_patiently(b, START);
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
	if (call != CONNECT)
		CHECK_EQ(io_read(blkio_get_queue(b, 1), 0, buf, BLOCK, 0), 0);
}

/* errnum: 0: whatever comes, also success where what was changed does not matter. */
static void fail_once(struct relay *r, enum call call, enum relay_fault fault, size_t at,
		      int errnum)
{
	struct blkio *b = create(r, errnum == ECANCELED ? 0 : LIMIT_MS);
	int64_t begin, took;
	int ret;

	prepare(b, call);
	r->waits = errnum == ECANCELED ? cancel : NULL;
	r->arg = b;
	relay_set(r, fault, call != CONNECT, at);
	begin = clock_ns();
	ret = make(b, call);
	took = (clock_ns() - begin) / 1000000;
	if (errnum == ECANCELED)
		sem_wait(&cancelled);
	if (errnum)
		CHECK_EQ(ret, -errnum);
	if (errnum == ETIMEDOUT)
		CHECK(strstr(blkio_get_error_msg(), "100 ms (property \"connect-timeout\")"));
	if (errnum == ECANCELED)
		CHECK(strstr(blkio_get_error_msg(), "blkio_cancel()"));
	if (fault == RELAY_CLOSES)
		CHECK(ret < 0);
	CHECK(errnum != ETIMEDOUT || took >= LIMIT_MS);
	CHECK(took < LIMIT_MS + LATE_MS);
	if (ret < 0)
		make_again(r, b, call);
	blkio_destroy(&b);
	relay_reset(r);
}

/* Of the first connection, or of another one. */
static size_t handshake_len(struct relay *r, enum call call)
{
	struct blkio *b = create(r, 0);
	size_t len;

	prepare(b, call);
	CHECK_OK(make(b, call));
	len = relay_passed(r, call != CONNECT);
	blkio_destroy(&b);
	relay_reset(r);
	CHECK(len > 100 && len < 1000);
	return len;
}

static const struct way {
	enum relay_fault fault;
	int errnum;
} ways[] = {
	{ RELAY_SILENT, ETIMEDOUT }, { RELAY_SILENT, ECANCELED }, { RELAY_SLOW, ETIMEDOUT },
	{ RELAY_SLOW, ECANCELED },   { RELAY_CORRUPT, 0 },	  { RELAY_CLOSES, 0 },
};

static void at_each_step(struct device *d)
{
	const struct way *w = test_data();
	unsigned fds = count_fds();
	struct relay r;
	size_t len;

	CHECK_EQ(sem_init(&cancelled, 0, 0), 0);
	relay_start(&r, d->path);
	for (enum call call = CONNECT; call <= ADD_QUEUE; call++) {
		len = handshake_len(&r, call);
		/* The last bytes come in time even when they come slowly. */
		if (w->fault == RELAY_SLOW)
			len -= 2000 / RELAY_SLOW_MS;
		for (size_t at = call; at < len; at += call == CONNECT ? STEP : 4 * STEP)
			fail_once(&r, call, w->fault, at, w->errnum);
	}
	relay_stop(&r);
	CHECK_EQ(count_fds(), fds);
}

/* ---- A name server that does not answer --------------------------------------------------- */

static void write_file(const char *path, const char *text)
{
	int fd = (int)SYS(open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644));

	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void put_over(const char *name, const char *text)
{
	char ours[4200], theirs[64];

	snprintf(ours, sizeof(ours), "%s/%s", test_dir(), name);
	snprintf(theirs, sizeof(theirs), "/etc/%s", name);
	write_file(ours, text);
	if (mount(ours, theirs, NULL, MS_BIND, NULL) < 0)
		SKIP("cannot mount over %s: %s", theirs, strerror(errno));
}

/* In namespaces of its own, this process asks a name server that only listens. Its socket. */
static int be_without_names(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_port = htons(53),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int sock;

	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0)
		SKIP("no namespaces: %s", strerror(errno));
	SYS(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	put_over("resolv.conf", "nameserver 127.0.0.1\noptions timeout:3 attempts:1\n");
	put_over("nsswitch.conf", "hosts: dns\n");
	sock = (int)SYS(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	SYS(ioctl(sock, SIOCSIFFLAGS, &lo));
	SYS(bind(sock, (struct sockaddr *)&addr, sizeof(addr)));
	return sock;
}

static struct blkio *create_named(int limit_ms)
{
	struct blkio *b;

	CHECK_OK(blkio_create("nbd", &b));
	CHECK_OK(blkio_set_str(b, "host", "server.example"));
	CHECK_OK(blkio_set_int(b, "connect-timeout", limit_ms));
	return b;
}

/* The resolver itself gives up after 3 s; then nothing of the lookups is left. */
static void silent_resolver(struct device *d)
{
	int sock = be_without_names();
	unsigned fds = count_fds();
	int64_t begin = clock_ns();
	struct blkio *b;

	(void)d;
	for (int i = 0; i < 3; i++) {
		b = create_named(LIMIT_MS);
		CHECK_ERR(blkio_connect(b), ETIMEDOUT, "server.example", "resolver", "100 ms");
		/* The lookup that goes on knows nothing of the instance. */
		blkio_destroy(&b);
	}
	b = create_named(0);
	CHECK_OK(blkio_connect_async(b));
	CHECK(!readable(blkio_get_control_fd(b), LIMIT_MS));
	blkio_cancel(b);
	CHECK(readable(blkio_get_control_fd(b), LATE_MS));
	CHECK_ERR(blkio_control_result(b), ECANCELED, "server.example", "blkio_cancel()");
	/* An address needs no lookup: nobody listens. */
	CHECK_OK(blkio_set_str(b, "host", "127.0.0.1"));
	CHECK_ERR(blkio_connect(b), ECONNREFUSED, "127.0.0.1");
	blkio_destroy(&b);
	CHECK(clock_ns() - begin < (8 * LIMIT_MS + LATE_MS) * 1000000LL);
	await_fds(fds);
	close(sock);
}

#define AT_EACH_STEP(i, name)                                                                      \
	{                                                                                          \
		name, at_each_step, T_NBD, T_PLAIN, .timeout = 120, .data = &ways[i]               \
	}

static const struct test tests[] = {
	AT_EACH_STEP(0, "silent at each step"),
	AT_EACH_STEP(1, "silent at each step, cancelled"),
	AT_EACH_STEP(2, "slow at each step"),
	AT_EACH_STEP(3, "slow at each step, cancelled"),
	AT_EACH_STEP(4, "wrong at each step"),
	AT_EACH_STEP(5, "closes at each step"),
	{ "a name server that does not answer", silent_resolver },
};
TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See relay.h. One thread for all connections; what it reads is small. */
#include <linux/filter.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay.h"
#include "test.h"

static int open_socket(int family)
{
	return (int)SYS(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static void close_connection(struct relay_connection *c)
{
	if (c->client >= 0)
		close(c->client);
	if (c->server >= 0)
		close(c->server);
	c->client = c->server = -1;
}

static void accept_one(struct relay *r)
{
	struct relay_connection *c = &r->c[r->nr];

	CHECK(r->nr < RELAY_CONNECTIONS);
	c->client = (int)SYS(accept4(r->listener, NULL, NULL, SOCK_CLOEXEC));
	c->server = open_socket(AF_UNIX);
	c->passed = 0;
	c->is_gone = false;
	SYS(connect(c->server, (struct sockaddr *)&r->server, sizeof(r->server)));
	r->nr++;
}

static void pass_request(struct relay_connection *c)
{
	char buf[4096];
	ssize_t n = recv(c->client, buf, sizeof(buf), 0);

	if (n <= 0 || send(c->server, buf, (size_t)n, MSG_NOSIGNAL) != n)
		close_connection(c);
}

static void keep_waiting(struct relay *r)
{
	if (r->waits && !r->has_waited)
		r->waits(r->arg);
	r->has_waited = true;
}

/* The bytes of the answer from the fault on. Returns whether to go on. */
static bool spoil(struct relay *r, struct relay_connection *c, char *buf, size_t n)
{
	switch (r->fault) {
	case RELAY_SILENT:
	case RELAY_STUCK:
		keep_waiting(r);
		return true;
	case RELAY_SLOW:
		for (size_t i = 0; i < n; i++) {
			if (send(c->client, buf + i, 1, MSG_NOSIGNAL) != 1)
				return false;
			keep_waiting(r);
			usleep(RELAY_SLOW_MS * 1000);
		}
		return true;
	case RELAY_CORRUPT:
		if (c->passed == r->at)
			*buf ^= (char)0xff;
		return send(c->client, buf, n, MSG_NOSIGNAL) == (ssize_t)n;
	default:
		return false;
	}
}

static void pass_answer(struct relay *r, struct relay_connection *c)
{
	bool faulty = r->fault != RELAY_NONE && c - r->c >= (ptrdiff_t)r->connection;
	char buf[4096];
	ssize_t n = recv(c->server, buf, sizeof(buf), 0);
	size_t good = n > 0 ? (size_t)n : 0;

	if (n <= 0)
		return close_connection(c);
	if (faulty)
		good = r->at <= c->passed ? 0 : r->at - c->passed < good ? r->at - c->passed : good;
	if (send(c->client, buf, good, MSG_NOSIGNAL) != (ssize_t)good)
		return close_connection(c);
	c->passed += good;
	if (!faulty || c->passed < r->at)
		return;
	if ((size_t)n == good && r->fault != RELAY_CLOSES)
		return;
	if (!spoil(r, c, buf + good, (size_t)n - good))
		return close_connection(c);
	c->passed += (size_t)n - good;
}

/* What comes while it ends or is reset has been closed already. */
static bool attend(struct relay *r, const struct pollfd *p, unsigned nr)
{
	bool go_on;

	pthread_mutex_lock(&r->lock);
	go_on = !r->ends;
	for (unsigned i = 0; i < nr && go_on; i++) {
		if (p[2 + 2 * i].revents && r->c[i].client >= 0)
			pass_request(&r->c[i]);
		if (p[3 + 2 * i].revents && r->c[i].server >= 0)
			pass_answer(r, &r->c[i]);
	}
	if (go_on && p[1].revents)
		accept_one(r);
	pthread_mutex_unlock(&r->lock);
	return go_on;
}

static void *relay(void *arg)
{
	struct relay *r = arg;
	struct pollfd p[2 + 2 * RELAY_CONNECTIONS];
	eventfd_t count;
	unsigned nr;

	do {
		p[0] = (struct pollfd){ .fd = r->wake, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = r->listener, .events = POLLIN };
		pthread_mutex_lock(&r->lock);
		nr = r->nr;
		for (unsigned i = 0; i < nr; i++) {
			const struct relay_connection *c = &r->c[i];
			bool reads = r->fault != RELAY_STUCK || i < r->connection;

			p[2 + 2 * i] = (struct pollfd){ .fd = c->client, .events = POLLIN };
			p[3 + 2 * i] = (struct pollfd){ .fd = c->server, .events = POLLIN };
			if (c->is_gone || !reads)
				p[2 + 2 * i].fd = -1;
			if (c->is_gone)
				p[3 + 2 * i].fd = -1;
		}
		pthread_mutex_unlock(&r->lock);
		SYS(poll(p, 2 + 2 * nr, -1));
		if (p[0].revents) { /* descriptors may be others by now */
			eventfd_read(r->wake, &count);
			nr = 0;
		}
	} while (attend(r, p, nr));
	return NULL;
}

static void start(struct relay *r, int family, const char *path)
{
	*r = (struct relay){ .listener = open_socket(family),
			     .wake = (int)SYS(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
			     .here.sun_family = AF_UNIX,
			     .server.sun_family = AF_UNIX,
			     .port = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) },
			     .lock = PTHREAD_MUTEX_INITIALIZER };
	strcpy(r->server.sun_path, path);
}

static void begin(struct relay *r)
{
	SYS(listen(r->listener, RELAY_CONNECTIONS));
	CHECK_EQ(pthread_create(&r->thread, NULL, relay, r), 0);
}

void relay_start(struct relay *r, const char *path)
{
	start(r, AF_UNIX, path);
	snprintf(r->here.sun_path, sizeof(r->here.sun_path), "%s/relay",
		 test_tmpfs_dir() ?: test_dir());
	SYS(bind(r->listener, (struct sockaddr *)&r->here, sizeof(r->here)));
	begin(r);
}

void relay_start_tcp(struct relay *r, const char *path)
{
	socklen_t len = sizeof(r->port);

	start(r, AF_INET, path);
	SYS(bind(r->listener, (struct sockaddr *)&r->port, sizeof(r->port)));
	SYS(getsockname(r->listener, (struct sockaddr *)&r->port, &len));
	begin(r);
}

static void drop_all(int sock)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = { 1, &none };

	SYS(setsockopt(sock, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
}

void relay_vanish(struct relay *r, bool all)
{
	pthread_mutex_lock(&r->lock);
	for (unsigned i = 0; i < r->nr; i++) {
		if (r->c[i].client >= 0)
			drop_all(r->c[i].client);
		r->c[i].is_gone = true;
	}
	if (all)
		drop_all(r->listener);
	eventfd_write(r->wake, 1);
	pthread_mutex_unlock(&r->lock);
}

void relay_set(struct relay *r, enum relay_fault fault, unsigned connection, size_t at)
{
	pthread_mutex_lock(&r->lock);
	r->fault = fault;
	r->connection = connection;
	r->at = at;
	r->has_waited = false;
	eventfd_write(r->wake, 1);
	pthread_mutex_unlock(&r->lock);
}

size_t relay_passed(struct relay *r, unsigned connection)
{
	size_t passed;

	pthread_mutex_lock(&r->lock);
	passed = r->c[connection].passed;
	pthread_mutex_unlock(&r->lock);
	return passed;
}

static void change(struct relay *r, bool end)
{
	pthread_mutex_lock(&r->lock);
	for (unsigned i = 0; i < r->nr; i++)
		close_connection(&r->c[i]);
	r->nr = 0;
	r->ends = end;
	eventfd_write(r->wake, 1);
	pthread_mutex_unlock(&r->lock);
}

void relay_reset(struct relay *r)
{
	change(r, false);
}

void relay_stop(struct relay *r)
{
	change(r, true);
	CHECK_EQ(pthread_join(r->thread, NULL), 0);
	close(r->listener);
	close(r->wake);
	if (*r->here.sun_path)
		unlink(r->here.sun_path);
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See tls_server.h. */
#include "tls_server.h"

#include <endian.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io.h"
#include "test.h"

enum { OPT_STARTTLS = 5, OPT_GO = 7, REP_ACK = 1, REP_INFO = 3, FLAGS = 1 };
enum { CMD_READ = 0, CMD_DISC = 2, REQUEST_LEN = 28, BLOCK_MAX = 65536 };

struct talk {
	int sock;
	gnutls_session_t session; /* NULL: in the clear */
};

static bool take(const struct talk *t, void *buf, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = t->session ? gnutls_record_recv(t->session, (char *)buf + at, len - at)
				       : recv(t->sock, (char *)buf + at, len - at, 0);

		if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
			continue;
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

static bool give(const struct talk *t, const void *buf, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = t->session
				? gnutls_record_send(t->session, (const char *)buf + at, len - at)
				: send(t->sock, (const char *)buf + at, len - at, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

static void put(char **p, uint64_t value, size_t size)
{
	for (size_t i = size; i-- > 0;)
		*(*p)++ = (char)(value >> 8 * i & 0xff);
}

static void put_reply(char **p, uint32_t option, uint32_t type, uint32_t len)
{
	put(p, 0x0003e889045565a9ULL, 8);
	put(p, option, 4);
	put(p, type, 4);
	put(p, len, 4);
}

static int find_key(gnutls_session_t session, const char *user, gnutls_datum_t *key)
{
	const gnutls_datum_t hex = { (unsigned char *)TLS_SERVER_KEY, sizeof(TLS_SERVER_KEY) - 1 };

	(void)session;
	return strcmp(user, TLS_SERVER_USER) ? -1 : gnutls_hex_decode2(&hex, key);
}

static bool start_tls(const struct tls_server *s, struct talk *t)
{
	gnutls_session_t session;
	int ret;

	if (gnutls_init(&session, GNUTLS_SERVER) < 0)
		return false;
	CHECK_EQ(gnutls_priority_set_direct(session, s->priorities, NULL), 0);
	gnutls_credentials_set(session, GNUTLS_CRD_PSK, s->keys);
	gnutls_transport_set_int(session, t->sock);
	t->session = session;
	do
		ret = gnutls_handshake(session);
	while (ret < 0 && !gnutls_error_is_fatal(ret));
	return !ret;
}

/* Of one option. Returns whether to go on; *over: all has been said. */
static bool answer_option(const struct tls_server *s, struct talk *t, bool *over)
{
	char head[16], data[4200], out[128], *p = out;
	uint32_t option, len;

	if (!take(t, head, sizeof(head)))
		return false;
	memcpy(&option, head + 8, 4);
	memcpy(&len, head + 12, 4);
	option = be32toh(option);
	len = be32toh(len);
	if (len > sizeof(data) || !take(t, data, len))
		return false;
	if (option == OPT_GO) {
		put_reply(&p, option, REP_INFO, 12);
		put(&p, 0, 2);
		put(&p, TLS_SERVER_SIZE, 8);
		put(&p, FLAGS, 2);
		put_reply(&p, option, REP_ACK, 0);
	} else {
		put_reply(&p, option, option == OPT_STARTTLS ? REP_ACK : 1U << 31 | 1, 0);
	}
	*over = option == OPT_GO;
	return give(t, out, (size_t)(p - out)) && (option != OPT_STARTTLS || start_tls(s, t));
}

/* Returns whether to go on. */
static bool act(const struct tls_server *s, const struct talk *t)
{
	switch (s->act) {
	case TLS_SERVER_CHANGES_KEYS:
		return !gnutls_session_key_update(t->session, 0);
	case TLS_SERVER_SENDS_TICKET:
		return !gnutls_session_ticket_send(t->session, 1, 0);
	case TLS_SERVER_SAYS_BYE:
		gnutls_bye(t->session, GNUTLS_SHUT_WR);
		return false;
	case TLS_SERVER_SENDS_ALERT:
		gnutls_alert_send(t->session, GNUTLS_AL_FATAL, GNUTLS_A_INTERNAL_ERROR);
		return false;
	default:
		return true;
	}
}

static bool answer_request(const struct tls_server *s, const struct talk *t, int nr)
{
	static __thread char out[16 + BLOCK_MAX];
	char request[REQUEST_LEN], *p = out;
	uint64_t offset;
	uint32_t len;

	if (!take(t, request, sizeof(request)) || request[7] == CMD_DISC)
		return false;
	memcpy(&offset, request + 16, 8);
	memcpy(&len, request + 24, 4);
	len = be32toh(len);
	if (request[7] != CMD_READ || len > BLOCK_MAX || (nr == 1 && !act(s, t)))
		return false;
	put(&p, 0x67446698, 4);
	put(&p, 0, 4);
	memcpy(p, request + 8, 8);
	pattern(p + 8, be64toh(offset), len, TLS_SERVER_SEED);
	return give(t, out, 16 + len);
}

static void serve(const struct tls_server *s, struct talk *t)
{
	char greeting[18], *p = greeting, flags[4];
	bool over = false;
	int nr = 0;

	put(&p, 0x4e42444d41474943ULL, 8);
	put(&p, 0x49484156454f5054ULL, 8);
	put(&p, 3, 2);
	if (!give(t, greeting, sizeof(greeting)) || !take(t, flags, sizeof(flags)))
		return;
	while (!over) {
		if (!answer_option(s, t, &over))
			return;
	}
	while (answer_request(s, t, nr))
		nr++;
}

static void *run(void *arg)
{
	struct tls_server *s = arg;
	struct talk t;

	while ((t.sock = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		__atomic_add_fetch(&s->connections, 1, __ATOMIC_RELAXED);
		t.session = NULL;
		serve(s, &t);
		if (t.session)
			gnutls_deinit(t.session);
		close(t.sock);
	}
	return NULL;
}

void tls_server_start(struct tls_server *s)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);

	s->connections = 0;
	CHECK_EQ(gnutls_psk_allocate_server_credentials(&s->keys), 0);
	gnutls_psk_set_server_credentials_function(s->keys, find_key);
	s->listener = (int)SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	SYS(bind(s->listener, (struct sockaddr *)&addr, sizeof(addr)));
	SYS(getsockname(s->listener, (struct sockaddr *)&addr, &len));
	s->port = ntohs(addr.sin_port);
	SYS(listen(s->listener, 16));
	CHECK_EQ(pthread_create(&s->thread, NULL, run, s), 0);
}

unsigned tls_server_connections(struct tls_server *s)
{
	return __atomic_load_n(&s->connections, __ATOMIC_RELAXED);
}

void tls_server_stop(struct tls_server *s)
{
	shutdown(s->listener, SHUT_RDWR);
	CHECK_EQ(pthread_join(s->thread, NULL), 0);
	close(s->listener);
	gnutls_psk_free_server_credentials(s->keys);
}

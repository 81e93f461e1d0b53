/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A session: the handshake, and then the kernel, or the thread that passes bytes on, with gnutls.
 * It has at most one piece in either direction on its way, and reads the next one when that has
 * left. So a side that does not read stops the other, as with a plain socket.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/watcher.h"
#include "net/tls_gnutls.h"
#include "net/tls_record.h"

#define PIECE_LEN 16384 /* the longest record */
#define VERSIONS  "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
#define PSK	  ":+ECDHE-PSK:+DHE-PSK:+PSK"
/* Those first whose keys stay: tls_kernel.c. */
#define FOR_KERNEL                                                                                 \
	":-CIPHER-ALL:+CHACHA20-POLY1305:+AES-256-GCM:+AES-128-GCM:+AES-256-CCM:+AES-128-CCM:"     \
	"+AES-256-CBC:+AES-128-CBC"

struct piece {
	size_t at, len; /* of what has not left yet */
	uint8_t bytes[PIECE_LEN];
};

struct net_tls {
	gnutls_session_t session;
	int sock;  /* to the peer */
	int plain; /* the other end of the data socket */
	bool may_be_kernels;
	struct watcher watcher;
	struct piece out, in; /* to the peer, and from there */
};

/* ---- Bytes of records --------------------------------------------------------------------- */

static ssize_t push(gnutls_transport_ptr_t sock, const void *buf, size_t len)
{
	return send((int)(intptr_t)sock, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static ssize_t pull(gnutls_transport_ptr_t sock, void *buf, size_t len)
{
	return recv((int)(intptr_t)sock, buf, len, MSG_DONTWAIT);
}

static bool is_transient(ssize_t ret)
{
	return ret == GNUTLS_E_AGAIN || ret == GNUTLS_E_INTERRUPTED;
}

static short awaited(gnutls_session_t session)
{
	return net_gnutls.record_get_direction(session) ? POLLOUT : POLLIN;
}

/* ---- The handshake ------------------------------------------------------------------------ */

/* An address is no name to ask for. */
static int set_hostname(gnutls_session_t session, const char *hostname)
{
	struct in6_addr address;

	if (inet_pton(AF_INET, hostname, &address) == 1 ||
	    inet_pton(AF_INET6, hostname, &address) == 1)
		return 0;
	return net_gnutls.server_name_set(session, GNUTLS_NAME_DNS, hostname, strlen(hostname));
}

static int set_priorities(const struct net_tls *t, const struct net_tls_keys *keys)
{
	char text[256];

	snprintf(text, sizeof(text), VERSIONS "%s%s", keys->psk ? PSK : "",
		 t->may_be_kernels && !keys->can_reconnect ? FOR_KERNEL : "");
	return net_gnutls.priority_set_direct(t->session, text, NULL);
}

static int set_up(struct net_tls *t, const struct net_tls_keys *keys)
{
	int ret = net_gnutls.init(&t->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK);

	if (ret < 0)
		return ret;
	ret = set_priorities(t, keys);
	if (ret >= 0 && keys->psk)
		ret = net_gnutls.credentials_set(t->session, GNUTLS_CRD_PSK, keys->psk);
	else if (ret >= 0)
		ret = net_gnutls.credentials_set(t->session, GNUTLS_CRD_CERTIFICATE,
						 keys->certificates);
	if (ret >= 0 && keys->hostname && !keys->psk)
		ret = set_hostname(t->session, keys->hostname);
	if (ret < 0) {
		net_gnutls.deinit(t->session);
		return ret;
	}
	if (keys->verify && !keys->psk)
		net_gnutls.session_set_verify_cert(t->session, keys->hostname, 0);
	net_gnutls.transport_set_ptr(t->session, (gnutls_transport_ptr_t)(intptr_t)t->sock);
	net_gnutls.transport_set_push_function(t->session, push);
	net_gnutls.transport_set_pull_function(t->session, pull);
	return 0;
}

/* The first of these that is true. */
static int bad_certificate(const struct net_tls *t)
{
	static const struct {
		unsigned status;
		const char *text;
	} reasons[] = {
		{ GNUTLS_CERT_REVOKED, "it has been revoked" },
		{ GNUTLS_CERT_SIGNER_NOT_FOUND, "its issuer is not trusted" },
		{ GNUTLS_CERT_EXPIRED, "it has expired" },
		{ GNUTLS_CERT_NOT_ACTIVATED, "it is not valid yet" },
		{ GNUTLS_CERT_UNEXPECTED_OWNER, "it is for another name" },
		{ ~0U, "it cannot be verified" },
	};
	unsigned status = net_gnutls.session_get_verify_cert_status(t->session), i = 0;

	while (!(reasons[i].status & (status | GNUTLS_CERT_INVALID)))
		i++;
	return bk_err(EACCES, "the TLS certificate of the server is not accepted: %s",
		      reasons[i].text);
}

static int handshake_failed(const struct net_tls *t, int error)
{
	switch (error) {
	case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
		return bad_certificate(t);
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		return bk_err(EACCES, "the server refused the TLS handshake: %s",
			      net_gnutls.alert_get_name(net_gnutls.alert_get(t->session)));
	case GNUTLS_E_PREMATURE_TERMINATION:
		return bk_err(ECONNRESET, "the server closed the connection during the TLS "
					  "handshake; it may not accept our key or "
					  "certificate");
	default:
		return bk_err(EPROTO, "the TLS handshake failed: %s", net_gnutls.strerror(error));
	}
}

static int shake_hands(struct net_tls *t, const struct net_tls_keys *keys,
		       const struct bk_deadline *deadline)
{
	int error, ret;

	while ((error = net_gnutls.handshake(t->session)) < 0) {
		if (!is_transient(error) && net_gnutls.error_is_fatal(error))
			return handshake_failed(t, error);
		ret = bk_wait_events(t->sock, awaited(t->session), deadline);
		if (ret < 0)
			return bk_wait_err(deadline, ret, "TLS handshake", "answer of the server");
	}
	/* Whoever has the key is the server; a certificate would be anybody's. */
	if (keys->psk && net_gnutls.auth_get_type(t->session) != GNUTLS_CRD_PSK)
		return bk_err(EACCES, "the server did not use the pre-shared key of property "
				      "\"tls-psk-file\"");
	return 0;
}

/* ---- Passing on --------------------------------------------------------------------------- */

enum step { MOVED, STUCK, OVER };

/* Read the next piece from the application, or send what is left of the last one. */
static enum step pass_out(struct net_tls *t)
{
	struct piece *p = &t->out;
	ssize_t n;

	if (!p->len) {
		n = recv(t->plain, p->bytes, sizeof(p->bytes), MSG_DONTWAIT);
		if (n <= 0)
			return n && (errno == EAGAIN || errno == EINTR) ? STUCK : OVER;
		p->at = 0;
		p->len = n;
	}
	n = net_gnutls.record_send(t->session, p->bytes + p->at, p->len);
	if (n < 0)
		return is_transient(n) ? STUCK : OVER;
	p->at += n;
	p->len -= n;
	return MOVED;
}

static enum step pass_in(struct net_tls *t)
{
	struct piece *p = &t->in;
	ssize_t n;

	if (!p->len) {
		n = net_gnutls.record_recv(t->session, p->bytes, sizeof(p->bytes));
		if (n <= 0)
			return is_transient(n) ? STUCK : OVER;
		p->at = 0;
		p->len = n;
	}
	n = send(t->plain, p->bytes + p->at, p->len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? STUCK : OVER;
	p->at += n;
	p->len -= n;
	return MOVED;
}

/* What would let either direction go on. A descriptor of which nothing is wanted is left out. */
static bool sleep_stuck(struct net_tls *t)
{
	struct pollfd fds[3] = { { .fd = t->sock }, { .fd = t->plain } };

	if (t->out.len)
		fds[0].events |= POLLOUT;
	else
		fds[1].events |= POLLIN;
	if (t->in.len)
		fds[1].events |= POLLOUT;
	else
		fds[0].events |= awaited(t->session);
	for (int i = 0; i < 2; i++) {
		if (!fds[i].events)
			fds[i].fd = -1;
	}
	return watcher_sleep(&t->watcher, fds, 2, -1);
}

static void *run(void *arg)
{
	struct net_tls *t = arg;
	enum step out, in;

	do {
		out = pass_out(t);
		in = pass_in(t);
	} while (out != OVER && in != OVER && !watcher_ends(&t->watcher) &&
		 (out == MOVED || in == MOVED || sleep_stuck(t)));
	/* The last words of the application. */
	do
		out = pass_out(t);
	while (out == MOVED);
	net_gnutls.bye(t->session, GNUTLS_SHUT_WR);
	shutdown(t->sock, SHUT_WR);
	shutdown(t->plain, SHUT_RDWR);
	return NULL;
}

/* ---- Beginning and end -------------------------------------------------------------------- */

static int start_passing(struct net_tls *t, int *data)
{
	int pair[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return bk_err(errno, "cannot create a socket pair: %m");
	t->plain = pair[0];
	ret = watcher_start(&t->watcher, "TLS connection", run, t);
	if (ret < 0) {
		close(pair[0]);
		close(pair[1]);
		return ret;
	}
	*data = pair[1];
	return 0;
}

static void discard(struct net_tls *t)
{
	net_gnutls.deinit(t->session);
	free(t);
}

/* 1: the kernel has taken over; 0; or bk_err(). */
static int begin(struct net_tls *t, const struct net_tls_keys *keys,
		 const struct bk_deadline *deadline, int *data)
{
	int ret = shake_hands(t, keys, deadline);

	if (!ret && t->may_be_kernels)
		ret = net_tls_to_kernel(t->session, t->sock, keys);
	return ret ? ret : start_passing(t, data);
}

int net_tls_start(const struct net_tls_keys *keys, int sock, const struct bk_deadline *deadline,
		  struct net_tls **tls, int *data)
{
	struct net_tls *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return bk_err(ENOMEM, "out of memory");
	t->sock = sock;
	t->may_be_kernels = keys->kernel && net_kernel_tls_attach(sock);
	ret = set_up(t, keys);
	if (ret < 0) {
		free(t);
		return bk_err(EINVAL, "cannot set up TLS: %s", net_gnutls.strerror(ret));
	}
	ret = begin(t, keys, deadline, data);
	*tls = ret ? NULL : t;
	if (ret)
		discard(t);
	return ret < 0 ? ret : 0;
}

void net_tls_stop(struct net_tls *tls)
{
	if (!tls)
		return;
	watcher_stop(&tls->watcher);
	close(tls->plain);
	discard(tls);
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A session: connecting, logging in, and commands on control paths. libiscsi is asked to do one
 * thing, and served until its callback was called. It resolves no names and reconnects nothing:
 * nobody could limit or interrupt that.
 *
 * Each queue's session has an identifier (ISID) of its own, or a target would end one for the
 * other.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "iscsi/iscsi_dev.h"
#include "net/lookup.h"
#include "net/uri.h"

#define REDIRECTS_MAX  5
#define TRIES_MAX      16 /* of a command that the target answers with something else first */
#define PAUSE_MIN_NS   10000000
#define PAUSE_MAX_NS   500000000
#define ADDRESS_MAX    256
#define CONNECT_FAILED "cannot connect to the iSCSI target at %s: %s"

struct scsi_iovec iscsi_no_iov[1];

/* ---- Calls of libiscsi -------------------------------------------------------------------- */

static void ended(struct iscsi_context *context, int status, void *data, void *arg)
{
	struct iscsi_session *s = arg;

	(void)context;
	(void)data;
	s->done = true;
	s->status = status;
}

static int lost(struct iscsi_session *s)
{
	const char *why = libiscsi.get_error(s->context);

	return bk_err(ECONNRESET, "the iSCSI target closed the connection%s%s", *why ? ": " : "",
		      why);
}

/*
 * Before the last answer of a login, libiscsi reads one at a time, and it is there as a whole. It
 * must not be stopped in the middle, or the rest of that answer is taken for the next one.
 */
static int read_answer(struct iscsi_session *s, const struct iscsi_login *login)
{
	if (!login || login->is_last)
		return iscsi_session_read(s);
	s->braked = false;
	return libiscsi.service(s->context, POLLIN);
}

/* 0; -1 when the connection is lost; or bk_err(). */
static int serve_once(struct iscsi_session *s, const struct iscsi_login *login, short events)
{
	int ret = events & POLLIN ? read_answer(s, login) : 0;

	if (!ret && s->braked && libiscsi.queue_length(s->context) > ISCSI_PENDING_MAX)
		return bk_err(EPROTO, "the iSCSI target broke the protocol: it sends without end");
	return !ret && events & POLLOUT ? libiscsi.service(s->context, POLLOUT) : ret;
}

/* login: its answers are looked at first; NULL: there are none. */
static int serve(struct iscsi_session *s, struct iscsi_login *login,
		 const struct bk_deadline *deadline, const char *step)
{
	int ret = 0;

	s->done = false;
	while (!s->done) {
		int fd = libiscsi.get_fd(s->context);
		short events = libiscsi.which_events(s->context);

		ret = bk_wait_events(fd, events, deadline);
		if (ret < 0)
			return bk_wait_err(deadline, ret, step, "answer of the iSCSI target");
		ret = login && !login->is_last && events & POLLIN ? iscsi_login_look(login, fd) : 0;
		if (ret == -EAGAIN)
			events &= ~POLLIN;
		else if (ret < 0)
			return ret;
		ret = serve_once(s, login, events);
		if (ret == -EPROTO)
			return ret;
		if (ret < 0)
			break;
		/* It drops what it cannot make sense of, and does not say so. */
		if (!s->done && !libiscsi.queue_length(s->context))
			break;
	}
	return s->done && s->status != SCSI_STATUS_CANCELLED ? 0 : lost(s);
}

/* ---- Connecting --------------------------------------------------------------------------- */

static int errno_of(int sock)
{
	socklen_t len = sizeof(int);
	int error = 0;

	getsockopt(sock, SOL_SOCKET, SO_ERROR, &error, &len);
	return error;
}

/* The address as libiscsi wants it. */
static bool portal_of(const struct addrinfo *a, char portal[static ADDRESS_MAX])
{
	char host[ADDRESS_MAX - 16], port[8];

	if (getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		return false;
	snprintf(portal, ADDRESS_MAX, a->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	return true;
}

/*
 * libiscsi has made the socket. Data that lies unread on the target's machine when the kernel gives
 * up is not carried out later: the next session ends the lost one.
 */
static void prepare_socket(int sock, int tcp_timeout)
{
	fcntl(sock, F_SETFD, FD_CLOEXEC);
	if (tcp_timeout)
		setsockopt(sock, IPPROTO_TCP, TCP_USER_TIMEOUT, &tcp_timeout, sizeof(tcp_timeout));
	net_keep_alive(sock, tcp_timeout);
}

/* -errno without message, but for what bk_wait_events() returns. */
static int connect_to(const struct iscsi_wish *w, struct iscsi_session *s, const struct addrinfo *a,
		      const struct bk_deadline *deadline)
{
	char portal[ADDRESS_MAX];
	int ret;

	if (!portal_of(a, portal))
		return -EAFNOSUPPORT;
	errno = 0;
	s->done = false;
	if (libiscsi.connect_async(s->context, portal, ended, s))
		return errno ? -errno : -EIO;
	prepare_socket(libiscsi.get_fd(s->context), w->tcp_timeout);
	ret = bk_wait_events(libiscsi.get_fd(s->context), POLLOUT, deadline);
	if (!ret)
		ret = -errno_of(libiscsi.get_fd(s->context));
	if (!ret)
		libiscsi.service(s->context, POLLOUT);
	return !ret && !s->done ? -EIO : ret;
}

static int new_context(const struct iscsi_wish *w, struct iscsi_session *s)
{
	const struct iscsi_target *t = &w->target;

	s->context = libiscsi.create_context(w->initiator);
	if (!s->context)
		return bk_err(ENOMEM, "out of memory");
	/* Nobody is to be told on stderr; its buffer for that is not for several threads. */
	libiscsi.set_log_fn(s->context, NULL);
	libiscsi.set_isid_random(s->context, s->isid.random, s->isid.qualifier);
	libiscsi.set_noautoreconnect(s->context, 1);
	libiscsi.set_session_type(s->context, ISCSI_SESSION_NORMAL);
	libiscsi.set_targetname(s->context, t->name);
	libiscsi.set_header_digest(s->context, w->digest);
	libiscsi.set_initiator_username_pwd(s->context, t->chap.user, t->chap.password);
	libiscsi.set_target_username_pwd(s->context, t->target_chap.user, t->target_chap.password);
	return 0;
}

static void end_context(struct iscsi_session *s)
{
	if (!s->context)
		return;
	iscsi_brake_exit(&s->brake);
	/* The target sees the end also when somebody else has the socket, too. */
	shutdown(libiscsi.get_fd(s->context), SHUT_RDWR);
	libiscsi.destroy_context(s->context);
	s->context = NULL;
}

/* Each address has a context of its own: one that failed has an error. */
static int connect_to_any(const struct iscsi_wish *w, struct iscsi_session *s,
			  const struct addrinfo *list, const struct bk_deadline *deadline)
{
	int ret = -ENXIO;

	for (const struct addrinfo *i = list; i && ret < 0; i = i->ai_next) {
		end_context(s);
		ret = new_context(w, s);
		if (ret < 0)
			return ret;
		ret = connect_to(w, s, i, deadline);
		if (ret == -ECANCELED || (ret == -ETIMEDOUT && now_ns() >= deadline->at))
			return bk_wait_err(deadline, ret, w->target.name, "connection");
	}
	return ret;
}

static int connect_session(const struct iscsi_wish *w, struct iscsi_session *s,
			   const struct net_address *a, const struct bk_deadline *deadline)
{
	struct addrinfo *list;
	int ret = net_lookup(a->host, a->port, deadline, &list);

	if (ret < 0)
		return ret;
	ret = connect_to_any(w, s, list, deadline);
	freeaddrinfo(list);
	if (ret < 0 && ret != -ECANCELED && ret != -ETIMEDOUT)
		return bk_err(-ret, CONNECT_FAILED, net_name(a).s, strerror(-ret));
	return ret;
}

/* ---- Logging in --------------------------------------------------------------------------- */

/* "HOST:PORT,GROUP", into memory of the same size. */
static int follow(struct iscsi_session *s, char address[static ADDRESS_MAX], struct net_address *a)
{
	const char *problem;

	snprintf(address, ADDRESS_MAX, "%s", libiscsi.get_target_address(s->context));
	net_uri_cut(address, ',');
	*a = (struct net_address){ .port = ISCSI_DEFAULT_PORT };
	problem = *address ? net_uri_authority(address, a) : "the address is empty";
	return problem
		   ? bk_err(EPROTO, "the iSCSI target redirects to \"%s\": %s", address, problem)
		   : 0;
}

static int log_in(const struct iscsi_wish *w, struct iscsi_session *s,
		  const struct bk_deadline *deadline)
{
	struct iscsi_login login = { .mutual = w->target.target_chap.user };
	int ret = iscsi_brake_init(&s->brake, libiscsi.get_fd(s->context));

	if (ret < 0)
		return ret;
	if (libiscsi.login_async(s->context, ended, s))
		return bk_err(ENOMEM, "cannot log in to the iSCSI target: %s",
			      libiscsi.get_error(s->context));
	ret = serve(s, &login, deadline, "login");
	if (ret < 0 || s->status == SCSI_STATUS_REDIRECT)
		return ret;
	if (login.status)
		return bk_err(iscsi_login_errno(login.status),
			      "iSCSI target \"%s\" refuses the login: %s", w->target.name,
			      libiscsi.get_error(s->context));
	if (s->status != SCSI_STATUS_GOOD)
		return bk_err(w->target.target_chap.user ? EACCES : EPROTO,
			      "cannot log in to iSCSI target \"%s\": %s", w->target.name,
			      libiscsi.get_error(s->context));
	return iscsi_login_over(&login);
}

static int log_in_somewhere(const struct iscsi_wish *w, struct iscsi_session *s,
			    const struct bk_deadline *deadline)
{
	struct net_address a = w->target.address;
	char address[ADDRESS_MAX];
	int ret;

	for (int i = 0; i <= REDIRECTS_MAX; i++) {
		ret = connect_session(w, s, &a, deadline);
		if (!ret)
			ret = log_in(w, s, deadline);
		if (ret < 0 || s->status != SCSI_STATUS_REDIRECT)
			return ret;
		ret = follow(s, address, &a);
		if (ret < 0)
			return ret;
	}
	return bk_err(ELOOP, "iSCSI target \"%s\" redirects to another address more than %d times",
		      w->target.name, REDIRECTS_MAX);
}

/* ---- Commands ----------------------------------------------------------------------------- */

static int command_once(struct iscsi_session *s, const struct iscsi_cdb *cdb, size_t *len,
			const struct bk_deadline *deadline, struct iscsi_verdict *verdict)
{
	int ret;

	memset(s->data, 0, sizeof(s->data));
	iscsi_task_init(&s->task, cdb);
	if (*len) {
		s->iov = (struct scsi_iovec){ s->data, *len };
		s->task.xfer_dir = SCSI_XFER_READ;
		s->task.expxferlen = (int)*len;
		s->task.iovector_in = (struct scsi_iovector){ .iov = &s->iov, .niov = 1 };
	}
	if (libiscsi.scsi_command_async(s->context, s->lun, &s->task, ended, NULL, s))
		return lost(s);
	ret = serve(s, NULL, deadline, "command");
	if (ret < 0)
		return ret;
	*verdict = iscsi_judge(s->status, s->task.datain.data, s->task.datain.size, false);
	*len -= iscsi_missing(&s->task);
	free(s->task.datain.data);
	s->task.datain.data = NULL;
	return 0;
}

int iscsi_session_command(struct iscsi_session *s, const struct iscsi_cdb *cdb, size_t *len,
			  const struct bk_deadline *deadline, struct iscsi_verdict *verdict)
{
	struct bk_pauses pauses = { *deadline, PAUSE_MIN_NS, PAUSE_MAX_NS };
	const size_t want = *len;
	int ret = 0;

	*verdict = (struct iscsi_verdict){ ISCSI_FAIL, EIO, NULL };
	for (int i = 0; i < TRIES_MAX; i++) {
		*len = want;
		ret = command_once(s, cdb, len, deadline, verdict);
		if (ret < 0 || verdict->then == ISCSI_DONE || verdict->then == ISCSI_FAIL)
			return ret;
		if (verdict->then == ISCSI_TRY_LATER) {
			ret = bk_pause(&pauses);
			if (ret < 0)
				return bk_wait_err(deadline, ret, "command", "logical unit");
		}
	}
	verdict->then = ISCSI_FAIL;
	return 0;
}

/* ---- Beginning and end -------------------------------------------------------------------- */

/* The first command of a session is told what has happened to the unit before. */
static int clear_attention(struct iscsi_session *s, const struct bk_deadline *deadline)
{
	const struct iscsi_cdb cdb = iscsi_cdb_test();
	struct iscsi_verdict verdict;
	size_t len = 0;
	int ret = iscsi_session_command(s, &cdb, &len, deadline, &verdict);

	if (!ret && verdict.then == ISCSI_FAIL)
		return bk_err(verdict.error, "the logical unit cannot be used: %s", verdict.text);
	return ret;
}

int iscsi_isid_choose(struct iscsi_isid *isid)
{
	*isid = (struct iscsi_isid){ 0 };
	return getrandom(isid, sizeof(*isid), 0) < 0 ? bk_err(errno, "getrandom: %m") : 0;
}

int iscsi_session_open(const struct iscsi_wish *wish, const struct iscsi_isid *isid,
		       const struct bk_deadline *deadline, struct iscsi_session **session)
{
	struct iscsi_session *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return bk_err(ENOMEM, "out of memory");
	s->lun = wish->target.lun;
	s->isid = *isid;
	ret = log_in_somewhere(wish, s, deadline);
	if (!ret)
		ret = clear_attention(s, deadline);
	if (ret < 0) {
		struct bk_err_msg message = bk_err_save();

		iscsi_session_close(s);
		bk_err_restore(&message);
		return ret;
	}
	*session = s;
	return 0;
}

void iscsi_session_say_goodbye(struct iscsi_session *s)
{
	if (!libiscsi.logout_async(s->context, NULL, NULL))
		libiscsi.service(s->context, POLLOUT);
}

void iscsi_session_close(struct iscsi_session *s)
{
	if (!s)
		return;
	end_context(s);
	free(s->task.datain.data);
	free(s);
}

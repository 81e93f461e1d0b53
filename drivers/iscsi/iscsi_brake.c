/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See iscsi_brake.h. */
#include "iscsi/iscsi_brake.h"

#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TICK_MS	   20
#define IDLE_TICKS 50

/* libiscsi may be reading from it: that is why, and no mistake that a sanitizer should report. */
static bool put_socket(int from, int at)
{
	return syscall(SYS_dup3, from, at, O_CLOEXEC) >= 0;
}

static void pull(struct iscsi_brake *k, uint32_t call)
{
	pthread_mutex_lock(&k->lock);
	if (__atomic_compare_exchange_n(&k->call, &(uint32_t){ call }, call | ISCSI_PULLED, false,
					__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		/* If the kernel refuses, the connection ends, which ends the call, too. */
		k->pulled = put_socket(k->dry, k->sock);
		if (!k->pulled)
			shutdown(k->sock, SHUT_RDWR);
	}
	pthread_mutex_unlock(&k->lock);
}

void iscsi_brake_release(struct iscsi_brake *k, uint32_t call)
{
	pthread_mutex_lock(&k->lock);
	if (k->pulled)
		put_socket(k->own, k->sock);
	k->pulled = false;
	__atomic_store_n(&k->call, call - ISCSI_READS + ISCSI_CALL, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&k->lock);
}

/* Bytes that were read from the socket, ever; some that were may be left out. */
static uint64_t bytes_read(int sock)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	int unread = 0;

	getsockopt(sock, IPPROTO_TCP, TCP_INFO, &info, &len);
	ioctl(sock, FIONREAD, &unread);
	return info.tcpi_bytes_received - (unsigned)unread;
}

/*
 * Look until nothing has been read for a while. A call that reads nothing is left alone: its thread
 * is only held, and would be again. False: the thread is to end.
 */
static bool look(struct iscsi_brake *k)
{
	uint32_t before = __atomic_load_n(&k->call, __ATOMIC_SEQ_CST), call;
	uint64_t had_read = bytes_read(k->sock), has_read;
	struct pollfd woken;

	for (int idle = 0; idle < IDLE_TICKS; before = call) {
		if (!watcher_sleep(&k->watcher, &woken, 0, TICK_MS))
			return false;
		call = __atomic_load_n(&k->call, __ATOMIC_SEQ_CST);
		idle = call == before ? idle + 1 : 0;
		if ((call & (ISCSI_READS | ISCSI_PULLED)) != ISCSI_READS)
			continue;
		has_read = bytes_read(k->sock);
		if (call == before && has_read > had_read)
			pull(k, call);
		had_read = has_read;
	}
	return true;
}

static void *run(void *arg)
{
	struct iscsi_brake *k = arg;
	struct pollfd woken;

	do {
		__atomic_store_n(&k->awake, true, __ATOMIC_SEQ_CST);
		if (!look(k))
			break;
		__atomic_store_n(&k->awake, false, __ATOMIC_SEQ_CST);
	} while (__atomic_load_n(&k->call, __ATOMIC_SEQ_CST) & ISCSI_READS ||
		 watcher_sleep(&k->watcher, &woken, 0, -1));
	return NULL;
}

/* Not when the brake is pulled: then there may be none left. */
static int open_sockets(struct iscsi_brake *k)
{
	k->dry = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (k->dry < 0)
		return bk_err(errno, "cannot watch the iSCSI session: socket: %m");
	k->own = fcntl(k->sock, F_DUPFD_CLOEXEC, 0);
	if (k->own >= 0)
		return 0;
	close(k->dry);
	return bk_err(errno, "cannot watch the iSCSI session: fcntl: %m");
}

static void close_sockets(const struct iscsi_brake *k)
{
	close(k->own);
	close(k->dry);
}

int iscsi_brake_init(struct iscsi_brake *k, int sock)
{
	int ret;

	*k = (struct iscsi_brake){ .sock = sock };
	ret = open_sockets(k);
	if (ret < 0)
		return ret;
	pthread_mutex_init(&k->lock, NULL);
	ret = watcher_start(&k->watcher, "iSCSI session", run, k);
	if (ret < 0) {
		pthread_mutex_destroy(&k->lock);
		close_sockets(k);
	}
	return ret;
}

void iscsi_brake_exit(struct iscsi_brake *k)
{
	if (!watcher_runs(&k->watcher))
		return;
	watcher_stop(&k->watcher);
	pthread_mutex_destroy(&k->lock);
	close_sockets(k);
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * See lookup.h. Nothing limits or interrupts getaddrinfo(), so a thread calls it. If the deadline
 * passes first, that thread goes on alone: it drops what the resolver says, and ends.
 */
#include "net/lookup.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { PENDING, OVER, ABANDONED };

struct lookup {
	int state;   /* leaves PENDING once: by the thread, or by who waits for it */
	int over_fd; /* eventfd: readable when OVER */
	int ret, error;
	struct addrinfo *list;
	char port[16];
	char host[];
};

static int resolve(struct lookup *l, int flags)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | flags,
	};

	l->ret = getaddrinfo(l->host, l->port, &hints, &l->list);
	l->error = errno;
	return l->ret;
}

/* Returns whether it was still pending. Release, acquire: either side sees what the other did. */
static bool leave_pending(struct lookup *l, int state)
{
	int pending = PENDING;

	return __atomic_compare_exchange_n(&l->state, &pending, state, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

static void *look_up(void *arg)
{
	struct lookup *l = arg;

	resolve(l, 0);
	if (leave_pending(l, OVER)) {
		eventfd_write(l->over_fd, 1);
		return NULL;
	}
	if (!l->ret)
		freeaddrinfo(l->list);
	free(l);
	return NULL;
}

static int start(struct lookup *l, pthread_t *thread)
{
	int ret;

	l->over_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->over_fd < 0)
		return bk_err(errno, "cannot resolve host \"%s\": eventfd: %m", l->host);
	ret = bk_thread_create(thread, look_up, l);
	if (!ret)
		return 0;
	close(l->over_fd);
	return bk_err(ret, "cannot resolve host \"%s\": pthread_create: %s", l->host,
		      strerror(ret));
}

/* 0: l is over; or bk_err(), and l is gone or the thread's. */
static int resolve_until(struct lookup *l, const char *host, const struct bk_deadline *deadline)
{
	pthread_t thread;
	int ret = start(l, &thread), fd = l->over_fd;

	if (ret < 0) {
		free(l);
		return ret;
	}
	ret = bk_wait_events(fd, POLLIN, deadline);
	if (leave_pending(l, ABANDONED)) {
		pthread_detach(thread);
		ret = bk_wait_err(deadline, ret, host, "answer of the system's resolver");
	} else {
		pthread_join(thread, NULL);
		ret = 0;
	}
	close(fd);
	return ret;
}

int net_lookup(const char *host, int port, const struct bk_deadline *deadline,
	       struct addrinfo **list)
{
	struct lookup *l = calloc(1, sizeof(*l) + strlen(host) + 1);
	int ret = 0;

	if (!l)
		return bk_err(ENOMEM, "out of memory");
	strcpy(l->host, host);
	snprintf(l->port, sizeof(l->port), "%d", port);
	/* An address asks nobody. */
	if (resolve(l, AI_NUMERICHOST))
		ret = resolve_until(l, host, deadline);
	if (ret < 0)
		return ret;
	if (l->ret == EAI_SYSTEM)
		ret = bk_err(l->error, "cannot resolve host \"%s\": %s", host, strerror(l->error));
	else if (l->ret)
		ret = bk_err(ENXIO, "cannot resolve host \"%s\": %s", host, gai_strerror(l->ret));
	*list = l->list;
	free(l);
	return ret;
}

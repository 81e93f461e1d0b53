/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See posix_aio.h. */
#include "posix_aio.h"

#include <linux/fs.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "posix_pool.h"

#define BATCH 32 /* of one io_submit() */

static long result(long ret)
{
	return ret < 0 ? -errno : ret;
}

/* ---- Contexts ----------------------------------------------------------------------------- */

/* Whoever forbids one of the calls had better do so before a request depends on it. */
static bool may_take(aio_context_t context)
{
	return syscall(SYS_io_getevents, context, 0L, 0L, NULL, NULL) == 0;
}

struct posix_aio *posix_aio_new(void)
{
	struct posix_aio *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	if (syscall(SYS_io_setup, POSIX_AIO_MAX, &a->context) < 0) {
		free(a);
		return NULL;
	}
	if (may_take(a->context))
		return a;
	posix_aio_free(a);
	return NULL;
}

void posix_aio_free(struct posix_aio *a)
{
	syscall(SYS_io_destroy, a->context);
	free(a);
}

/* ---- Requests ----------------------------------------------------------------------------- */

static void describe(struct iocb *cb, const struct bk_req *r, int fd, int wake_fd)
{
	bool one = r->iovcnt == 1, reads = r->op == BK_READ;

	*cb = (struct iocb){
		.aio_data = (uintptr_t)r,
		.aio_rw_flags = RWF_NOWAIT | posix_rw_flags(r),
		.aio_lio_opcode = one	  ? (reads ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE)
				  : reads ? IOCB_CMD_PREADV
					  : IOCB_CMD_PWRITEV,
		.aio_fildes = (uint32_t)fd,
		.aio_buf = one ? (uintptr_t)r->iov->iov_base : (uintptr_t)r->iov,
		.aio_nbytes = one ? r->iov->iov_len : (uint64_t)r->iovcnt,
		.aio_offset = (int64_t)r->start,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)wake_fd,
	};
}

/* The first ones of the list, as many as one call takes. How many the kernel has; or -errno. */
static long submit_some(struct posix_aio *a, int fd, int wake_fd, const struct bk_req *r)
{
	struct iocb cb[BATCH], *list[BATCH];
	long n, max = (long)min_u64(BATCH, POSIX_AIO_MAX - a->inflight);

	for (n = 0; r && n < max; r = r->next, n++) {
		describe(&cb[n], r, fd, wake_fd);
		list[n] = &cb[n];
	}
	return n ? result(syscall(SYS_io_submit, a->context, n, list)) : -EAGAIN;
}

int posix_aio_submit(struct posix_aio *a, int fd, int wake_fd, struct bk_req_list *list)
{
	struct bk_req *r = list->head;
	long n = 0;

	while (r) {
		n = submit_some(a, fd, wake_fd, r);
		if (unlikely(n <= 0))
			break;
		a->inflight += n;
		for (; n; n--)
			r = r->next;
	}
	bk_list_set_head(list, r);
	return r ? (int)n : 0;
}

int posix_aio_take(struct posix_aio *a, unsigned least, struct io_event *events)
{
	static const struct timespec none;
	int n = (int)result(syscall(SYS_io_getevents, a->context,
				    (long)min_u64(least, POSIX_AIO_EVENTS), (long)POSIX_AIO_EVENTS,
				    events, least ? NULL : &none));

	if (n > 0)
		a->inflight -= n;
	return n;
}

/*
 * It would have had to wait; or the kernel, the file system or the device cannot do it in this way,
 * which need not mean that it cannot be done. Linux 5.9 and 5.10 say 0 where the file does not end.
 */
bool posix_aio_not_done(const struct io_event *e)
{
	switch (e->res) {
	case 0:
	case -EAGAIN:
	case -EINTR:
	case -EINVAL:
	case -EFAULT:
	case -ENOSPC:
	case -EOPNOTSUPP:
		return true;
	}
	return false;
}

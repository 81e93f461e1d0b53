/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See stage.h. */
#include "net/stage.h"

#include <sys/mman.h>
#include <unistd.h>

int net_stage_init(struct net_stage *stage)
{
	int fd = memfd_create("receive-stage", MFD_CLOEXEC), ret;

	if (fd < 0)
		return bk_err(errno, "cannot create the receive buffer: memfd_create: %m");
	if (bk_set_file_size(fd, NET_STAGE_LEN) < 0) {
		ret = bk_err(errno, "cannot size the receive buffer: ftruncate: %m");
		close(fd);
		return ret;
	}
	stage->bytes = mmap(NULL, NET_STAGE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (stage->bytes == MAP_FAILED) {
		ret = bk_err(errno, "cannot map the receive buffer: %m");
		close(fd);
		return ret;
	}
	stage->fd = fd;
	stage->head = stage->tail = 0;
	return 0;
}

void net_stage_exit(struct net_stage *stage)
{
	munmap(stage->bytes, NET_STAGE_LEN);
	close(stage->fd);
}

/* The kernel stopped after so many bytes. Skip the piece that did not work; returns its index. */
static cold_path unsigned copy_failed(struct net_copies *c, unsigned i, size_t made)
{
	size_t to = c->from;

	for (; i < c->n; i++) {
		to += c->iov[2 * i].iov_len + c->iov[2 * i + 1].iov_len;
		if (to > c->from + made)
			break;
	}
	*c->error[i] = EFAULT;
	c->from = to;
	return i;
}

void net_copies_make(struct net_copies *c, const struct net_stage *stage)
{
	for (unsigned i = 0; i < c->n; i++) {
		ssize_t made = preadv(stage->fd, c->iov + 2 * i, 2 * (c->n - i), c->from);

		if (likely(made == (ssize_t)(c->to - c->from)))
			break;
		i = copy_failed(c, i, made < 0 ? 0 : made);
	}
	c->n = 0;
}

unsigned net_slice(const struct iovec *iov, int iovcnt, uint64_t at, uint64_t len,
		   struct iovec *out, unsigned max)
{
	unsigned n = 0;

	for (int i = 0; i < iovcnt && len && n < max; i++) {
		const struct iovec *v = &iov[i];
		uint64_t piece;

		if (at >= v->iov_len) {
			at -= v->iov_len;
			continue;
		}
		piece = min_u64(v->iov_len - at, len);
		out[n++] = (struct iovec){ bk_behind(v->iov_base, at), piece };
		len -= piece;
		at = 0;
	}
	return n;
}

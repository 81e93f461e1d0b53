/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * io_uring: polled requests on kernels that cannot split them. Linux before 6.6 marks a polled
 * request as one that must not wait. If the block layer has to split such a request for the disk,
 * recent of these kernels fail it with EAGAIN, upon which io_uring tries it again, for ever. So a
 * request is done in pieces that need no split; the core continues after each.
 */
#include "io_uring_dev.h"

/* Where pages are larger, this counts some more than there are. */
static uint64_t pages_of(uintptr_t addr, uint64_t len)
{
	return ((addr & (PAGE_SIZE_MIN - 1)) + len + PAGE_SIZE_MIN - 1) / PAGE_SIZE_MIN;
}

/* The most that one piece has, whatever its buffers. */
static uint64_t max_bytes(const struct iou_unsplit *u, uint64_t start)
{
	uint64_t bytes = u->bytes, at = start + u->disk_start, end;

	if (u->chunk)
		bytes = min_u64(bytes, u->chunk - at % u->chunk);
	end = (at + bytes) & ~(u->physical_block - 1);
	return end > at ? end - at : bytes;
}

/* The first of a segment that does not fit as a whole. */
static struct iou_piece first_of_segment(const struct iou_unsplit *u, const struct iovec *segment,
					 uint64_t max)
{
	uint64_t offset = (uintptr_t)segment->iov_base & (PAGE_SIZE_MIN - 1);

	max = min_u64(max, u->pages * PAGE_SIZE_MIN - offset);
	return (struct iou_piece){ segment, 1, min_u64(segment->iov_len, max) & ~(u->block - 1) };
}

struct iou_piece iou_first_piece(const struct iou_unsplit *u, const struct bk_req *r)
{
	uint64_t max = max_bytes(u, r->start), pages = 0, len = 0;
	struct iou_piece piece = { r->iov, 0, 0 };
	uintptr_t end = 0;

	for (int i = 0; i < r->iovcnt; i++) {
		const struct iovec *v = &r->iov[i];
		uintptr_t addr = (uintptr_t)v->iov_base;

		if (!v->iov_len)
			continue;
		if (len && addr != end && ((addr | end) & u->boundary_mask))
			break;
		pages += pages_of(addr, v->iov_len);
		if (v->iov_len > max - len || pages > u->pages) {
			if (!len)
				piece = first_of_segment(u, v, max);
			break;
		}
		len += v->iov_len;
		end = addr + v->iov_len;
		/* Only whole blocks can be a request of their own. */
		if (!(len & (u->block - 1)))
			piece = (struct iou_piece){ r->iov, i + 1, len };
	}
	/* What cannot be cut is for the kernel to refuse. */
	return piece.len ? piece : (struct iou_piece){ r->iov, r->iovcnt, r->len };
}

uint64_t iou_unsplit_buffer(const struct iou_unsplit *u)
{
	/* A buffer may begin and end within a page, and a request within a physical block. */
	uint64_t bytes = u->bytes - min_u64(u->bytes, u->physical_block - u->block);

	return u->chunk ? 0 : min_u64(bytes, (u->pages - 1) * PAGE_SIZE_MIN);
}

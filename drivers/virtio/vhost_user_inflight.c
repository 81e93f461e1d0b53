/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * In-flight tracking: memory that the server makes, in which it notes what it has taken from the
 * rings, and that we keep for it. A server that returns finds out there what its predecessor had
 * begun and not finished, and does that, and no more, again (vhost-user: "Inflight I/O tracking").
 */
#include <sys/stat.h>
#include <unistd.h>

#include "virtio/vhost_user.h"

#define GUEST_SIZE_MAX 1024 /* of a ring; QEMU's guests have no larger ones */

/* The head of a packed queue's part of the memory. */
struct packed_head {
	uint64_t features;
	uint16_t version, desc_num, free_head, old_free_head, used_idx, old_used_idx;
	uint8_t used_wrap_counter, old_used_wrap_counter, padding[7];
} __attribute__((packed));

static int check_region(const struct vu_inflight *i, int fd)
{
	struct stat st;

	if (fd < 0)
		return bk_err(EPROTO, "GET_INFLIGHT_FD: the vhost-user server sent no descriptor");
	if (!i->num_queues || fstat(fd, &st) < 0 || i->mmap_offset > (uint64_t)st.st_size ||
	    i->mmap_size > (uint64_t)st.st_size - i->mmap_offset)
		return bk_err(
		    EPROTO,
		    "GET_INFLIGHT_FD: the vhost-user server's memory is smaller than it reported");
	return 0;
}

unsigned vu_inflight_size(const struct vu_dev *d)
{
	return max_u64(d->v.queue_size, d->v.b.num_vrings ? GUEST_SIZE_MAX : 0);
}

int vu_get_inflight(struct virtio_blk *v)
{
	struct vu_msg m = { .request = VU_GET_INFLIGHT_FD, .size = sizeof(m.inflight) };
	struct vu_dev *d = to_vu(v);
	int fd, ret;

	if (!vu_has(d, VU_PROTOCOL_INFLIGHT))
		return 0;
	vu_free_inflight(d);
	m.inflight.num_queues = max_u64(v->b.num_queues + v->b.num_poll_queues, v->b.num_vrings);
	m.inflight.queue_size = vu_inflight_size(d);
	ret = vu_call_fd(d, &m, "GET_INFLIGHT_FD", sizeof(m.inflight), &fd);
	if (ret < 0)
		return ret;
	d->inflight = m.inflight;
	d->inflight_fd = fd;
	ret = check_region(&d->inflight, fd);
	if (!ret)
		ret = vu_set_inflight(d);
	if (ret < 0)
		vu_free_inflight(d);
	return ret;
}

int vu_set_inflight(struct vu_dev *d)
{
	struct vu_msg m = { .request = VU_SET_INFLIGHT_FD, .size = sizeof(m.inflight) };

	if (d->inflight_fd < 0)
		return 0;
	m.inflight = d->inflight;
	return vu_send(d, &m, "SET_INFLIGHT_FD", &d->inflight_fd, 1);
}

void vu_free_inflight(struct vu_dev *d)
{
	if (d->inflight_fd >= 0)
		close(d->inflight_fd);
	d->inflight_fd = -1;
}

/* Whether the descriptor waits to be used in this lap: it is neither used nor added again. */
static bool is_available(const struct virtio_vring *r, uint16_t pos, bool wrap)
{
	const struct vring_packed_desc *desc = r->desc;
	uint16_t flags;

	if (pos >= r->size)
		return false;
	flags = le16toh(VIRTQ_LOAD(desc[pos].flags));
	return !!(flags & 1 << VRING_PACKED_DESC_F_AVAIL) == wrap &&
	       !!(flags & 1 << VRING_PACKED_DESC_F_USED) != wrap;
}

static off_t notes_of(const struct vu_dev *d, const struct virtio_vring *r)
{
	const struct vu_inflight *i = &d->inflight;

	return i->mmap_offset + i->mmap_size / i->num_queues * r->index;
}

static int read_head(const struct vu_dev *d, const struct virtio_vring *r, struct packed_head *h)
{
	if (pread(d->inflight_fd, h, sizeof(*h), notes_of(d, r)) == sizeof(*h))
		return 0;
	return bk_err(EPROTO, "the vhost-user server's in-flight memory is too small");
}

static int packed_base(const struct vu_dev *d, const struct virtio_vring *r, uint32_t *base)
{
	struct packed_head h;
	uint16_t one;
	int ret = read_head(d, r, &h);

	if (ret < 0)
		return ret;
	one = le16toh(h.used_idx) | !!h.used_wrap_counter << 15;
	/* It may have died between noting what it was about to do, and doing it. */
	if (h.used_idx != h.old_used_idx &&
	    is_available(r, le16toh(h.old_used_idx), h.old_used_wrap_counter))
		one = le16toh(h.old_used_idx) | !!h.old_used_wrap_counter << 15;
	*base = one | (uint32_t)one << 16;
	return 0;
}

int vu_inflight_base(const struct vu_dev *d, const struct virtio_vring *r, uint32_t *base)
{
	const struct vring_used *used = r->device;

	if (virtio_has(&d->v, VIRTIO_F_RING_PACKED))
		return packed_base(d, r, base);
	*base = le16toh(VIRTQ_LOAD(used->idx));
	return 0;
}

int vu_note_base(const struct vu_dev *d, const struct virtio_vring *r)
{
	struct packed_head h;
	int ret;

	if (d->inflight_fd < 0 || !virtio_has(&d->v, VIRTIO_F_RING_PACKED))
		return 0;
	ret = read_head(d, r, &h);
	if (ret < 0)
		return ret;
	h.used_idx = h.old_used_idx = htole16(r->base >> 16 & 0x7fff);
	h.used_wrap_counter = h.old_used_wrap_counter = r->base >> 31;
	if (pwrite(d->inflight_fd, &h, sizeof(h), notes_of(d, r)) == sizeof(h))
		return 0;
	return bk_err(EPROTO, "the vhost-user server's in-flight memory cannot be written: %m");
}

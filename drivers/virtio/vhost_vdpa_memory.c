/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Memory that a vhost-vdpa device can reach, by addresses of its own. */
#include <stdlib.h>
#include <unistd.h>

#include "virtio/vhost_vdpa.h"

/* ---- Telling the kernel ------------------------------------------------------------------- */

static int send_iotlb(const struct vdpa_dev *d, uint8_t type, uint64_t iova, uint64_t len,
		      uintptr_t addr)
{
	struct vhost_msg_v2 m = {
		.type = VHOST_IOTLB_MSG_V2,
		.iotlb = {
			.iova = iova,
			.size = len,
			.uaddr = addr,
			.perm = VHOST_ACCESS_RW,
			.type = type,
		},
	};
	ssize_t n = write(d->device, &m, sizeof(m));

	if (n == sizeof(m))
		return 0;
	return n < 0 ? -errno : -EIO;
}

/*
 * The kernel maps memory piece by piece, as it lies in physical memory, and limits the number of
 * pieces (max_iotlb_entries); but whatever goes wrong, it reports EFAULT. In a batch, the device
 * gets to know of all pieces at once.
 */
static int update_iotlb(const struct vdpa_dev *d, uint8_t type, uint64_t iova, uint64_t len,
			uintptr_t addr)
{
	bool batch = d->backend_features & BACKEND_BIT(VHOST_BACKEND_F_IOTLB_BATCH);
	int ret = batch ? send_iotlb(d, VHOST_IOTLB_BATCH_BEGIN, 0, 0, 0) : 0, end;

	if (!ret)
		ret = send_iotlb(d, type, iova, len, addr);
	if (!batch)
		return ret;
	end = send_iotlb(d, VHOST_IOTLB_BATCH_END, 0, 0, 0);
	return ret < 0 ? ret : end;
}

static int show(const struct vdpa_dev *d, struct vdpa_memory *m)
{
	int ret = update_iotlb(d, VHOST_IOTLB_UPDATE, m->iova, m->len, m->addr);

	m->shown = !ret;
	if (!ret)
		return 0;
	update_iotlb(d, VHOST_IOTLB_INVALIDATE, m->iova, m->len, 0);
	return bk_err(
	    -ret,
	    "cannot map %llu bytes at %p for the vhost-vdpa device: %s; either RLIMIT_MEMLOCK "
	    "(\"ulimit -l\") is too low, or physical memory is so fragmented that the mappings "
	    "exceed max_iotlb_entries, a parameter of the module vhost_vdpa: raise it, or use "
	    "huge pages",
	    (unsigned long long)m->len, (void *)m->addr, strerror(-ret));
}

static int hide(const struct vdpa_dev *d, struct vdpa_memory *m)
{
	int ret = m->shown ? update_iotlb(d, VHOST_IOTLB_INVALIDATE, m->iova, m->len, 0) : 0;

	m->shown &= ret < 0;
	return ret < 0
		   ? bk_err(-ret, "cannot unmap %llu bytes at %p from the vhost-vdpa device: %s",
			    (unsigned long long)m->len, (void *)m->addr, strerror(-ret))
		   : 0;
}

/* ---- What is mapped ----------------------------------------------------------------------- */

/* A guest's addresses begin at 0: with vrings, ours come from the upper half. */
int vdpa_prepare(struct virtio_blk *v)
{
	struct vdpa_dev *d = to_vdpa(v);
	struct iova_range r = d->range;
	struct iova_space upper;

	if (!v->b.num_vrings || d->nr_memory)
		return 0;
	r.first += (r.last - r.first) / 2;
	if (iova_init(&upper, &r, 1, page_size()) < 0)
		return bk_err(ENOMEM, "out of memory");
	iova_exit(&d->iova);
	d->iova = upper;
	return 0;
}

static struct vdpa_memory *add(struct vdpa_dev *d, const struct bk_region *r)
{
	struct vdpa_memory *bigger = reallocarray(d->memory, d->nr_memory + 1, sizeof(*bigger));

	if (!bigger)
		return NULL;
	d->memory = bigger;
	bigger[d->nr_memory] = (struct vdpa_memory){ r->addr, r->len, r->iova, r->guest, false };
	return &bigger[d->nr_memory++];
}

int vdpa_map(struct virtio_blk *v, struct bk_region *r, int fd, int64_t fd_offset)
{
	struct vdpa_dev *d = to_vdpa(v);
	struct vdpa_memory *m;
	int ret = 0;

	(void)fd, (void)fd_offset; /* the kernel finds them by the address */
	if (!r->guest)
		ret = iova_alloc(&d->iova, r->addr, r->len, &r->iova);
	if (ret < 0)
		return bk_err(-ret, "the device has no free address range of %llu bytes",
			      (unsigned long long)r->len);
	m = add(d, r);
	if (!m)
		ret = bk_err(ENOMEM, "out of memory");
	else if (r->guest || !d->held)
		ret = show(d, m);
	if (!ret)
		return 0;
	d->nr_memory -= m != NULL;
	if (!r->guest)
		iova_free(&d->iova, r->iova);
	return ret;
}

void vdpa_unmap(struct virtio_blk *v, const struct bk_region *r)
{
	struct vdpa_dev *d = to_vdpa(v);

	for (unsigned i = 0; i < d->nr_memory; i++) {
		struct vdpa_memory *m = &d->memory[i];

		if (m->addr != r->addr)
			continue;
		/* Addresses that could not be unmapped are not used again. */
		if (!hide(d, m) && !m->guest)
			iova_free(&d->iova, m->iova);
		*m = d->memory[--d->nr_memory];
		break;
	}
	if (!d->nr_memory)
		vdpa_forget_memory(d);
}

/* Linux before 6.7 loses what the device had with the reset, but not that it was mapped. */
int vdpa_show_memory(struct vdpa_dev *d)
{
	bool lost = !vdpa_has(d, VDPA_IOTLB_PERSIST);
	int ret = 0;

	for (unsigned i = 0; i < d->nr_memory && !ret; i++) {
		if (lost || (d->held && !d->memory[i].guest))
			ret = hide(d, &d->memory[i]);
	}
	for (unsigned i = 0; i < d->nr_memory && !ret; i++) {
		if (!d->memory[i].shown && (!d->held || d->memory[i].guest))
			ret = show(d, &d->memory[i]);
	}
	return ret;
}

void vdpa_forget_memory(struct vdpa_dev *d)
{
	free(d->memory);
	d->memory = NULL;
	d->nr_memory = 0;
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Queue passthrough: a guest's rings in place of our own. The device is shown one kind at a time,
 * and with it only the memory that goes with it, because every address on a ring is the guest's
 * choice. So the guest's rings may have the numbers of our own, of which some devices have but one.
 *
 * Nothing that the guest can write is trusted: addresses are looked up among the guest's memory,
 * and from its rings only indexes are read, to learn how far the device is (vhost_user_vring.c).
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "virtio/virtio_blk.h"

static const char held_msg[] =
    "a vring runs: the instance's own queues can be used again after blkio_stop_vring()";

static inline struct virtio_blk *to_virtio(const struct blkio *b)
{
	return container_of(b, struct virtio_blk, b);
}

/* ---- What the device offers --------------------------------------------------------------- */

static int get_features(struct blkio *b, uint64_t *offered)
{
	const struct virtio_blk *v = to_virtio(b);
	int ret = v->transport->check_guests ? v->transport->check_guests(v) : 0;

	if (!ret)
		*offered = virtio_features_for_guests(v);
	return ret;
}

static int get_config(struct blkio *b, void *buf, size_t len)
{
	struct virtio_blk_config c = { 0 };
	int ret = virtio_read_config(to_virtio(b), &c);

	if (ret < 0)
		return ret;
	memset(buf, 0, len);
	memcpy(buf, &c, min_u64(len, sizeof(c)));
	return 0;
}

/* ---- A ring in the guest's memory --------------------------------------------------------- */

struct part {
	const char *name;
	uint64_t iova, len, align;
};

static int find_part(const struct virtio_blk *v, const struct part *p, void **addr)
{
	const struct bk_region *r = bk_region_of_guest(&v->b, p->iova, p->len);

	if (!r || p->iova % p->align)
		return bk_err(EINVAL,
			      "the vring's %s at guest address %#llx must be %llu bytes within one "
			      "region with BLKIO_MEM_GUEST, at a multiple of %llu",
			      p->name, (unsigned long long)p->iova, (unsigned long long)p->len,
			      (unsigned long long)p->align);
	*addr = (void *)(r->addr + (p->iova - r->iova));
	return 0;
}

/* Servers take it as it is. */
static int check_base(const struct blkio_vring *s, bool packed)
{
	const uint32_t index = 0x7fff;

	if (packed ? (s->base & index) < s->size && (s->base >> 16 & index) < s->size
		   : s->base <= UINT16_MAX)
		return 0;
	return bk_err(EINVAL, "the base of a %s vring of %u entries cannot be %#x",
		      packed ? "packed" : "split", s->size, s->base);
}

static int find_ring(const struct virtio_blk *v, const struct blkio_vring *s,
		     struct virtio_vring *ring)
{
	bool packed = virtio_has(v, VIRTIO_F_RING_PACKED);
	uint64_t n = s->size;
	const struct part desc = { "desc", s->desc, n * sizeof(struct vring_desc), 16 };
	const struct part driver = { "driver", s->driver,
				     packed
					 ? sizeof(struct vring_packed_desc_event)
					 : sizeof(struct vring_avail) + (n + 1) * sizeof(uint16_t),
				     packed ? 4 : 2 };
	const struct part device = { "device", s->device,
				     packed ? sizeof(struct vring_packed_desc_event)
					    : sizeof(struct vring_used) +
						  n * sizeof(struct vring_used_elem) +
						  sizeof(uint16_t),
				     4 };
	int ret;

	if (s->size < 2 || s->size > (unsigned)v->max_queue_size)
		return bk_err(EINVAL,
			      "the size of a vring must be from 2 to %d (max-queue-size), got %u",
			      v->max_queue_size, s->size);
	ret = find_part(v, &desc, &ring->desc);
	if (!ret)
		ret = find_part(v, &driver, &ring->driver);
	if (!ret)
		ret = find_part(v, &device, &ring->device);
	if (!ret)
		ret = check_base(s, packed);
	ring->desc_iova = s->desc;
	ring->driver_iova = s->driver;
	ring->device_iova = s->device;
	ring->size = s->size;
	ring->base = s->base;
	return ret;
}

/* ---- Descriptors -------------------------------------------------------------------------- */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_fds(struct virtio_guest *g)
{
	close_fd(&g->ring.call_fd);
	close_fd(&g->kick_fd);
	close_fd(&g->err_fd);
}

/* Without /proc, nobody can tell. */
static bool is_eventfd(int fd)
{
	char path[32], type[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, type, sizeof(type) - 1);
	if (n < 0)
		return true;
	type[n] = '\0';
	return !strcmp(type, "anon_inode:[eventfd]");
}

/* Before the device is stopped for it: one that refuses a descriptor then cannot go on. */
static int copy_fd(int fd, const char *name, int *copy)
{
	*copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (*copy < 0)
		return bk_err(errno, "the vring's %s (%d) cannot be used: %m", name, fd);
	return is_eventfd(*copy)
		   ? 0
		   : bk_err(EINVAL, "the vring's %s (%d) is not an eventfd", name, fd);
}

static int copy_fds(const struct blkio_vring *s, struct virtio_guest *g)
{
	int ret = copy_fd(s->kick_fd, "kick_fd", &g->kick_fd);

	if (!ret)
		ret = copy_fd(s->call_fd, "call_fd", &g->ring.call_fd);
	if (!ret && s->err_fd != -1)
		ret = copy_fd(s->err_fd, "err_fd", &g->err_fd);
	if (ret < 0)
		close_fds(g);
	return ret;
}

/* ---- Start and stop ----------------------------------------------------------------------- */

/* The thread that gives up on the device looks at those that run. */
static void set_runs(struct virtio_blk *v, struct virtio_guest *g, bool runs)
{
	pthread_mutex_lock(&v->wake_lock);
	__atomic_store_n(&g->runs, runs, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&v->wake_lock);
}

static int hold(struct virtio_blk *v, const struct virtio_vring *home)
{
	int ret;

	bk_hold(&v->b, held_msg);
	ret = v->transport->hold(v, home);
	if (ret < 0)
		bk_unhold(&v->b);
	else
		virtio_set_held(v, true);
	return ret;
}

static int unhold(struct virtio_blk *v)
{
	int ret;

	virtio_set_held(v, false);
	ret = v->transport->unhold(v);
	if (!ret)
		bk_unhold(&v->b);
	return ret;
}

static int start_guest(struct virtio_blk *v, struct virtio_guest *g)
{
	struct bk_err_msg why;
	int ret = v->nr_guests ? 0 : hold(v, &g->ring);

	if (ret < 0)
		return ret;
	set_runs(v, g, true);
	ret = v->transport->guest_start(v, g);
	if (!ret) {
		v->nr_guests++;
		return 0;
	}
	set_runs(v, g, false);
	if (!v->nr_guests) {
		why = bk_err_save();
		unhold(v);
		bk_err_restore(&why);
	}
	return ret;
}

static int start(struct blkio *b, int index, const struct blkio_vring *s)
{
	struct virtio_blk *v = to_virtio(b);
	struct virtio_guest *g = &v->guests[index];
	struct virtio_guest new = { .kick_fd = -1, .err_fd = -1, .ring.call_fd = -1 };
	int ret = virtio_check_alive(v);

	if (ret < 0)
		return ret;
	if (g->runs)
		return bk_err(EBUSY, "vring %d runs already", index);
	new.ring.index = index;
	new.ring.stopped = true;
	new.seen_at = s->base;
	ret = find_ring(v, s, &new.ring);
	if (!ret)
		ret = copy_fds(s, &new);
	if (ret < 0)
		return ret;
	*g = new;
	ret = start_guest(v, g);
	if (ret < 0) {
		close_fds(g);
		return ret;
	}
	/* It may have failed just before the guest's err_fd was known. */
	if (virtio_failure(v) && g->err_fd >= 0)
		eventfd_write(g->err_fd, 1);
	return 0;
}

static void describe(const struct virtio_guest *g, struct blkio_vring *s)
{
	*s = (struct blkio_vring){
		.size = g->ring.size,
		.desc = g->ring.desc_iova,
		.driver = g->ring.driver_iova,
		.device = g->ring.device_iova,
		.base = g->ring.base,
		.kick_fd = -1,
		.call_fd = -1,
		.err_fd = -1,
	};
}

static void end_guest(struct virtio_blk *v, struct virtio_guest *g)
{
	set_runs(v, g, false);
	v->nr_guests--;
	close_fds(g);
}

static int stop_guest(struct virtio_blk *v, struct virtio_guest *g)
{
	int ret = virtio_check_alive(v);

	if (!ret)
		ret = v->transport->guest_stop(v, g);
	if (ret < 0)
		return ret;
	end_guest(v, g);
	return 0;
}

static int stop(struct blkio *b, int index, struct blkio_vring *state)
{
	struct virtio_blk *v = to_virtio(b);
	struct virtio_guest *g = &v->guests[index];
	int ret;

	if (!g->runs)
		return bk_err(ENOENT, "vring %d does not run", index);
	ret = stop_guest(v, g);
	if (ret < 0)
		return ret;
	describe(g, state);
	return v->nr_guests ? 0 : unhold(v);
}

static bool contains(const struct bk_region *r, uint64_t iova)
{
	return iova - r->iova < r->len;
}

static bool uses(const struct blkio *b, const struct bk_region *r)
{
	const struct virtio_blk *v = to_virtio(b);

	/* A device that failed has let go of them, and nobody looks at them again. */
	for (int i = 0; i < b->num_vrings && !virtio_failure(v); i++) {
		const struct virtio_guest *g = &v->guests[i];

		if (g->runs &&
		    (contains(r, g->ring.desc_iova) || contains(r, g->ring.driver_iova) ||
		     contains(r, g->ring.device_iova)))
			return true;
	}
	return false;
}

static int stop_all(struct blkio *b)
{
	struct virtio_blk *v = to_virtio(b);
	int ret = 0;

	for (int i = 0; i < b->num_vrings; i++) {
		struct virtio_guest *g = &v->guests[i];

		if (!g->runs)
			continue;
		if (!ret)
			ret = stop_guest(v, g);
		if (ret < 0 && g->runs) {
			virtio_fail(v, "the device did not stop a guest's vring in time");
			end_guest(v, g);
		}
	}
	return ret;
}

const struct bk_vring_ops virtio_vring_ops = {
	.features = get_features,
	.config = get_config,
	.start = start,
	.stop = stop,
	.uses = uses,
	.stop_all = stop_all,
};

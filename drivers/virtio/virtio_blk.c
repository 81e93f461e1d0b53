/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * virtio-blk: from features and config space, of which nothing is believed unchecked, to limits;
 * the memory of the queues; the end of a device. What a request becomes: virtio_blk_queue.c.
 */
#include "virtio/virtio_blk.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECTOR		   512U
#define QUEUE_SIZE_DEFAULT 256
#define BLOCK_SIZE_MAX	   (1U << 20)
#define ALIGNMENT_MAX	   (1U << 30)
#define QUEUE_ALIGN	   4096

#define FEATURE(bit) (1ULL << (bit))

#define FEATURES_WANTED                                                                            \
	(FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_F_RING_PACKED) |                             \
	 FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | FEATURE(VIRTIO_RING_F_EVENT_IDX) |                 \
	 FEATURE(VIRTIO_BLK_F_SIZE_MAX) | FEATURE(VIRTIO_BLK_F_SEG_MAX) |                          \
	 FEATURE(VIRTIO_BLK_F_RO) | FEATURE(VIRTIO_BLK_F_BLK_SIZE) | FEATURE(VIRTIO_BLK_F_FLUSH) | \
	 FEATURE(VIRTIO_BLK_F_TOPOLOGY) | FEATURE(VIRTIO_BLK_F_CONFIG_WCE) |                       \
	 FEATURE(VIRTIO_BLK_F_MQ) | FEATURE(VIRTIO_BLK_F_DISCARD) |                                \
	 FEATURE(VIRTIO_BLK_F_WRITE_ZEROES))

/* Up to and with write_zeroes_may_unmap: the rest has features that we do not take. */
#define CONFIG_LEN offsetof(struct virtio_blk_config, max_secure_erase_sectors)

static inline struct virtio_blk *to_virtio(const struct blkio *b)
{
	return container_of(b, struct virtio_blk, b);
}

void virtio_blk_init(struct virtio_blk *v, const struct virtio_transport *t)
{
	struct bk_limits *l = &v->b.lim;

	v->transport = t;
	v->queue_size = QUEUE_SIZE_DEFAULT;
	v->max_queue_size = VIRTQ_SIZE_MAX;
	v->seg_max = 1;
	v->config_fd = -1;
	v->watch_fd = -1;
	pthread_mutex_init(&v->wake_lock, NULL);
	pthread_cond_init(&v->watcher_did, NULL);
	/* What existing programs read before connect. */
	l->request_alignment = SECTOR;
	l->optimal_io_alignment = SECTOR;
	l->discard_alignment = SECTOR;
	l->buf_alignment = 1;
	l->optimal_buf_alignment = 1;
	l->mem_region_alignment = 1;
	l->needs_mem_regions = true;
	l->needs_mem_region_fd = true;
	l->may_pin_mem_regions = true;
	l->supports_poll_queues = true;
	l->flush_needed = true;
}

/* ---- Failure ------------------------------------------------------------------------------ */

int virtio_check_alive(const struct virtio_blk *v)
{
	const char *failure = virtio_failure(v);

	return failure ? bk_err(v->failure_errno, "the device is beyond use: %s", failure) : 0;
}

/* With wake_lock held. */
static void change(struct virtio_blk *v)
{
	/* Release: whoever sees it sees what has changed. */
	__atomic_store_n(&v->changes, v->changes + 1, __ATOMIC_RELEASE);
}

static void wake(struct virtio_blk *v)
{
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		if (v->queues[i])
			eventfd_write(v->queues[i]->vring.call_fd, 1);
	}
}

void virtio_fail_as(struct virtio_blk *v, int errnum, const char *msg)
{
	pthread_mutex_lock(&v->wake_lock);
	if (!v->failure) {
		v->transport->abandon(v);
		v->failure_errno = errnum;
		/* Release: whoever sees it sees the device abandoned. */
		__atomic_store_n(&v->failure, msg, __ATOMIC_RELEASE);
		change(v);
		wake(v);
		pthread_cond_broadcast(&v->watcher_did);
	}
	pthread_mutex_unlock(&v->wake_lock);
}

void virtio_fail(struct virtio_blk *v, const char *msg)
{
	virtio_fail_as(v, EIO, msg);
}

void virtio_lose_rings(struct virtio_blk *v)
{
	pthread_mutex_lock(&v->wake_lock);
	change(v);
	wake(v);
	pthread_mutex_unlock(&v->wake_lock);
}

void virtio_wake(struct virtio_blk *v)
{
	pthread_mutex_lock(&v->wake_lock);
	wake(v);
	pthread_mutex_unlock(&v->wake_lock);
}

/* ---- Config space ------------------------------------------------------------------------- */

/* le32toh() of a field that only a feature makes valid. */
static uint32_t field(const struct virtio_blk *v, unsigned feature, uint32_t value,
		      uint32_t without)
{
	return virtio_has(v, feature) ? le32toh(value) : without;
}

static int clamp_int(uint64_t value)
{
	return min_u64(value, INT_MAX);
}

/* A number of sectors as bytes; a device that says 0 sets no limit but that of the request. */
static uint64_t sectors_limit(uint32_t sectors)
{
	return (uint64_t)(sectors ? sectors : UINT32_MAX) * SECTOR;
}

static int check_block_size(uint32_t size)
{
	if (!is_power_of_2(size) || size < SECTOR || size > BLOCK_SIZE_MAX)
		return bk_err(EPROTO,
			      "the device has blocks of %u bytes; a power of two from %u to %u is "
			      "needed",
			      size, SECTOR, BLOCK_SIZE_MAX);
	return 0;
}

static int set_sizes(struct virtio_blk *v, const struct virtio_blk_config *c)
{
	struct bk_limits *l = &v->b.lim;
	uint32_t blk = field(v, VIRTIO_BLK_F_BLK_SIZE, c->blk_size, SECTOR);
	uint32_t size_max = field(v, VIRTIO_BLK_F_SIZE_MAX, c->size_max, 0);
	uint32_t seg_max = field(v, VIRTIO_BLK_F_SEG_MAX, c->seg_max, 1);
	int ret = check_block_size(blk);

	if (ret < 0)
		return ret;
	/* qemu-storage-daemon offers the feature and says 0: no limit. */
	if (size_max && size_max < blk)
		return bk_err(EPROTO,
			      "the device takes segments of %u bytes, less than its blocks of %u",
			      size_max, blk);
	v->seg_max = max_u64(min_u64(seg_max, VIRTIO_SEGMENTS_MAX), 1);
	l->request_alignment = blk;
	l->optimal_io_alignment = blk;
	l->optimal_io_size = 0;
	if (virtio_has(v, VIRTIO_BLK_F_TOPOLOGY)) {
		uint64_t physical = (uint64_t)blk << (c->physical_block_exp & 31);

		l->optimal_io_alignment = min_u64(physical, ALIGNMENT_MAX);
		l->optimal_io_size = clamp_int((uint64_t)le32toh(c->opt_io_size) * blk);
	}
	l->max_segment_len = clamp_int(size_max);
	l->max_transfer = clamp_int((uint64_t)size_max * v->seg_max) & ~(blk - 1);
	return 0;
}

static void set_ops(struct virtio_blk *v, const struct virtio_blk_config *c)
{
	struct bk_limits *l = &v->b.lim;
	bool write_back = virtio_has(v, VIRTIO_BLK_F_CONFIG_WCE)
			      ? c->wce != 0
			      : virtio_has(v, VIRTIO_BLK_F_FLUSH);

	l->ops = BK_OPS_RW | BK_OP_BIT(BK_FLUSH);
	l->read_only = virtio_has(v, VIRTIO_BLK_F_RO);
	l->flush_needed = write_back && virtio_has(v, VIRTIO_BLK_F_FLUSH);
	if (virtio_has(v, VIRTIO_BLK_F_DISCARD)) {
		uint64_t align = (uint64_t)le32toh(c->discard_sector_alignment) * SECTOR;

		l->ops |= BK_OP_BIT(BK_DISCARD);
		l->max_discard_len = sectors_limit(le32toh(c->max_discard_sectors));
		l->discard_alignment = clamp_int(align ? align : (uint64_t)l->request_alignment);
	}
	if (virtio_has(v, VIRTIO_BLK_F_WRITE_ZEROES)) {
		l->ops |= BK_OP_BIT(BK_WRITE_ZEROES);
		l->max_write_zeroes_len = sectors_limit(le32toh(c->max_write_zeroes_sectors));
	}
}

static int set_limits(struct virtio_blk *v, unsigned max_queues)
{
	struct virtio_blk_config c = { 0 };
	struct bk_limits *l = &v->b.lim;
	uint64_t bytes;
	int ret = v->transport->read_config(v, &c, CONFIG_LEN);

	if (!ret)
		ret = set_sizes(v, &c);
	if (ret < 0)
		return ret;
	if (__builtin_mul_overflow(le64toh(c.capacity), (uint64_t)SECTOR, &bytes) ||
	    bytes > INT64_MAX)
		return bk_err(EPROTO, "the device has an impossible capacity: %llu sectors",
			      (unsigned long long)le64toh(c.capacity));
	set_ops(v, &c);
	l->max_queues = 1;
	if (virtio_has(v, VIRTIO_BLK_F_MQ))
		l->max_queues = min_u64(max_u64(le16toh(c.num_queues), 1), max_queues);
	l->max_queues = min_u64(l->max_queues, VIRTIO_QUEUES_MAX);
	l->max_segments = v->seg_max;
	/* QEMU hands on requests of its guest that have more segments. */
	l->takes_long_requests = true;
	/* The capacity may change at any time: the device checks. */
	l->end = INT64_MAX & ~(uint64_t)(BLOCK_SIZE_MAX - 1);
	return 0;
}

int virtio_blk_capacity(struct blkio *b, uint64_t *bytes)
{
	struct virtio_blk *v = to_virtio(b);
	struct virtio_blk_config c = { 0 };
	int ret = v->transport->read_config(v, &c, CONFIG_LEN);

	if (ret < 0)
		return ret;
	if (__builtin_mul_overflow(le64toh(c.capacity), (uint64_t)SECTOR, bytes) ||
	    *bytes > INT64_MAX)
		return bk_err(EPROTO, "the device has an impossible capacity: %llu sectors",
			      (unsigned long long)le64toh(c.capacity));
	return 0;
}

/* ---- Connect ------------------------------------------------------------------------------ */

static int negotiate(struct virtio_blk *v, uint64_t offered)
{
	if (!(offered & FEATURE(VIRTIO_F_VERSION_1)))
		return bk_err(ENOTSUP, "the device is a legacy one: it has no VIRTIO_F_VERSION_1");
	v->features = offered & (FEATURES_WANTED | v->transport->features);
	return virtio_set_features(v);
}

int virtio_open(const char *path, int fd, int (*open_path)(const char *path),
		int (*open_fd)(int fd))
{
	if (!!path == (fd >= 0))
		return bk_err(EINVAL, path ? "both properties \"path\" and \"fd\" are set"
					   : "property \"path\" or \"fd\" must be set");
	return path ? open_path(path) : open_fd(fd);
}

int virtio_blk_connect(struct blkio *b)
{
	struct virtio_blk *v = to_virtio(b);
	struct bk_limits before = b->lim;
	unsigned max_queues = 1;
	uint64_t offered;
	int ret = v->transport->open(v, &offered, &max_queues);

	if (ret < 0)
		return ret;
	ret = negotiate(v, offered);
	if (!ret)
		ret = set_limits(v, max_queues);
	if (ret < 0) {
		v->transport->close(v);
		v->failure = NULL;
		v->max_queue_size = VIRTQ_SIZE_MAX;
		b->lim = before;
		return ret;
	}
	v->queue_size = min_u64(v->queue_size, v->max_queue_size);
	return 0;
}

/* ---- Start -------------------------------------------------------------------------------- */

static void free_queue_memory(struct virtio_blk *v)
{
	while (v->mem) {
		struct virtio_mem *m = v->mem;

		v->mem = m->next;
		v->b.drv->unmap(&v->b, &m->region);
		munmap((void *)m->region.addr, m->region.len);
		close(m->fd);
		free(m);
	}
}

static int map_queue_memory(struct virtio_blk *v, struct virtio_mem *m, size_t len)
{
	void *addr = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	int ret;

	if (addr == MAP_FAILED)
		return bk_memory_err(&v->b, len);
	m->region =
	    (struct bk_region){ .addr = (uintptr_t)addr, .len = len, .iova = (uintptr_t)addr };
	ret = v->b.drv->map(&v->b, &m->region, m->fd, 0);
	if (ret < 0)
		munmap(addr, len);
	return ret;
}

/*
 * One region for all queues: devices have few. The memory of a start that failed is used again; if
 * it is too small it stays where it is, for the device may still know addresses in it.
 */
static int alloc_queue_memory(struct virtio_blk *v)
{
	size_t queues = v->b.num_queues + v->b.num_poll_queues;
	size_t len = round_up(virtio_queue_memory(v) * queues, v->b.lim.mem_region_alignment);
	struct virtio_mem *m;
	int ret;

	if (v->mem && v->mem->region.len >= len)
		return 0;
	m = calloc(1, sizeof(*m));
	if (!m)
		return bk_err(ENOMEM, "out of memory");
	ret = bk_memory_fd(&v->b, &len);
	if (ret < 0)
		goto free_mem;
	m->fd = ret;
	ret = map_queue_memory(v, m, len);
	if (ret < 0)
		goto close_fd;
	m->next = v->mem;
	v->mem = m;
	return 0;

close_fd:
	close(m->fd);
free_mem:
	free(m);
	return ret;
}

int virtio_check_queue_size(struct blkio *b, const struct bk_prop *p, const union bk_val *val)
{
	const struct virtio_blk *v = to_virtio(b);

	if (val->i < 2 || !is_power_of_2(val->i) || val->i > v->max_queue_size)
		return bk_err(EINVAL,
			      "property \"%s\" must be a power of two from 2 to %d "
			      "(max-queue-size), got %d",
			      p->name, v->max_queue_size, val->i);
	return 0;
}

/* No chain may be longer than the ring; one segment with INDIRECT_DESC is always taken. */
static int max_segments(const struct virtio_blk *v)
{
	return max_u64(min_u64(v->seg_max, max_u64(v->queue_size, 3) - 2), 1);
}

int virtio_get_max_segments(struct blkio *b, union bk_val *val)
{
	val->i = max_segments(to_virtio(b));
	return 0;
}

int virtio_blk_start(struct blkio *b)
{
	struct virtio_blk *v = to_virtio(b);
	int ret = virtio_check_alive(v);

	if (ret < 0)
		return ret;
	if (virtio_has(v, VIRTIO_BLK_F_RO) && !b->read_only)
		return bk_err(EROFS, "the device is read-only: set property \"read-only\"");
	if (!virtio_has(v, VIRTIO_RING_F_INDIRECT_DESC) && v->queue_size < 4)
		return bk_err(EINVAL,
			      "property \"queue-size\" must be at least 4 for this device, which "
			      "has no VIRTIO_F_INDIRECT_DESC, got %d",
			      v->queue_size);
	b->lim.max_segments = max_segments(v);
	ret = virtio_status_start(v);
	return ret < 0 ? ret : alloc_queue_memory(v);
}

int virtio_blk_run(struct blkio *b)
{
	struct virtio_blk *v = to_virtio(b);
	int ret = v->transport->run(v);

	if (!ret)
		ret = virtio_status_run(v);
	return ret < 0 ? ret : virtio_watch_start(v);
}

void virtio_blk_close(struct blkio *b)
{
	struct virtio_blk *v = to_virtio(b);

	virtio_watch_stop(v);
	if (b->state != BK_CREATED)
		virtio_status_stop(v);
	free_queue_memory(v);
	if (b->state != BK_CREATED)
		v->transport->close(v);
	if (v->config_fd >= 0)
		close(v->config_fd);
	pthread_cond_destroy(&v->watcher_did);
	pthread_mutex_destroy(&v->wake_lock);
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * virtio-blk: from features and config space, of which nothing is believed unchecked, to limits;
 * the life of a device. What a request becomes: virtio_blk_request.c.
 */
#include "virtio/virtio_blk.h"

#include <limits.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SECTOR		   512U
#define QUEUE_SIZE_DEFAULT 256
#define BLOCK_SIZE_MAX	   (1U << 20)
#define ALIGNMENT_MAX	   (1U << 30)

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
			      "the device has blocks of %u bytes; the block size must be a power "
			      "of two from %u to %u",
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
			      "the device limits segments to %u bytes, which is less than its "
			      "block size of %u",
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

static int capacity_of(const struct virtio_blk_config *c, uint64_t *bytes)
{
	uint64_t sectors = le64toh(c->capacity);

	if (__builtin_mul_overflow(sectors, (uint64_t)SECTOR, bytes) || *bytes > INT64_MAX)
		return bk_err(EPROTO, "the device reports an impossible capacity: %llu sectors",
			      (unsigned long long)sectors);
	return 0;
}

static int set_limits(struct virtio_blk *v, unsigned max_queues)
{
	const struct virtio_blk_config *c = &v->config;
	struct bk_limits *l = &v->b.lim;
	uint64_t bytes;
	int ret = v->transport->read_config(v, &v->config, CONFIG_LEN);

	if (!ret)
		ret = set_sizes(v, c);
	if (!ret)
		ret = capacity_of(c, &bytes);
	if (ret < 0)
		return ret;
	set_ops(v, c);
	l->max_queues = 1;
	if (virtio_has(v, VIRTIO_BLK_F_MQ))
		l->max_queues = min_u64(max_u64(le16toh(c->num_queues), 1), max_queues);
	l->max_queues = min_u64(l->max_queues, VIRTIO_QUEUES_MAX);
	l->max_segments = v->seg_max;
	/* QEMU hands on requests of its guest that have more segments. */
	l->takes_long_requests = true;
	/* The capacity may change at any time: the device checks. */
	l->end = INT64_MAX & ~(uint64_t)(BLOCK_SIZE_MAX - 1);
	return 0;
}

static void blank(struct virtio_blk_config *c)
{
	c->capacity = 0;
	c->num_queues = 0; /* checked where there are new ones */
	memset(&c->geometry, 0, sizeof(c->geometry));
}

bool virtio_same_limits(const struct virtio_blk_config *a, const struct virtio_blk_config *b)
{
	struct virtio_blk_config x = *a, y = *b;

	blank(&x);
	blank(&y);
	return !memcmp(&x, &y, CONFIG_LEN);
}

int virtio_read_config(struct virtio_blk *v, struct virtio_blk_config *c)
{
	static const char changed[] = "the configuration of the device, such as its block size, "
				      "has changed since blkio_connect(): create a new instance";
	int ret = v->transport->read_config(v, c, CONFIG_LEN);

	if (ret < 0 || virtio_same_limits(&v->config, c))
		return ret;
	virtio_fail_as(v, ENODEV, changed);
	return bk_err(ENODEV, "%s", changed);
}

int virtio_blk_capacity(struct blkio *b, uint64_t *bytes)
{
	struct virtio_blk *v = to_virtio(b);
	struct virtio_blk_config c = { 0 };
	int ret = virtio_read_config(v, &c);

	return ret < 0 ? ret : capacity_of(&c, bytes);
}

/* ---- Signals of the configuration --------------------------------------------------------- */

int virtio_config_fd(struct virtio_blk *v)
{
	if (v->config_fd < 0)
		v->config_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (v->config_fd < 0)
		return bk_err(errno, "cannot watch the device: eventfd: %m");
	v->watched[VIRTIO_WATCH_CONFIG] = (struct pollfd){ .fd = v->config_fd, .events = POLLIN };
	return v->config_fd;
}

const char *virtio_config_event(struct virtio_blk *v)
{
	struct virtio_blk_config c = { 0 };
	eventfd_t count;
	uint8_t status;

	eventfd_read(v->config_fd, &count);
	virtio_read_config(v, &c); /* gives the device up if limits have changed */
	if (v->transport->get_status(v, &status) < 0)
		return "the device does not report its status";
	if (status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return "the device reported an error that only a reset can clear";
	return NULL;
}

/* ---- Connect ------------------------------------------------------------------------------ */

static int negotiate(struct virtio_blk *v, uint64_t offered)
{
	if (!(offered & FEATURE(VIRTIO_F_VERSION_1)))
		return bk_err(
		    ENOTSUP, "the device is a legacy device: it does not offer VIRTIO_F_VERSION_1");
	v->offered = offered;
	v->features = offered & (FEATURES_WANTED | v->transport->features);
	bk_debug("instance %p: virtio features: offered %#llx, accepted %#llx", (void *)&v->b,
		 (unsigned long long)offered, (unsigned long long)v->features);
	return virtio_set_features(v);
}

/* ---- Features for a guest ----------------------------------------------------------------- */

/* Those that have no effect on the rings, and those of which our own rings know. */
#define FEATURES_FOR_GUESTS                                                                        \
	((FEATURE(24) - 1) | FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_F_RING_PACKED) |         \
	 FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | FEATURE(VIRTIO_RING_F_EVENT_IDX))

/* There is no call to change the configuration. */
uint64_t virtio_features_for_guests(const struct virtio_blk *v)
{
	uint64_t never = FEATURE(VIRTIO_BLK_F_CONFIG_WCE);

	if (v->transport->split_guests)
		never |= FEATURE(VIRTIO_F_RING_PACKED);
	return v->offered & FEATURES_FOR_GUESTS & ~never;
}

int virtio_get_guest_features(struct blkio *b, union bk_val *val)
{
	const struct virtio_blk *v = to_virtio(b);

	val->u = v->guest_features ?: v->features & virtio_features_for_guests(v);
	return 0;
}

int virtio_check_guest_features(struct blkio *b, const struct bk_prop *p, const union bk_val *val)
{
	uint64_t offered = virtio_features_for_guests(to_virtio(b));

	if (val->u & ~offered || (val->u && !(val->u & FEATURE(VIRTIO_F_VERSION_1))))
		return bk_err(EINVAL,
			      "property \"%s\" must be some of the features %#llx, with "
			      "VIRTIO_F_VERSION_1 (%#llx), got %#llx",
			      p->name, (unsigned long long)offered, FEATURE(VIRTIO_F_VERSION_1),
			      (unsigned long long)val->u);
	return 0;
}

/* The limits stay what the configuration says, but the device need not do what was not accepted. */
static int set_guest_features(struct virtio_blk *v)
{
	uint64_t accepted = v->guest_features ?: v->features & virtio_features_for_guests(v);

	if (!v->b.num_vrings)
		return 0;
	v->features = accepted | (v->offered & v->transport->features);
	set_ops(v, &v->config);
	/* With a status field, virtio_status_start() does it. */
	return v->transport->set_status ? 0 : virtio_set_features(v);
}

int virtio_blk_connect(struct blkio *b)
{
	struct virtio_blk *v = to_virtio(b);
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
		return ret;
	}
	v->queue_size = min_u64(v->queue_size, v->max_queue_size);
	return 0;
}

/* ---- Start -------------------------------------------------------------------------------- */

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
			      "does not offer VIRTIO_F_INDIRECT_DESC, got %d",
			      v->queue_size);
	if (b->num_vrings > b->lim.max_queues)
		return bk_err(EINVAL, "num-vrings is %d but max-queues is %d", b->num_vrings,
			      b->lim.max_queues);
	b->lim.max_segments = max_segments(v);
	if (b->num_vrings && v->transport->check_guests)
		ret = v->transport->check_guests(v);
	if (!ret)
		ret = set_guest_features(v);
	if (!ret)
		ret = virtio_status_start(v);
	if (!ret)
		ret = virtio_alloc_guests(v);
	return ret < 0 ? ret : virtio_alloc_memory(v);
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

	watcher_stop(&v->watcher);
	if (b->state != BK_CREATED)
		virtio_status_stop(v);
	virtio_free_memory(v);
	virtio_free_guests(v);
	if (b->state != BK_CREATED)
		v->transport->close(v);
	if (v->config_fd >= 0)
		close(v->config_fd);
	pthread_cond_destroy(&v->watcher_did);
	pthread_mutex_destroy(&v->wake_lock);
}

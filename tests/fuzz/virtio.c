/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Fuzzer: a virtio-blk device behind vhost-vdpa, whose features, configuration space, ring sizes,
 * status and addresses are anything; then its rings, split and packed. /dev/null stands for the
 * device: a character device that takes every write, and all else are ioctls.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_ids.h>

#include "fuzz.h"
#include "traffic.h"
#include "virtio/virtio_blk.h"
#include "world.h"

#define BIT(n) (1ULL << (n))

/* What the device says, in the order of the input. */
struct says {
	uint64_t features;
	uint8_t backend_features, queues, ring_shift;
	uint8_t failing;		/* which ioctl fails: 0 for none */
	uint8_t status_bits, lies_from; /* the status read is wrong from then on */
	uint8_t iova_kind;
} __attribute__((packed));

struct device {
	struct traffic t;
	struct says says;
	struct fuzz_input in;
	struct virtio_blk_config config;
	unsigned calls, status_reads;
	uint8_t status;
};

static int get_status(struct device *d, uint8_t *status)
{
	*status = d->status;
	if (d->says.lies_from && ++d->status_reads >= d->says.lies_from)
		*status ^= d->says.status_bits;
	return 0;
}

static int get_config(const struct device *d, struct vhost_vdpa_config *c)
{
	MUST(c->len <= sizeof(d->config));
	memcpy(c->buf, &d->config, c->len);
	return 0;
}

static void get_range(struct device *d, struct vhost_vdpa_iova_range *r)
{
	*r = (struct vhost_vdpa_iova_range){ 0, UINT64_MAX };
	if (d->says.iova_kind & 1)
		r->last = 1ULL << (d->says.iova_kind >> 2);
	if (d->says.iova_kind & 2)
		r->first = fuzz_u64(&d->in);
}

static int device_ioctl(void *arg, unsigned long request, void *data)
{
	struct device *d = arg;

	if (d->says.failing && ++d->calls == d->says.failing) {
		errno = EIO;
		return -1;
	}
	switch (request) {
	case VHOST_VDPA_GET_DEVICE_ID:
		*(uint32_t *)data = VIRTIO_ID_BLOCK;
		break;
	case VHOST_GET_BACKEND_FEATURES:
		*(uint64_t *)data = d->says.backend_features ^ BIT(VHOST_BACKEND_F_IOTLB_MSG_V2);
		break;
	case VHOST_GET_FEATURES:
		*(uint64_t *)data = d->says.features ^ BIT(VIRTIO_F_VERSION_1);
		break;
	case VHOST_VDPA_GET_VRING_NUM:
		*(uint16_t *)data =
		    d->says.ring_shift & 0x80 ? d->says.ring_shift : BIT(d->says.ring_shift & 15);
		break;
	case VHOST_VDPA_GET_VQS_COUNT:
		*(uint32_t *)data = d->says.queues ^ 3;
		break;
	case VHOST_VDPA_GET_IOVA_RANGE:
		get_range(d, data);
		break;
	case VHOST_VDPA_GET_CONFIG_SIZE:
		*(uint32_t *)data = sizeof(d->config);
		break;
	case VHOST_VDPA_GET_CONFIG:
		return get_config(d, data);
	case VHOST_VDPA_GET_STATUS:
		return get_status(d, data);
	case VHOST_VDPA_SET_STATUS:
		d->status = *(uint8_t *)data;
		break;
	default:
		break;
	}
	return 0;
}

static bool device_idle(void *arg)
{
	return traffic_device_turn(&((struct device *)arg)->t);
}

/* What an application may rely on in its arithmetic. */
static void check_limits(struct blkio *b)
{
	const struct bk_limits *l = &b->lim;

	MUST(is_power_of_2(l->request_alignment) && l->request_alignment >= 512);
	MUST(is_power_of_2(l->optimal_io_alignment) && is_power_of_2(l->buf_alignment));
	MUST(l->optimal_io_size >= 0 && l->discard_alignment > 0);
	MUST(l->max_segments >= 1 && l->max_segments <= VIRTIO_SEGMENTS_MAX);
	MUST(l->max_segment_len >= 0 && l->max_transfer >= 0);
	MUST(!l->max_transfer || l->max_transfer >= l->request_alignment);
	MUST(!l->max_segment_len || l->max_segment_len >= l->request_alignment);
	MUST(l->max_transfer % l->request_alignment == 0);
	MUST(l->max_queues >= 1 && l->max_queues <= VIRTIO_QUEUES_MAX);
	MUST(!(l->ops & BK_OP_BIT(BK_DISCARD)) || l->max_discard_len);
	MUST(!(l->ops & BK_OP_BIT(BK_WRITE_ZEROES)) || l->max_write_zeroes_len);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	static struct device d;
	struct blkio *b;
	int fd;

	d = (struct device){
		.t.device = &traffic_virtio,
		.in = { data, data + len },
		.config = { .capacity = 1 << 20,
			    .seg_max = 6,
			    .blk_size = 512,
			    .num_queues = 3,
			    .max_discard_sectors = 1 << 16,
			    .max_discard_seg = 1,
			    .max_write_zeroes_sectors = 1 << 16 },
	};
	fuzz_bytes(&d.in, &d.says, sizeof(d.says));
	fuzz_patch(&d.in, &d.config, sizeof(d.config));

	fuzz_world.idle = device_idle;
	fuzz_world.ioctl = device_ioctl;
	fuzz_world.arg = &d;
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	MUST(!blkio_create("virtio-blk-vhost-vdpa", &b) && !blkio_set_int(b, "fd", fd));
	if (blkio_connect(b)) {
		close(fd);
	} else {
		check_limits(b);
		traffic_run(&d.t, b, &d.in);
	}
	blkio_destroy(&b);
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The device status field, of transports that have it: how a device is led from reset to running
 * (virtio 1.2, 3.1.1).
 */
#include "virtio/virtio_blk.h"

#define RESET_SECONDS  5
#define RESET_PAUSE_NS 1000000
#define IS_A_DRIVER    (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)

static bool has_status(const struct virtio_blk *v)
{
	return v->transport->set_status;
}

static int reset_err(const struct bk_deadline *d, int err, uint8_t status)
{
	if (err != -ETIMEDOUT)
		return bk_wait_err(d, err, "reset", "device");
	return bk_err(ETIMEDOUT, "the device did not reset within %d seconds (its status is %#x)",
		      RESET_SECONDS, status);
}

/* Reading 0 back means that it is done: until then the device may touch memory. */
static int reset(struct virtio_blk *v)
{
	struct bk_pauses pauses = { bk_deadline(&v->b), RESET_PAUSE_NS, RESET_PAUSE_NS };
	uint8_t status;
	int ret;

	pauses.deadline.at = min_u64(pauses.deadline.at, deadline_in(RESET_SECONDS * NSEC_PER_SEC));
	ret = v->transport->set_status(v, 0);
	while (!ret) {
		ret = v->transport->get_status(v, &status);
		if (ret < 0 || !status)
			return ret;
		ret = bk_pause(&pauses);
		if (ret < 0)
			return reset_err(&pauses.deadline, ret, status);
	}
	return ret;
}

int virtio_set_features(struct virtio_blk *v)
{
	uint8_t status;
	int ret;

	if (!has_status(v))
		return v->transport->set_features(v, v->features);
	ret = reset(v);
	if (!ret)
		ret = v->transport->set_status(v, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	if (!ret)
		ret = v->transport->set_status(v, IS_A_DRIVER);
	if (!ret)
		ret = v->transport->set_features(v, v->features);
	if (!ret)
		ret = v->transport->set_status(v, IS_A_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK);
	if (!ret)
		ret = v->transport->get_status(v, &status);
	if (ret < 0)
		return ret;
	if (!(status & VIRTIO_CONFIG_S_FEATURES_OK))
		return bk_err(ENOTSUP,
			      "the device refused the features %#llx, which it had offered",
			      (unsigned long long)v->features);
	return 0;
}

int virtio_status_start(struct virtio_blk *v)
{
	int ret = has_status(v) ? virtio_set_features(v) : 0;

	return !ret && v->transport->prepare ? v->transport->prepare(v) : ret;
}

int virtio_status_run(struct virtio_blk *v)
{
	if (!has_status(v))
		return 0;
	return v->transport->set_status(v, IS_A_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |
					       VIRTIO_CONFIG_S_DRIVER_OK);
}

void virtio_status_stop(struct virtio_blk *v)
{
	/* A device that fails even that can do no more harm than one that is gone. */
	if (has_status(v))
		reset(v);
}

void virtio_status_abandon(struct virtio_blk *v)
{
	v->transport->set_status(v, 0);
}

enum bk_drained virtio_status_has_let_go(struct virtio_blk *v)
{
	uint8_t status;

	/* One that does not even tell its status is gone. */
	return v->transport->get_status(v, &status) < 0 || !status ? BK_QUIET : BK_BUSY;
}

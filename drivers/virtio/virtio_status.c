/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The device status field, of transports that have it: how a device is led from reset to running
 * (virtio 1.2, 3.1.1), and the signal that its configuration or status has changed.
 */
#include <sys/eventfd.h>

#include "virtio/virtio_blk.h"

#define RESET_SECONDS 5
#define IS_A_DRIVER   (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)

static bool has_status(const struct virtio_blk *v)
{
	return v->transport->set_status;
}

/* Reading 0 back means that it is done: until then the device may touch memory. */
static int reset(struct virtio_blk *v)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int64_t deadline = now_ns() + RESET_SECONDS * NSEC_PER_SEC;
	uint8_t status;
	int ret = v->transport->set_status(v, 0);

	while (!ret) {
		ret = v->transport->get_status(v, &status);
		if (ret < 0 || !status)
			return ret;
		if (now_ns() > deadline)
			return bk_err(ETIMEDOUT,
				      "the device does not finish its reset in %d seconds (its "
				      "status is %#x)",
				      RESET_SECONDS, status);
		nanosleep(&pause, NULL);
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
		return bk_err(ENOTSUP, "the device refuses the features %#llx, which it offered",
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
	eventfd_t count;
	uint8_t status;

	/* Nothing is to be done about a new configuration: it is asked for anew each time. */
	eventfd_read(v->config_fd, &count);
	if (v->transport->get_status(v, &status) < 0)
		return "the device does not tell its status";
	if (status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return "the device met an error that only a reset can end";
	return NULL;
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Queue passthrough: a guest's virtqueues on the device itself. Checks and states; what it takes is
 * the driver's: struct bk_vring_ops.
 */
#include "core.h"

/* Whether there are vrings, in a state from which on the call is valid. */
static int check(const struct blkio *b, enum bk_state from)
{
	if (!b->drv->vring)
		return bk_err(ENOTSUP, "driver %s cannot give a guest's virtqueues to the device",
			      b->drv->name);
	if (b->state >= from)
		return 0;
	if (b->state == BK_CREATED)
		return bk_err(ENODEV, "the instance is not connected yet");
	return bk_err(EBUSY, "vrings run on a started instance only: call blkio_start() first");
}

static int check_index(const struct blkio *b, int index)
{
	int ret = check(b, BK_STARTED);

	if (ret < 0)
		return ret;
	if (index < 0 || index >= b->num_vrings)
		return bk_err(EINVAL, "there is no vring %d: property \"num-vrings\" is %d", index,
			      b->num_vrings);
	return 0;
}

/* ---- What the device offers --------------------------------------------------------------- */

static int features_call(struct blkio *b, const union bk_call_args *args)
{
	int ret = check(b, BK_CONNECTED);

	return ret < 0 ? ret : b->drv->vring->features(b, args->features);
}

int blkio_get_vring_features(struct blkio *b, uint64_t *features)
{
	if (!features)
		return bk_err(EINVAL, "features must not be NULL");
	*features = 0;
	return bk_control_call(b, features_call, &(union bk_call_args){ .features = features });
}

static int config_call(struct blkio *b, const union bk_call_args *args)
{
	int ret = check(b, BK_CONNECTED);

	if (!ret)
		ret = bk_check_gone(b);
	return ret < 0 ? ret : b->drv->vring->config(b, args->config.buf, args->config.len);
}

int blkio_get_device_config(struct blkio *b, void *buf, size_t len)
{
	if (!buf)
		return bk_err(EINVAL, "buf must not be NULL");
	return bk_control_call(b, config_call, &(union bk_call_args){ .config = { buf, len } });
}

/* ---- Start and stop ----------------------------------------------------------------------- */

static int start_call(struct blkio *b, const union bk_call_args *args)
{
	const struct blkio_vring *r = &args->vring.vring;
	int ret = check_index(b, args->vring.index);

	if (!ret)
		ret = bk_check_gone(b);
	if (ret < 0)
		return ret;
	if (b->ending)
		return bk_err(ECANCELED, "cannot start a vring: the instance has been drained");
	if (!is_power_of_2(r->size) || r->flags)
		return bk_err(EINVAL,
			      "the size of a vring must be a power of two, and its flags 0; got %u "
			      "and %#x",
			      r->size, r->flags);
	if (r->reserved_[0] || r->reserved_[1])
		return bk_err(EINVAL, "the reserved members of a vring must be 0");
	return b->drv->vring->start(b, args->vring.index, r);
}

static int stop_call(struct blkio *b, const union bk_call_args *args)
{
	struct blkio_vring ignored = { 0 }, *state = args->vring.state ?: &ignored;
	int ret = check_index(b, args->vring.index);

	return ret < 0 ? ret : b->drv->vring->stop(b, args->vring.index, state);
}

/* vring may be NULL, as the callers check afterwards. */
static union bk_call_args start_args(int index, const struct blkio_vring *vring)
{
	union bk_call_args args = { .vring.index = index };

	if (vring)
		args.vring.vring = *vring;
	return args;
}

static union bk_call_args stop_args(int index, struct blkio_vring *state)
{
	return (union bk_call_args){ .vring = { .index = index, .state = state } };
}

int blkio_start_vring(struct blkio *b, int index, const struct blkio_vring *vring)
{
	const union bk_call_args args = start_args(index, vring);

	return vring ? bk_control_call(b, start_call, &args)
		     : bk_err(EINVAL, "vring must not be NULL");
}

int blkio_start_vring_async(struct blkio *b, int index, const struct blkio_vring *vring)
{
	const union bk_call_args args = start_args(index, vring);

	return vring ? bk_control_start(b, start_call, &args)
		     : bk_err(EINVAL, "vring must not be NULL");
}

int blkio_stop_vring(struct blkio *b, int index, struct blkio_vring *state)
{
	const union bk_call_args args = stop_args(index, state);

	return bk_control_call(b, stop_call, &args);
}

int blkio_stop_vring_async(struct blkio *b, int index, struct blkio_vring *state)
{
	const union bk_call_args args = stop_args(index, state);

	return bk_control_start(b, stop_call, &args);
}

int bk_end_vrings(struct blkio *b)
{
	if (!b->drv->vring || b->state != BK_STARTED || !b->num_vrings)
		return 0;
	return b->drv->vring->stop_all(b);
}

int bk_check_unmap(const struct blkio *b, const struct bk_region *r)
{
	if (!r->guest || !b->drv->vring->uses(b, r))
		return 0;
	return bk_err(EBUSY,
		      "memory region %p, %llu bytes, holds a vring that runs: call "
		      "blkio_stop_vring() first",
		      (void *)r->addr, (unsigned long long)r->len);
}

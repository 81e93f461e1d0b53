/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * zonemode=zbd: fio asks about zones before jobs start, and resets or finishes them while they
 * run. Drivers that know zones have a "zoned" property: 0 not, 1 host-aware, 2 host-managed. For
 * others, the kernel knows the zones of the block device that they open.
 */
#include "engine.h"
#include <oslib/blkzoned.h>
#include <zbd.h>

#pragma weak zbd_do_io_u_trim
#ifdef CONFIG_HAS_BLKZONED
#ifdef BKF_HAS_FINISH_ZONE
#pragma weak blkzoned_finish_zone
#endif
#ifdef BKF_HAS_MAX_ACTIVE_ZONES
#pragma weak blkzoned_get_max_active_zones
#endif
#pragma weak blkzoned_get_max_open_zones
#pragma weak blkzoned_get_zoned_model
#pragma weak blkzoned_report_zones
#pragma weak blkzoned_reset_wp
#endif

/* ---- Access -------------------------------------------------------------------------------- */

struct zone_access {
	struct blkioq *q;
	struct blkio *opened; /* for this call only: the job does not run yet */
};

static int open_for_zones(struct thread_data *td, const struct job *job, struct zone_access *za)
{
	za->opened = bkf_target_connect(bkf_target_options(job->target), td);
	if (!za->opened)
		return -EIO;
	if (bkf_target_start(za->opened, 1, 0, td)) {
		blkio_destroy(&za->opened);
		return -EIO;
	}
	za->q = blkio_get_queue(za->opened, 0);
	return 0;
}

/* A queue apart from the job's own, whose completions are I/Os that fio waits for elsewhere. */
static int begin(struct thread_data *td, struct zone_access *za)
{
	struct job *job = td->io_ops_data;
	int ret;

	*za = (struct zone_access){ 0 };
	if (!job->b)
		return open_for_zones(td, job, za);
	if (!job->zone_slot.q) {
		ret = bkf_target_take_queue(job->target, &job->zone_slot, false, td);
		if (ret)
			return ret;
	}
	za->q = job->zone_slot.q;
	return 0;
}

static void end(struct zone_access *za)
{
	blkio_destroy(&za->opened);
}

/* Wait for the one request that was just put on the queue; returns its result. */
static int finish_request(struct thread_data *td, struct blkioq *q, const char *what)
{
	struct blkio_completion c;
	int ret = blkioq_do_io(q, &c, 1, 1, NULL);

	if (ret < 0)
		return bkf_fail_call(td, ret, what);
	if (c.ret < 0)
		return bkf_fail(td, c.ret, "%s: %s", what,
				c.error_msg ? c.error_msg : strerror(-c.ret));
	return c.ret;
}

/* fio reports errno. */
static int give(int ret)
{
	if (ret < 0)
		errno = -ret;
	return ret;
}

/* ---- What the driver says ------------------------------------------------------------------ */

/* A property of the target, as text to be freed; NULL where the driver has none. */
static char *target_prop(struct thread_data *td, const char *name)
{
	struct job *job = td->io_ops_data;
	struct blkio *b = job->b;
	char *value = NULL;

	if (!b)
		b = bkf_target_connect(bkf_target_options(job->target), td);
	if (b && blkio_get_str(b, name, &value))
		value = NULL;
	if (!job->b)
		blkio_destroy(&b);
	return value;
}

static bool driver_knows_zones(struct thread_data *td)
{
	char *zoned = target_prop(td, "zoned");
	bool known = zoned;

	free(zoned);
	return known;
}

/* Have fio ask the kernel about the target, under whatever name fio knows it. */
#define ASK_KERNEL(td, f, call)                                                                    \
	({                                                                                         \
		char *name_ = (f)->file_name;                                                      \
		const struct job *job_ = (td)->io_ops_data;                                        \
		int ret_;                                                                          \
		if (job_->path)                                                                    \
			(f)->file_name = (char *)job_->path;                                       \
		ret_ = call;                                                                       \
		(f)->file_name = name_;                                                            \
		ret_;                                                                              \
	})

int bkf_get_zoned_model(struct thread_data *td, struct fio_file *f, enum zbd_zoned_model *model)
{
	char *zoned = target_prop(td, "zoned");

	*model = ZBD_NONE;
	if (td->error)
		return give(-td->error);
	if (!zoned)
		return f->filetype == FIO_TYPE_BLOCK
			   ? ASK_KERNEL(td, f, blkzoned_get_zoned_model(td, f, model))
			   : 0;
	if (!strcmp(zoned, "2") || !strcmp(zoned, "true"))
		*model = ZBD_HOST_MANAGED;
	else if (!strcmp(zoned, "1"))
		*model = ZBD_HOST_AWARE;
	free(zoned);
	return 0;
}

static int get_limit(struct thread_data *td, const char *name, unsigned int *limit)
{
	char *value = target_prop(td, name);

	*limit = value ? strtoul(value, NULL, 10) : 0;
	free(value);
	return 0;
}

int bkf_get_max_open_zones(struct thread_data *td, struct fio_file *f, unsigned int *max)
{
	if (!driver_knows_zones(td))
		return ASK_KERNEL(td, f, blkzoned_get_max_open_zones(td, f, max));
	return get_limit(td, "max-open-zones", max);
}

#ifdef BKF_HAS_MAX_ACTIVE_ZONES
int bkf_get_max_active_zones(struct thread_data *td, struct fio_file *f, unsigned int *max)
{
	if (!driver_knows_zones(td))
		return ASK_KERNEL(td, f, blkzoned_get_max_active_zones(td, f, max));
	return get_limit(td, "max-active-zones", max);
}
#endif

/* ---- Reports ------------------------------------------------------------------------------- */

/* fio asserts on what a device reports, so a device that lies must be caught here. */
static int convert_zone(struct zbd_zone *out, const struct blkio_zone *in)
{
	if (!in->len || in->capacity > in->len || in->start + in->len < in->start)
		return -EIO;
	*out = (struct zbd_zone){
		.start = in->start,
		.len = in->len,
		.capacity = in->capacity,
		.wp = in->write_pointer,
		.type = (enum zbd_zone_type)in->zone_type,
		.cond = (enum zbd_zone_cond)in->zone_state,
	};
	if (in->zone_type == BLKIO_ZONE_TYPE_CONVENTIONAL)
		out->cond = ZBD_ZONE_COND_NOT_WP;
	else if (in->zone_state == BLKIO_ZONE_STATE_READONLY ||
		 in->zone_state == BLKIO_ZONE_STATE_OFFLINE)
		out->cond = ZBD_ZONE_COND_OFFLINE; /* as fio does: neither can be written */
	if (out->cond == ZBD_ZONE_COND_NOT_WP || out->cond == ZBD_ZONE_COND_FULL)
		out->wp = in->start + in->len;
	else if (out->cond == ZBD_ZONE_COND_OFFLINE)
		out->wp = in->start;
	else if (out->wp < in->start || out->wp > in->start + in->len)
		return -EIO;
	return 0;
}

/* How many zones, those past the end of the device left out. */
static int convert_zones(struct thread_data *td, const struct fio_file *f, struct zbd_zone *out,
			 const struct blkio_zone *in, int n)
{
	for (int i = 0; i < n; i++) {
		if (in[i].start >= f->real_file_size)
			return i;
		if (convert_zone(&out[i], &in[i]))
			return bkf_fail(td, -EIO,
					"the device reports an impossible zone: start %llu, length "
					"%llu, capacity %llu, write pointer %llu",
					(unsigned long long)in[i].start,
					(unsigned long long)in[i].len,
					(unsigned long long)in[i].capacity,
					(unsigned long long)in[i].write_pointer);
	}
	return n;
}

static int report_zones(struct thread_data *td, struct fio_file *f, uint64_t offset,
			struct zbd_zone *zones, unsigned int nr_zones)
{
	struct blkio_zone *reported = calloc(nr_zones, sizeof(*reported));
	struct zone_access za;
	int ret;

	if (!reported)
		return bkf_fail(td, -ENOMEM, "no memory for %u zones", nr_zones);
	ret = begin(td, &za);
	if (!ret) {
		blkioq_report_zones(za.q, offset, reported, nr_zones, NULL, 0);
		ret = finish_request(td, za.q, "reporting zones");
		end(&za);
	}
	if (ret > 0)
		ret = convert_zones(td, f, zones, reported, min((unsigned int)ret, nr_zones));
	free(reported);
	return ret;
}

int bkf_report_zones(struct thread_data *td, struct fio_file *f, uint64_t offset,
		     struct zbd_zone *zones, unsigned int nr_zones)
{
	if (!driver_knows_zones(td))
		return ASK_KERNEL(td, f, blkzoned_report_zones(td, f, offset, zones, nr_zones));
	return give(report_zones(td, f, offset, zones, nr_zones));
}

/* ---- Changes ------------------------------------------------------------------------------- */

typedef void zone_request(struct blkioq *q, uint64_t offset, void *user_data, uint32_t flags);

static int change_zones(struct thread_data *td, uint64_t offset, uint64_t length,
			zone_request *request, const char *what)
{
	uint64_t step = td->o.zone_size ? td->o.zone_size : length;
	struct zone_access za;
	int ret = begin(td, &za);

	if (ret)
		return ret;
	for (uint64_t done = 0; !ret && done < length; done += step) {
		request(za.q, offset + done, NULL, 0);
		ret = finish_request(td, za.q, what);
	}
	end(&za);
	return ret;
}

int bkf_reset_wp(struct thread_data *td, struct fio_file *f, uint64_t offset, uint64_t length)
{
	if (!driver_knows_zones(td))
		return ASK_KERNEL(td, f, blkzoned_reset_wp(td, f, offset, length));
	return give(change_zones(td, offset, length, blkioq_reset_zone, "resetting a zone"));
}

bool bkf_trim_was_reset(struct thread_data *td, struct io_u *io_u)
{
	int ret = zbd_do_io_u_trim(td, io_u);

	if (!ret)
		return false;
	if (ret < 0)
		io_u->error = -ret;
	io_u_mark_submit(td, 1);
	io_u_mark_complete(td, 1);
	return true;
}

#ifdef BKF_HAS_FINISH_ZONE
int bkf_finish_zone(struct thread_data *td, struct fio_file *f, uint64_t offset, uint64_t length)
{
	if (!driver_knows_zones(td))
		return ASK_KERNEL(td, f, blkzoned_finish_zone(td, f, offset, length));
	return give(change_zones(td, offset, length, blkioq_finish_zone, "finishing a zone"));
}
#endif

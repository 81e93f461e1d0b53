/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * libblkio_mapping=temporary: instead of the job's memory once, the buffer of each I/O is mapped
 * when it is queued and unmapped when it has completed. It measures what that costs, which is what
 * programs pay that do I/O to memory they do not know in advance.
 */
#include "engine.h"

int bkf_mapping_init(struct thread_data *td)
{
	struct job *job = td->io_ops_data;
	uint64_t align = bkf_get_number(job->b, "mem-region-alignment", 1);
	uint64_t most = bkf_get_number(job->b, "max-mem-regions", UINT64_MAX);

	if (td->o.iodepth > most)
		return bkf_fail(td, -EINVAL,
				"libblkio_mapping=temporary maps a memory region for each I/O in "
				"flight, but max-mem-regions is %llu: lower iodepth=%u",
				(unsigned long long)most, td->o.iodepth);
	if (td->o.iodepth > 1 && td_max_bs(td) % align)
		return bkf_fail(td, -EINVAL,
				"libblkio_mapping=temporary needs buffers that are multiples of "
				"mem-region-alignment, %llu bytes: bs=%llu works with iodepth=1 "
				"only",
				(unsigned long long)align, td_max_bs(td));
	job->mapped = calloc(td->o.iodepth, sizeof(*job->mapped));
	if (!job->mapped)
		return bkf_fail(td, -ENOMEM, "no memory for iodepth=%u", td->o.iodepth);
	job->plain = job->plain_wait = false;
	job->region_align = align;
	return 0;
}

int bkf_map_io(struct job *job, const struct io_u *io_u, uint64_t len)
{
	uint64_t align = job->region_align;
	uintptr_t start = (uintptr_t)io_u->xfer_buf / align * align;
	uintptr_t end = ((uintptr_t)io_u->xfer_buf + len + align - 1) / align * align;
	struct blkio_mem_region r = {
		.addr = (void *)start,
		.len = end - start,
		.fd = job->region.fd,
		.fd_offset = job->region.fd_offset + (start - (uintptr_t)job->region.addr),
	};
	int ret;

	bkf_target_lock();
	ret = blkio_map_mem_region(job->b, &r);
	bkf_target_unlock();
	if (!ret)
		job->mapped[io_u->index] = r;
	return ret;
}

static void unmap(struct job *job, struct blkio_mem_region *r)
{
	if (!r->len)
		return;
	bkf_target_lock();
	blkio_unmap_mem_region(job->b, r);
	bkf_target_unlock();
	r->len = 0;
}

void bkf_unmap_completed(struct job *job, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		const struct io_u *io_u = job->events[i].user_data;

		unmap(job, &job->mapped[io_u->index]);
	}
}

void bkf_mapping_exit(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	for (unsigned int i = 0; job->mapped && i < td->o.iodepth; i++)
		unmap(job, &job->mapped[i]);
}

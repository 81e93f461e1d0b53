/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Memory for a job's I/O: a region of libblkio's where the driver needs or profits from regions,
 * else plain memory. One buffer per job holds the buffers of all its I/Os.
 */
#include <sys/mman.h>

#include "engine.h"

/* How long to wait for what is in flight after an error, before its memory is given up. */
#define DRAIN_SECONDS 5

static bool wants_region(struct blkio *b)
{
	return bkf_get_bool(b, "needs-mem-regions", false) ||
	       bkf_get_bool(b, "register-buffers", false);
}

static int alloc_region(struct thread_data *td, struct job *job, size_t size)
{
	const struct engine_options *eo = td->eo;
	size_t align = bkf_get_number(job->b, "mem-region-alignment", 1);
	int ret;

	/* Ours begins with a page: no need of what fio adds to find one in it. */
	if (!td->o.mem_align)
		size = td_max_bs(td) * td->o.iodepth;
	size = (size + align - 1) / align * align;
	job->region_is_ours = true;
	ret = blkio_alloc_mem_region(job->b, &job->region, size);
	if (ret) {
		job->region.addr = NULL;
		return bkf_fail_call(td, ret, "blkio_alloc_mem_region");
	}
	if (eo->mapping == MAPPING_TEMPORARY)
		return bkf_mapping_init(td);
	ret = blkio_map_mem_region(job->b, &job->region);
	if (ret) {
		bkf_fail_call(td, ret, "blkio_map_mem_region");
		blkio_free_mem_region(job->b, &job->region);
		job->region.addr = NULL;
	}
	return ret;
}

static int fail_unmappable(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	return bkf_fail(td, -EINVAL,
			"libblkio_mapping=temporary has nothing to map: driver %s does not need "
			"memory regions%s",
			bkf_target_options(job->target)->driver,
			bkf_get_bool(job->b, "register-buffers", true)
			    ? ""
			    : " without its property register-buffers");
}

static int alloc_plain(struct thread_data *td, struct job *job, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return bkf_fail(td, -errno, "cannot allocate %zu bytes of I/O buffers", size);
	job->plain_memory = memory;
	job->plain_size = size;
	return 0;
}

int bkf_iomem_alloc(struct thread_data *td, size_t size)
{
	struct job *job = td->io_ops_data;
	int ret;

	if (!job->b || !wants_region(job->b)) {
		ret = alloc_plain(td, job, size);
		td->orig_buffer = job->plain_memory;
		return ret;
	}
	bkf_target_lock();
	ret = alloc_region(td, job, size);
	bkf_target_unlock();
	td->orig_buffer = job->region.addr;
	return ret;
}

bool bkf_drain(struct thread_data *td, struct blkioq *q, struct blkio_completion *completions)
{
	struct timespec timeout = { .tv_sec = DRAIN_SECONDS };
	int ret;

	do {
		ret = blkioq_do_io(q, completions, 1, td->o.iodepth, &timeout);
	} while (ret > 0);
	return ret == -EINVAL; /* what waiting for one gives when there is none */
}

void bkf_end_region(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	if (!job->region.addr)
		return;
	bkf_mapping_exit(td);
	bkf_target_lock();
	blkio_unmap_mem_region(job->b, &job->region);
	if (job->region_is_ours)
		blkio_free_mem_region(job->b, &job->region);
	bkf_target_unlock();
	job->region.addr = NULL;
}

void bkf_iomem_free(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	if (!job || job->slot.abandoned)
		return;
	/* After an error requests may still be in flight. */
	if (job->q && job->completions && !bkf_drain(td, job->q, job->completions)) {
		/* The device may still write to the memory: leave it to the end of the process. */
		job->slot.abandoned = true;
		return;
	}
	bkf_end_region(td);
	if (job->plain_memory)
		munmap(job->plain_memory, job->plain_size);
	job->plain_memory = NULL;
}

int bkf_map_memory(struct thread_data *td)
{
	const struct engine_options *eo = td->eo;
	struct job *job = td->io_ops_data;
	bool temporary = eo->mapping == MAPPING_TEMPORARY;
	uint64_t align;
	int ret;

	if (!td->orig_buffer || job->region.addr)
		return 0;
	if (!wants_region(job->b))
		return temporary ? fail_unmappable(td) : 0;
	align = bkf_get_number(job->b, "mem-region-alignment", 1);
	job->region_is_ours = false;
	job->region = (struct blkio_mem_region){
		.addr = td->orig_buffer,
		.len = td->orig_buffer_size / align * align,
		.fd = -1,
	};
	if (temporary)
		return bkf_mapping_init(td);
	bkf_target_lock();
	ret = blkio_map_mem_region(job->b, &job->region);
	bkf_target_unlock();
	if (!ret)
		return 0;
	job->region.addr = NULL;
	if (!bkf_get_bool(job->b, "needs-mem-regions", false))
		return 0; /* it would only have been faster */
	return bkf_fail_call(td, ret, "blkio_map_mem_region for mem=");
}

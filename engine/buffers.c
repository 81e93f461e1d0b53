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

static int alloc_plain(struct thread_data *td, struct job *job, size_t size)
{
	const struct engine_options *eo = td->eo;
	void *memory;

	if (eo->mapping == MAPPING_TEMPORARY)
		return bkf_fail(td, -EINVAL,
				"libblkio_mapping=temporary has nothing to map: driver %s needs no "
				"memory regions%s",
				eo->driver,
				bkf_get_bool(job->b, "register-buffers", true)
				    ? ""
				    : " without its property register-buffers");
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return bkf_fail(td, -errno, "no memory for %zu bytes of I/O buffers", size);
	job->plain_memory = memory;
	job->plain_size = size;
	return 0;
}

int bkf_iomem_alloc(struct thread_data *td, size_t size)
{
	struct job *job = td->io_ops_data;
	int ret;

	if (!wants_region(job->b)) {
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

/* After an error requests may still be in flight; true when none is. */
static bool drain(struct thread_data *td, struct job *job)
{
	struct timespec timeout = { .tv_sec = DRAIN_SECONDS };
	int ret;

	do {
		ret = blkioq_do_io(job->q, job->completions, 1, td->o.iodepth, &timeout);
	} while (ret > 0);
	return ret == -EINVAL; /* what waiting for one gives when there is none */
}

void bkf_iomem_free(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	if (!job || !job->q || !job->completions || job->slot.abandoned)
		return;
	if (!drain(td, job)) {
		/* The device may still write to the memory: leave it to the end of the process. */
		job->slot.abandoned = true;
		return;
	}
	bkf_mapping_exit(td);
	if (job->region.addr) {
		bkf_target_lock();
		blkio_unmap_mem_region(job->b, &job->region);
		blkio_free_mem_region(job->b, &job->region);
		bkf_target_unlock();
		job->region.addr = NULL;
	}
	if (job->plain_memory)
		munmap(job->plain_memory, job->plain_size);
	job->plain_memory = NULL;
}

/* With mem=, fio versions that let an engine have it allocate; map it where that is needed. */
int bkf_map_foreign_memory(struct thread_data *td)
{
	struct job *job = td->io_ops_data;
	uint64_t align;
	int ret;

	if (job->region.addr || job->plain_memory || !wants_region(job->b))
		return 0;
	align = bkf_get_number(job->b, "mem-region-alignment", 1);
	job->region = (struct blkio_mem_region){
		.addr = td->orig_buffer,
		.len = td->orig_buffer_size / align * align,
		.fd = -1,
	};
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

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See library.h. */
#include <dlfcn.h>

#include "library.h"

const struct library library_ours = {
	.create = blkio_create,
	.destroy = blkio_destroy,
	.set_str = blkio_set_str,
	.set_bool = blkio_set_bool,
	.set_int = blkio_set_int,
	.connect = blkio_connect,
	.start = blkio_start,
	.get_queue = blkio_get_queue,
	.get_poll_queue = blkio_get_poll_queue,
	.get_error_msg = blkio_get_error_msg,
	.alloc_mem_region = blkio_alloc_mem_region,
	.map_mem_region = blkio_map_mem_region,
	.read = blkioq_read,
	.do_io = blkioq_do_io,
	.get_completion_fd = blkioq_get_completion_fd,
	.set_completion_fd_enabled = blkioq_set_completion_fd_enabled,
};

static void *symbol(void *handle, const char *name)
{
	void *address = dlsym(handle, name);

	if (!address)
		bench_die(name, dlerror());
	return address;
}

void library_load(struct library *lib, const char *path)
{
	/* Its calls of its own functions shall not end up in ours. */
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);

	if (!handle)
		bench_die(path, dlerror());
	lib->create = symbol(handle, "blkio_create");
	lib->destroy = symbol(handle, "blkio_destroy");
	lib->set_str = symbol(handle, "blkio_set_str");
	lib->set_bool = symbol(handle, "blkio_set_bool");
	lib->set_int = symbol(handle, "blkio_set_int");
	lib->connect = symbol(handle, "blkio_connect");
	lib->start = symbol(handle, "blkio_start");
	lib->get_queue = symbol(handle, "blkio_get_queue");
	lib->get_poll_queue = symbol(handle, "blkio_get_poll_queue");
	lib->get_completion_fd = symbol(handle, "blkioq_get_completion_fd");
	lib->set_completion_fd_enabled = symbol(handle, "blkioq_set_completion_fd_enabled");
	lib->get_error_msg = symbol(handle, "blkio_get_error_msg");
	lib->alloc_mem_region = symbol(handle, "blkio_alloc_mem_region");
	lib->map_mem_region = symbol(handle, "blkio_map_mem_region");
	lib->read = symbol(handle, "blkioq_read");
	lib->do_io = symbol(handle, "blkioq_do_io");
	if (lib->read == blkioq_read)
		bench_die(path, "is the libblkio that this program is linked with");
}

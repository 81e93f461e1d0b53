/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Memory regions: allocating, mapping, and I/O with what is mapped and what is not. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "probe.h"

#define LEN ((size_t)64 << 10)

static struct blkio_mem_region allocated(struct blkio *b)
{
	struct blkio_mem_region r;

	MUST(blkio_alloc_mem_region(b, &r, LEN));
	return r;
}

/* Memory of the caller's own, with a file behind it. */
static struct blkio_mem_region own_region(void)
{
	int fd = memfd_create("probe", MFD_CLOEXEC);
	struct blkio_mem_region r = { .len = LEN, .fd = fd };

	MUST(ftruncate(fd, (off_t)LEN));
	r.addr = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(r.addr == MAP_FAILED ? -ENOMEM : 0);
	return r;
}

static void describe(const struct blkio_mem_region *r)
{
	show_text("len", "%zu", r->len);
	show_text("addr", "%s", (uintptr_t)r->addr % 4096 ? "odd" : "page-aligned");
	show("iova", (long)r->iova);
	show("fd_offset", r->fd_offset);
	show("flags", r->flags);
	show_text("fd", "%s, %s", r->fd < 0 ? "none" : "open",
		  fcntl(r->fd, F_GETFD) & FD_CLOEXEC ? "close-on-exec" : "survives exec");
	show_text("content", "%s", ((char *)r->addr)[0] ? "not zero" : "zero");
}

static void try_alloc(struct blkio *(*make)(void), const char *state, size_t len)
{
	char step[64];

	snprintf(step, sizeof(step), "alloc %zu, %s", len, state);
	STEP(step) {
		struct blkio *b = make();
		struct blkio_mem_region r = { .fd = -77 };
		int ret = blkio_alloc_mem_region(b, &r, len);

		show("alloc", ret);
		if (ret == 0)
			describe(&r);
	}
}

static void map_in_state(const char *step, struct blkio *(*make)(void))
{
	STEP(step) {
		struct blkio *b = make();
		struct blkio_mem_region r = own_region();

		SHOW(blkio_map_mem_region(b, &r));
		blkio_unmap_mem_region(b, &r);
	}
}

void group_regions(void)
{
	static const size_t lens[] = { 0, 1, 512, 4095, 4096, 65536, (size_t)1 << 62, SIZE_MAX };

	for (size_t i = 0; i < ARRAY_LEN(lens); i++)
		try_alloc(device_connected, "connected", lens[i]);
	try_alloc(device_created, "created", 4096);
	try_alloc(device_started, "started", 4096);

	map_in_state("map, created", device_created);
	map_in_state("map, connected", device_connected);
	map_in_state("map, started", device_started);

	STEP("free what was never mapped") {
		struct blkio *b = device_started();
		struct blkio_mem_region r = allocated(b);

		blkio_free_mem_region(b, &r);
		show("fd is open", fcntl(r.fd, F_GETFD) >= 0);
	}
	STEP("free what is mapped") {
		struct blkio *b = device_started();
		struct blkio_mem_region r = allocated(b);

		MUST(blkio_map_mem_region(b, &r));
		blkio_free_mem_region(b, &r);
		show("returned", 1);
	}
	STEP("free twice") {
		struct blkio *b = device_started();
		struct blkio_mem_region r = allocated(b);

		blkio_free_mem_region(b, &r);
		blkio_free_mem_region(b, &r);
		show("returned", 1);
	}
	STEP("free what was not allocated") {
		struct blkio *b = device_started();
		struct blkio_mem_region r = own_region();

		blkio_free_mem_region(b, &r);
		show("returned", 1);
		show("memory is there", msync(r.addr, LEN, MS_ASYNC));
	}
	STEP("free a changed region") {
		struct blkio *b = device_started();
		struct blkio_mem_region r = allocated(b);

		r.len /= 2;
		blkio_free_mem_region(b, &r);
		show("returned", 1);
		show("memory is there", msync(r.addr, LEN, MS_ASYNC));
	}
	STEP("destroy with regions") {
		struct blkio *b = device_started();
		struct blkio_mem_region mapped = allocated(b), other = allocated(b),
					own = own_region();

		MUST(blkio_map_mem_region(b, &mapped));
		MUST(blkio_map_mem_region(b, &own));
		blkio_destroy(&b);
		show("allocated memory", msync(mapped.addr, LEN, MS_ASYNC) ? -errno : 0);
		show("not mapped memory", msync(other.addr, LEN, MS_ASYNC) ? -errno : 0);
		show("own memory", msync(own.addr, LEN, MS_ASYNC) ? -errno : 0);
	}
}

/* ---- Mapping ------------------------------------------------------------------------------ */

static void try_map(const char *step, void (*change)(struct blkio_mem_region *r))
{
	STEP(step) {
		struct blkio *b = device_started();
		struct blkio_mem_region r = own_region();

		change(&r);
		SHOW(blkio_map_mem_region(b, &r));
	}
}

static void no_fd(struct blkio_mem_region *r)
{
	r->fd = -1;
}

static void closed_fd(struct blkio_mem_region *r)
{
	close(r->fd);
}

static void no_len(struct blkio_mem_region *r)
{
	r->len = 0;
}

static void odd_len(struct blkio_mem_region *r)
{
	r->len = 4097;
}

static void odd_addr(struct blkio_mem_region *r)
{
	r->addr = (char *)r->addr + 1;
	r->len -= 4096;
}

static void no_addr(struct blkio_mem_region *r)
{
	r->addr = NULL;
}

static void wrapping_len(struct blkio_mem_region *r)
{
	r->len = SIZE_MAX & ~4095ul;
}

static void with_flags(struct blkio_mem_region *r)
{
	r->flags = 1;
}

static void with_iova(struct blkio_mem_region *r)
{
	r->iova = 4096;
}

static void negative_offset(struct blkio_mem_region *r)
{
	r->fd_offset = -4096;
}

static void map_twice(void)
{
	STEP("twice") {
		struct blkio *b = device_started();
		struct blkio_mem_region r = own_region();

		SHOW(blkio_map_mem_region(b, &r));
		show("again", blkio_map_mem_region(b, &r));
		blkio_unmap_mem_region(b, &r);
		show("after unmap", blkio_map_mem_region(b, &r));
	}
	STEP("overlapping") {
		struct blkio *b = device_started();
		struct blkio_mem_region r = own_region(), part = r;

		part.addr = (char *)r.addr + 4096;
		part.fd_offset = 4096;
		part.len = 4096;
		MUST(blkio_map_mem_region(b, &r));
		SHOW(blkio_map_mem_region(b, &part));
	}
	STEP("as many as there may be, and one more") {
		struct blkio *b = device_started();
		uint64_t max = 0;
		int ret = 0;

		MUST(blkio_get_uint64(b, "max-mem-regions", &max));
		if (max > 1000)
			max = 1000;
		for (uint64_t i = 0; i < max && !ret; i++) {
			struct blkio_mem_region r = own_region();

			ret = blkio_map_mem_region(b, &r);
			close(r.fd);
		}
		show("as many", ret);
		if (max < 1000) {
			struct blkio_mem_region r = own_region();

			show("one more", blkio_map_mem_region(b, &r));
		}
	}
}

static void read_into(const char *what, struct blkioq *q, void *buf, size_t len)
{
	blkioq_read(q, 0, buf, len, NULL, 0);
	show_completion(what, q);
}

static void io_with_regions(void)
{
	STEP("I/O after the fd is closed") {
		struct blkio *b = device_started();
		struct blkio_mem_region r = own_region();

		MUST(blkio_map_mem_region(b, &r));
		close(r.fd);
		read_into("read", blkio_get_queue(b, 0), r.addr, 4096);
		show_data("data", r.addr, 0, 4096);
	}
	STEP("I/O to what is not mapped") {
		struct blkio *b = device_started();

		read_into("read", blkio_get_queue(b, 0), aligned_alloc(4096, 4096), 4096);
	}
	STEP("I/O to what was unmapped") {
		struct blkio *b = device_started();
		struct blkio_mem_region r = own_region();

		MUST(blkio_map_mem_region(b, &r));
		read_into("read", blkio_get_queue(b, 0), r.addr, 4096);
		blkio_unmap_mem_region(b, &r);
		read_into("read after unmap", blkio_get_queue(b, 0), r.addr, 4096);
	}
	STEP("I/O across two regions") {
		struct blkio *b = device_started();
		struct blkio_mem_region r = own_region(), half = r;

		half.len = LEN / 2;
		MUST(blkio_map_mem_region(b, &half));
		half.addr = (char *)r.addr + LEN / 2;
		half.fd_offset = LEN / 2;
		MUST(blkio_map_mem_region(b, &half));
		read_into("read", blkio_get_queue(b, 0), (char *)half.addr - 4096, 8192);
	}
	STEP("I/O past the end of a region") {
		struct blkio *b = device_started();
		struct blkio_mem_region r = own_region();

		r.len = LEN / 2;
		MUST(blkio_map_mem_region(b, &r));
		read_into("read", blkio_get_queue(b, 0), (char *)r.addr + LEN / 2 - 4096, 8192);
	}
	STEP("I/O with regions mapped in between") {
		struct blkio *b = device_started();
		struct blkio_mem_region r[3] = { own_region(), own_region(), own_region() };

		for (int i = 0; i < 3; i++) {
			MUST(blkio_map_mem_region(b, &r[i]));
			read_into("read", blkio_get_queue(b, 0), r[i].addr, 4096);
			show_data("data", r[i].addr, 0, 4096);
		}
	}
}

void group_mapping(void)
{
	try_map("no fd", no_fd);
	try_map("closed fd", closed_fd);
	try_map("no length", no_len);
	try_map("odd length", odd_len);
	try_map("odd address", odd_addr);
	try_map("no address", no_addr);
	try_map("length that wraps", wrapping_len);
	try_map("flags", with_flags);
	try_map("iova", with_iova);
	try_map("negative fd_offset", negative_offset);
	map_twice();
	io_with_regions();
	STEP("unmap of what is not mapped") {
		struct blkio *b = device_started();
		struct blkio_mem_region r = own_region();

		blkio_unmap_mem_region(b, &r);
		show("returned", 1);
	}
}

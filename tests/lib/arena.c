/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * See arena.h. A sparse file: what was never touched takes no memory, unless the driver pins it
 * all; then TEST_ARENA_MIB says how large it is to be.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "arena.h"
#include "test.h"

#define ARENA_MIB 1024
#define PAGE	  4096ul

static struct blkio_mem_region arena;
static size_t used;

void arena_new(void)
{
	const char *mib = getenv("TEST_ARENA_MIB");

	arena =
	    (struct blkio_mem_region){ .len = (mib ? strtoul(mib, NULL, 10) : ARENA_MIB) << 20 };
	arena.fd = (int)SYS(memfd_create("test-arena", MFD_CLOEXEC));
	SYS(ftruncate(arena.fd, (off_t)arena.len));
	arena.addr =
	    mmap(NULL, arena.len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, arena.fd, 0);
	if (arena.addr == MAP_FAILED)
		FAIL("mmap: %s", strerror(errno));
}

void *arena_alloc(size_t len)
{
	size_t at;

	if (!arena.addr)
		return NULL;
	len = (len + PAGE - 1) & ~(PAGE - 1);
	at = __atomic_fetch_add(&used, len, __ATOMIC_RELAXED); /* cases have threads */
	if (len > arena.len || at > arena.len - len)
		FAIL("the test arena is used up: %zu bytes, and %zu more", at, len);
	return (char *)arena.addr + at;
}

bool arena_owns(const void *p)
{
	return arena.addr && (const char *)p - (const char *)arena.addr >= 0 &&
	       (size_t)((const char *)p - (const char *)arena.addr) < arena.len;
}

void arena_map(struct blkio *b)
{
	if (arena.addr && get_bool(b, "needs-mem-regions"))
		CHECK_OK(blkio_map_mem_region(b, &arena));
}

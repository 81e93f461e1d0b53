/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Memory that a vhost-user server maps, region by region; or all at once, for servers without
 * memory slots. What it is told of is kept where it will have to be told again.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "virtio/vhost_user.h"

static struct vu_region to_region(const struct bk_region *region, int64_t fd_offset)
{
	return (struct vu_region){
		.guest_addr = region->iova,
		.len = region->len,
		.user_addr = region->addr,
		.fd_offset = fd_offset,
	};
}

/* ---- What is kept ------------------------------------------------------------------------- */

static bool is_kept(const struct vu_dev *d)
{
	return !vu_has(d, VU_PROTOCOL_MEM_SLOTS) || d->reconnect_timeout;
}

static int keep(struct vu_dev *d, const struct vu_region *region, int fd)
{
	struct vu_memory *bigger;
	int copy;

	if (!is_kept(d))
		return 0;
	bigger = reallocarray(d->memory, d->nr_memory + 1, sizeof(*bigger));
	if (!bigger)
		return bk_err(ENOMEM, "out of memory");
	d->memory = bigger;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return bk_err(errno, "cannot keep the fd of a memory region (%d): %m", fd);
	d->memory[d->nr_memory++] = (struct vu_memory){ *region, copy };
	return 0;
}

static void forget(struct vu_dev *d, uintptr_t addr)
{
	for (unsigned i = 0; i < d->nr_memory; i++) {
		if (d->memory[i].region.user_addr != addr)
			continue;
		close(d->memory[i].fd);
		d->memory[i] = d->memory[--d->nr_memory];
		break;
	}
	if (!d->nr_memory) {
		free(d->memory);
		d->memory = NULL;
	}
}

/* ---- Telling ------------------------------------------------------------------------------ */

static int add_region(struct vu_dev *d, const struct vu_region *region, int fd)
{
	struct vu_msg m = { .request = VU_ADD_MEM_REG, .size = sizeof(m.mem_reg) };

	m.mem_reg.region = *region;
	return vu_tell(d, &m, "ADD_MEM_REG", &fd, 1);
}

static int set_table(struct vu_dev *d)
{
	struct vu_msg m = { .request = VU_SET_MEM_TABLE };
	int fds[VU_REGIONS_MAX];

	m.mem_table.n = d->nr_memory;
	for (unsigned i = 0; i < d->nr_memory; i++) {
		m.mem_table.region[i] = d->memory[i].region;
		fds[i] = d->memory[i].fd;
	}
	m.size = offsetof(struct vu_msg, mem_table.region) - VU_HEADER_LEN +
		 d->nr_memory * sizeof(struct vu_region);
	return vu_tell(d, &m, "SET_MEM_TABLE", fds, d->nr_memory);
}

/*
 * The server maps everything anew, at addresses that differ: no ring may be in use meanwhile. Other
 * threads go on adding to theirs.
 */
static int change_table(struct vu_dev *d)
{
	int ret = vu_pause_queues(d);

	if (!ret)
		ret = set_table(d);
	return ret < 0 ? ret : vu_resume_queues(d);
}

int vu_return_memory(struct vu_dev *d)
{
	int ret = 0;

	if (!vu_has(d, VU_PROTOCOL_MEM_SLOTS))
		return d->nr_memory ? set_table(d) : 0;
	for (unsigned i = 0; i < d->nr_memory && !ret; i++)
		ret = add_region(d, &d->memory[i].region, d->memory[i].fd);
	return ret;
}

static int tell_of(struct vu_dev *d, const struct vu_region *region, int fd)
{
	int ret;

	if (vu_is_down(d))
		return virtio_check_alive(&d->v); /* it will be told when it returns */
	if (vu_has(d, VU_PROTOCOL_MEM_SLOTS))
		ret = add_region(d, region, fd);
	else
		ret = change_table(d);
	return vu_is_down(d) ? 0 : ret;
}

int vu_map(struct blkio *b, struct bk_region *region, int fd, int64_t fd_offset)
{
	struct vu_dev *d = container_of(b, struct vu_dev, v.b);
	struct vu_region r = to_region(region, fd_offset);
	int ret;

	pthread_mutex_lock(&d->lock);
	ret = keep(d, &r, fd);
	if (!ret) {
		ret = tell_of(d, &r, fd);
		if (ret < 0)
			forget(d, r.user_addr);
	}
	pthread_mutex_unlock(&d->lock);
	return ret;
}

void vu_unmap(struct blkio *b, const struct bk_region *region)
{
	struct vu_msg m = { .request = VU_REM_MEM_REG, .size = sizeof(m.mem_reg) };
	struct vu_dev *d = container_of(b, struct vu_dev, v.b);

	m.mem_reg.region = to_region(region, 0);
	pthread_mutex_lock(&d->lock);
	forget(d, region->addr);
	if (vu_is_down(d))
		; /* there is nobody to tell */
	else if (vu_has(d, VU_PROTOCOL_MEM_SLOTS))
		vu_tell(d, &m, "REM_MEM_REG", NULL, 0);
	else if (d->nr_memory) /* an empty table is refused by some; the next one replaces it */
		change_table(d);
	pthread_mutex_unlock(&d->lock);
}

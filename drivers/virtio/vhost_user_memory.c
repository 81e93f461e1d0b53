/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Memory that a vhost-user server maps, region by region; or all at once, for servers without
 * memory slots. The driver keeps what it sent where it may have to send it again.
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
	return !vu_has(d, VU_PROTOCOL_MEM_SLOTS) || d->comeback.timeout_ms || d->v.b.num_vrings;
}

static int keep(struct vu_dev *d, const struct vu_region *region, int fd, bool guest)
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
	d->memory[d->nr_memory++] =
	    (struct vu_memory){ .region = *region, .fd = copy, .guest = guest };
	return 0;
}

static struct vu_memory *find(const struct vu_dev *d, uintptr_t addr)
{
	for (unsigned i = 0; i < d->nr_memory; i++) {
		if (d->memory[i].region.user_addr == addr)
			return &d->memory[i];
	}
	return NULL;
}

static void forget(struct vu_dev *d, uintptr_t addr)
{
	struct vu_memory *m = find(d, addr);

	if (m) {
		close(m->fd);
		*m = d->memory[--d->nr_memory];
	}
	if (!d->nr_memory) {
		free(d->memory);
		d->memory = NULL;
	}
}

/* Whether the server is to have it. */
static bool is_wanted(const struct vu_dev *d, bool guest)
{
	return guest || !d->held;
}

/* ---- Telling ------------------------------------------------------------------------------ */

static int add_region(struct vu_dev *d, const struct vu_region *region, int fd)
{
	struct vu_msg m = { .request = VU_ADD_MEM_REG, .size = sizeof(m.mem_reg) };

	m.mem_reg.region = *region;
	return vu_send(d, &m, "ADD_MEM_REG", &fd, 1);
}

static int remove_region(struct vu_dev *d, const struct vu_region *region)
{
	struct vu_msg m = { .request = VU_REM_MEM_REG, .size = sizeof(m.mem_reg) };

	m.mem_reg.region = *region;
	m.mem_reg.region.fd_offset = 0;
	return vu_send(d, &m, "REM_MEM_REG", NULL, 0);
}

static int set_table(struct vu_dev *d, bool only_guests)
{
	struct vu_msg m = { .request = VU_SET_MEM_TABLE };
	int fds[VU_REGIONS_MAX], ret;
	unsigned n = 0;

	for (unsigned i = 0; i < d->nr_memory; i++) {
		if (only_guests && !d->memory[i].guest)
			continue;
		m.mem_table.region[n] = d->memory[i].region;
		fds[n++] = d->memory[i].fd;
	}
	m.mem_table.n = n;
	m.size = offsetof(struct vu_msg, mem_table.region) - VU_HEADER_LEN +
		 n * sizeof(struct vu_region);
	ret = vu_send(d, &m, "SET_MEM_TABLE", fds, n);
	for (unsigned i = 0; i < d->nr_memory && !ret; i++)
		d->memory[i].shown = d->memory[i].guest || !only_guests;
	return ret;
}

/* First what is too much: there are few slots. */
static int set_slots(struct vu_dev *d, bool only_guests)
{
	int ret = 0;

	for (unsigned i = 0; i < d->nr_memory && !ret; i++) {
		struct vu_memory *m = &d->memory[i];

		if (m->shown && only_guests && !m->guest)
			ret = remove_region(d, &m->region);
		m->shown &= ret < 0 || !only_guests || m->guest;
	}
	for (unsigned i = 0; i < d->nr_memory && !ret; i++) {
		struct vu_memory *m = &d->memory[i];

		if (m->shown || (only_guests && !m->guest))
			continue;
		ret = add_region(d, &m->region, m->fd);
		m->shown = !ret;
	}
	return ret;
}

int vu_show_memory(struct vu_dev *d, bool only_guests)
{
	if (vu_has(d, VU_PROTOCOL_MEM_SLOTS))
		return set_slots(d, only_guests);
	return d->nr_memory ? set_table(d, only_guests) : 0;
}

int vu_return_memory(struct vu_dev *d)
{
	for (unsigned i = 0; i < d->nr_memory; i++)
		d->memory[i].shown = false;
	return vu_show_memory(d, d->held);
}

/*
 * The server maps everything again, at addresses that differ: no ring may be in use meanwhile.
 * Other threads go on adding to theirs. After a failure rings may be left stopped.
 */
static int change_table(struct vu_dev *d)
{
	int ret = d->held ? vu_pause_guests(d) : vu_pause_queues(d);

	if (!ret)
		ret = set_table(d, d->held);
	if (ret < 0)
		return ret;
	return d->held ? vu_resume_guests(d) : vu_resume_queues(d);
}

/* A table that the server had taken before. */
static void restore_table(struct vu_dev *d)
{
	const struct bk_err_msg why = bk_err_save();

	if (change_table(d) < 0 && !vu_is_down(d))
		virtio_fail(&d->v,
			    "the vhost-user server refuses memory that it had accepted before");
	bk_err_restore(&why);
}

static int send_region(struct vu_dev *d, const struct vu_region *region, int fd)
{
	struct vu_memory *m = find(d, region->user_addr);
	int ret;

	if (vu_is_down(d))
		return virtio_check_alive(&d->v); /* it will be told when it returns */
	if (vu_has(d, VU_PROTOCOL_MEM_SLOTS))
		ret = add_region(d, region, fd);
	else
		ret = change_table(d);
	if (m)
		m->shown = !ret;
	return vu_is_down(d) ? 0 : ret;
}

int vu_map(struct virtio_blk *v, struct bk_region *region, int fd, int64_t fd_offset)
{
	struct vu_dev *d = to_vu(v);
	struct vu_region r = to_region(region, fd_offset);
	int ret = vu_lock(d, "mapping memory");

	if (ret < 0)
		return ret;
	ret = keep(d, &r, fd, region->guest);
	if (!ret && is_wanted(d, region->guest)) {
		ret = send_region(d, &r, fd);
		if (ret < 0) {
			forget(d, r.user_addr);
			if (d->nr_memory && !vu_has(d, VU_PROTOCOL_MEM_SLOTS))
				restore_table(d);
		}
	}
	pthread_mutex_unlock(&d->lock);
	return ret;
}

void vu_unmap(struct virtio_blk *v, const struct bk_region *region)
{
	const struct vu_region r = to_region(region, 0);
	struct vu_dev *d = to_vu(v);

	vu_lock_anyway(d, "unmapping memory");
	forget(d, region->addr);
	if (vu_is_down(d) || !is_wanted(d, region->guest))
		; /* there is nobody to tell */
	else if (vu_has(d, VU_PROTOCOL_MEM_SLOTS))
		remove_region(d, &r);
	else if (d->nr_memory) /* an empty table is refused by some; the next one replaces it */
		restore_table(d);
	pthread_mutex_unlock(&d->lock);
}

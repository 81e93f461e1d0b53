/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How a ring ends (ring.h), and how to know that no request of it is left.
 *
 * Completions of a single-issuer ring come when its owner enters, and nobody else may, not even
 * when the owner has exited. All that the kernel tells other threads is that some request has
 * ended. So such a ring holds the only write end of a pipe, among its registered files. When the
 * owner has exited and others close the ring, the kernel frees it once its last request has ended:
 * then the read end sees the end of the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "uring/ring.h"

/* Newer than the headers of Debian 12. */
#ifndef IORING_UNREGISTER_RING_FDS
#define IORING_UNREGISTER_RING_FDS 21
#endif

#define FOREIGN_NS (9 * NSEC_PER_SEC / 2)

/* ---- The pipe ----------------------------------------------------------------------------- */

bool uring_register_file(struct uring *u, int fd)
{
	int end[2] = { -1, -1 };
	int ret = -1;

	if (u->disabled && pipe2(end, O_CLOEXEC | O_NONBLOCK) == 0) {
		const int files[] = { fd, end[1] };

		ret = uring_register(u, IORING_REGISTER_FILES, files, ARRAY_SIZE(files));
		close(end[1]);
		if (ret == 0)
			u->freed_fd = end[0];
		else
			close(end[0]);
	}
	/* Without the pipe, also for want of descriptors. */
	if (ret < 0)
		ret = uring_register(u, IORING_REGISTER_FILES, &fd, 1);
	return ret == 0;
}

static bool is_freed(const struct uring *u)
{
	char c;

	return u->freed_fd >= 0 && read(u->freed_fd, &c, 1) == 0;
}

/* ---- Closing it for good ------------------------------------------------------------------ */

/* Its registered ring fd, which holds the ring as ours does, went with it. */
static bool owner_has_exited(const struct uring *u)
{
	return u->owner_tid && syscall(__NR_tgkill, getpid(), u->owner_tid, 0) < 0 &&
	       errno == ESRCH;
}

static void *copy_memory(const void *from, size_t len)
{
	void *copy = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (copy != MAP_FAILED)
		memcpy(copy, from, len);
	return copy;
}

/* Put the copy in the place of the mapping, so that pointers stay good. */
static void replace(void *map, void *copy, size_t len)
{
	/* It does not fail: both are whole mappings, and no memory is needed. */
	mremap(copy, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, map);
}

/*
 * Let go of the ring: of its descriptor and of its memory, which becomes a copy that the kernel
 * knows nothing of. No completion comes any more.
 */
static void let_go(struct uring *u)
{
	unsigned tail = u->cq_head + uring_ready(u);
	void *ring = copy_memory(u->ring_map, u->ring_map_len);
	void *sqes = copy_memory(u->sqes, u->sqes_map_len);

	if (ring == MAP_FAILED || sqes == MAP_FAILED) {
		if (ring != MAP_FAILED)
			munmap(ring, u->ring_map_len);
		return;
	}
	replace(u->ring_map, ring, u->ring_map_len);
	replace(u->sqes, sqes, u->sqes_map_len);
	/* Later ones may have been copied in part. */
	*u->cq_ktail = tail;
	close(u->fd);
	u->fd = -1;
}

void uring_exit(struct uring *u)
{
	/*
	 * A closed ring goes away later; the device file must be closed when we are done. But
	 * these wait for all requests, so not if the device does not answer.
	 */
	if (!uring_inflight(u)) {
		uring_register(u, IORING_UNREGISTER_FILES, NULL, 0);
		uring_register(u, IORING_UNREGISTER_BUFFERS, NULL, 0);
	}
	/* Only the owner can; otherwise the slot is its own until the thread ends. */
	if (u->owner && u->owner == uring_thread_id) {
		struct io_uring_rsrc_update reg = { .offset = u->enter_fd };

		uring_register(u, IORING_UNREGISTER_RING_FDS, &reg, 1);
	}
	munmap(u->sqes, u->sqes_map_len);
	munmap(u->ring_map, u->ring_map_len);
	if (u->fd >= 0)
		close(u->fd);
	if (u->freed_fd >= 0)
		close(u->freed_fd);
}

/* ---- Draining ----------------------------------------------------------------------------- */

uint64_t uring_withdraw(struct uring *u, bool big)
{
	if (u->sq_tail == u->sq_submitted)
		return 0;
	u->room++;
	return u->sqes[(--u->sq_tail & u->sq_mask) << big].user_data;
}

/* Another thread's. */
static enum bk_drained drain_foreign(struct uring *u, bool for_good)
{
	/* Acquire: what the kernel did before it set the flag is done. */
	unsigned flags = __atomic_load_n(u->sq_kflags, __ATOMIC_ACQUIRE);

	/* If there is but one, it is enough to know that some request has ended. */
	if (uring_inflight(u) - uring_ready(u) == 1 && (flags & IORING_SQ_TASKRUN))
		return BK_QUIET;
	if (for_good && u->fd >= 0 && u->freed_fd >= 0 && owner_has_exited(u))
		let_go(u);
	if (is_freed(u))
		return BK_QUIET;
	if (!u->foreign_since)
		u->foreign_since = now_ns();
	return now_ns() - u->foreign_since < FOREIGN_NS ? BK_BUSY : BK_HELD;
}

/* Linux 6.0; what has been handed to a device cannot be cancelled. */
static void cancel_all(struct uring *u)
{
	struct io_uring_sync_cancel_reg reg = {
		.flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY,
	};

	uring_register(u, IORING_REGISTER_SYNC_CANCEL, &reg, 1);
}

enum bk_drained uring_drain(struct uring *u, bool cancel, bool for_good)
{
	int ret;

	if (uring_inflight(u) == uring_ready(u))
		return BK_BUSY;
	if (u->fd < 0)
		return drain_foreign(u, for_good);
	if (cancel)
		cancel_all(u);
	/* By its own descriptor: of the registered one, another thread knows nothing. */
	ret = uring_sys_enter(u->fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, URING_SIGSET_SIZE);
	return ret == -EEXIST ? drain_foreign(u, for_good) : BK_BUSY;
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See ring.h. System calls are made directly: liburing would only add a layer to the hot path. */
#include "uring/ring.h"

#include <sys/mman.h>

/* Newer than the headers of Debian 12. */
#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16) /* Linux 6.6 */
#endif
#ifndef IORING_UNREGISTER_RING_FDS
#define IORING_UNREGISTER_RING_FDS 21
#endif

#define EXIT_TRIES	5
#define ENOMEM_TRIES	20
#define ENOMEM_PAUSE_US 5000
#define NO_GUESS_MIN	64 /* calls */
#define NO_GUESS_MAX	1024

/* What the ring cannot do without: Linux 5.11. */
#define FEATURES_NEEDED (IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG)

__thread char uring_thread_mark __attribute__((tls_model("initial-exec")));

/* ---- System calls ------------------------------------------------------------------------- */

int uring_register(struct uring *u, unsigned opcode, const void *arg, unsigned nr_args)
{
	int ret = syscall(__NR_io_uring_register, u->fd, opcode, arg, nr_args);

	return ret < 0 ? -errno : ret;
}

/* ---- Set-up ------------------------------------------------------------------------------- */

static unsigned base_flags(const struct uring_config *c)
{
	return (c->iopoll ? IORING_SETUP_IOPOLL : 0) | (c->sq_poll ? IORING_SETUP_SQPOLL : 0) |
	       (c->big ? IORING_SETUP_SQE128 | IORING_SETUP_CQE32 : 0);
}

/*
 * Flags that make the ring faster, in the order in which older kernels lose them. COOP_TASKRUN: no
 * interrupt to run completions, they wait for the next return from the kernel. DEFER_TASKRUN: they
 * wait until the owner enters. Neither goes with SQPOLL, whose thread does that work.
 */
static int setup(struct uring *u, struct io_uring_params *p)
{
	const struct uring_config *c = &u->config;
	unsigned coop = c->sq_poll ? 0 : IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
	unsigned single = !c->single_issuer || c->sq_poll
			      ? 0
			      : IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
				    IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED;
	unsigned submit_all = IORING_SETUP_SUBMIT_ALL;
	const unsigned attempts[] = {
		(single ? single : coop) | submit_all | IORING_SETUP_NO_SQARRAY,
		(single ? single : coop) | submit_all,
		coop | submit_all,
		submit_all,
		0,
	};
	int fd = -1;

	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		*p = (struct io_uring_params){ .flags = base_flags(c) | attempts[i] };
		fd = syscall(__NR_io_uring_setup, c->entries, p);
		if (fd >= 0 || errno != EINVAL)
			break;
	}
	return fd < 0 ? -errno : fd;
}

/*
 * The kernel frees closed rings a moment later, and until then they may count against
 * RLIMIT_MEMLOCK: whoever adds and removes queues must not meet ENOMEM for that.
 */
static int setup_patiently(struct uring *u, struct io_uring_params *p)
{
	int fd = setup(u, p);

	for (int tries = 0; fd == -ENOMEM && tries < ENOMEM_TRIES; tries++) {
		usleep(ENOMEM_PAUSE_US);
		fd = setup(u, p);
	}
	return fd;
}

static int setup_error(int err, const struct uring_config *c)
{
	if (err == EINVAL && c->big)
		return bk_err(ENOSYS, "this kernel's io_uring has no large entries, which "
				      "passthrough commands need: Linux 5.19");
	switch (err) {
	case ENOSYS:
		return bk_err(err, "this kernel has no io_uring, or a sandbox hides it");
	case EPERM:
		return bk_err(err, "io_uring is not permitted here: see sysctl "
				   "kernel.io_uring_disabled and the sandbox's seccomp filter");
	case ENOMEM:
		return bk_err(err,
			      "no memory for a ring of %u entries; RLIMIT_MEMLOCK may be too "
			      "low",
			      c->entries);
	default:
		return bk_err(err, "cannot create an io_uring of %u entries: %s", c->entries,
			      strerror(err));
	}
}

static int map_ring(struct uring *u, const struct io_uring_params *p)
{
	size_t sq_len = p->sq_off.array + p->sq_entries * sizeof(unsigned);
	size_t cq_len =
	    p->cq_off.cqes + ((size_t)p->cq_entries << u->config.big) * sizeof(struct io_uring_cqe);

	u->ring_map_len = max_u64(sq_len, cq_len);
	u->sqes_map_len = ((size_t)p->sq_entries << u->config.big) * sizeof(struct io_uring_sqe);
	u->ring_map = mmap(NULL, u->ring_map_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			   u->fd, IORING_OFF_SQ_RING);
	if (u->ring_map == MAP_FAILED)
		return bk_err(errno, "cannot map the io_uring: %m");
	u->sqes = mmap(NULL, u->sqes_map_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		       u->fd, IORING_OFF_SQES);
	if (u->sqes == MAP_FAILED) {
		int err = errno;

		munmap(u->ring_map, u->ring_map_len);
		return bk_err(err, "cannot map the entries of the io_uring: %s", strerror(err));
	}
	return 0;
}

static void set_pointers(struct uring *u, const struct io_uring_params *p)
{
	char *ring = u->ring_map;

	u->sq_ktail = (unsigned *)(ring + p->sq_off.tail);
	u->sq_kflags = (unsigned *)(ring + p->sq_off.flags);
	u->sq_entries = p->sq_entries;
	u->sq_mask = p->sq_entries - 1;
	u->cq_khead = (unsigned *)(ring + p->cq_off.head);
	u->cq_ktail = (unsigned *)(ring + p->cq_off.tail);
	u->cq_kflags = (unsigned *)(ring + p->cq_off.flags);
	u->cqes = (struct io_uring_cqe *)(ring + p->cq_off.cqes);
	u->cq_mask = p->cq_entries - 1;

	/* Entry i is always at index i: the indirection is filled in once. */
	if (!(p->flags & IORING_SETUP_NO_SQARRAY)) {
		unsigned *array = (unsigned *)(ring + p->sq_off.array);

		for (unsigned i = 0; i < p->sq_entries; i++)
			array[i] = i;
	}
}

int uring_init(struct uring *u, const struct uring_config *config)
{
	struct io_uring_params p;
	int ret;

	*u = (struct uring){ .config = *config };
	u->fd = setup_patiently(u, &p);
	if (u->fd < 0)
		return setup_error(-u->fd, config);
	if ((p.features & FEATURES_NEEDED) != FEATURES_NEEDED) {
		close(u->fd);
		return bk_err(ENOSYS, "this kernel's io_uring is too old: Linux 5.11 is needed");
	}

	u->setup_flags = p.flags;
	u->features = p.features;
	u->disabled = p.flags & IORING_SETUP_R_DISABLED;
	u->room = p.sq_entries;
	if (!u->disabled && !config->iopoll && !config->sq_poll)
		u->fast = URING_FAST_ANY_THREAD;
	u->enter_flags = IORING_ENTER_GETEVENTS;
	u->enter_fd = u->fd;
	ret = map_ring(u, &p);
	if (ret < 0) {
		close(u->fd);
		return ret;
	}
	set_pointers(u, &p);
	return 0;
}

/* The first to enter a single-issuer ring becomes its owner. */
static int take_ownership(struct uring *u)
{
	struct io_uring_rsrc_update reg = { .offset = -1U, .data = u->fd };
	int ret = uring_register(u, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

	if (ret < 0)
		return bk_err(-ret, "cannot enable the io_uring: %s", strerror(-ret));
	u->disabled = false;
	u->fast = URING_FAST_ANY_THREAD;
	/* Saves the descriptor look-up of each enter. A thread has few such slots: no error. */
	if (uring_register(u, IORING_REGISTER_RING_FDS, &reg, 1) == 1) {
		u->enter_fd = reg.offset;
		u->enter_flags |= IORING_ENTER_REGISTERED_RING;
		u->owner = &uring_thread_mark;
		u->fast = URING_FAST_OWNER;
	}
	if (u->config.iopoll)
		u->fast = URING_FAST_NEVER;
	return 0;
}

void uring_exit(struct uring *u)
{
	const struct timespec second = { .tv_sec = 1 };
	const struct bk_wait w = { .timeout = &second };

	/* What the kernel has not been told of never happened. */
	u->room += u->sq_tail - u->sq_submitted;
	u->sq_tail = u->sq_submitted;
	for (int tries = 0; uring_inflight(u) && tries < EXIT_TRIES; tries++) {
		uring_enter(u, uring_inflight(u), &w);
		uring_seen(u, uring_ready(u));
	}
	/*
	 * A closed ring goes away later; the device file shall be closed when we are done. But
	 * these wait for all requests, so not if the device does not answer.
	 */
	if (!uring_inflight(u)) {
		uring_register(u, IORING_UNREGISTER_FILES, NULL, 0);
		uring_register(u, IORING_UNREGISTER_BUFFERS, NULL, 0);
	}
	/* Only the owner can; otherwise the slot is its own until the thread ends. */
	if (u->owner == &uring_thread_mark) {
		struct io_uring_rsrc_update reg = { .offset = u->enter_fd };

		uring_register(u, IORING_UNREGISTER_RING_FDS, &reg, 1);
	}
	munmap(u->sqes, u->sqes_map_len);
	munmap(u->ring_map, u->ring_map_len);
	close(u->fd);
}

/* ---- Completion fd ------------------------------------------------------------------------ */

void uring_notify(struct uring *u, int eventfd, bool on)
{
	/* EBUSY: it is registered already, and only silenced. */
	if (on)
		uring_register(u, IORING_REGISTER_EVENTFD, &eventfd, 1);
	__atomic_store_n(u->cq_kflags, on ? 0 : IORING_CQ_EVENTFD_DISABLED, __ATOMIC_RELAXED);
}

/* ---- Entering ----------------------------------------------------------------------------- */

/*
 * Is there work that only the kernel can do: completions that wait for this task to enter, or a
 * device to poll?
 */
static bool kernel_has_work(const struct uring *u)
{
	if (u->config.iopoll)
		return uring_inflight(u);
	return __atomic_load_n(u->sq_kflags, __ATOMIC_RELAXED) &
	       (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

/* With SQPOLL the kernel thread submits; it may have to be woken. */
static bool sq_poll_sleeps(const struct uring *u)
{
	/* Full barrier: it sets the flag, then looks at the tail; we the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(u->sq_kflags, __ATOMIC_RELAXED) & IORING_SQ_NEED_WAKEUP;
}

cold_path int uring_enter_failed(struct uring *u, int error)
{
	switch (error) {
	case EINTR:
	case ETIME:
		return -error;
	case EAGAIN:
	case EBUSY:
		/* Short of memory. Completions free some; without any, the caller has to know. */
		if (uring_inflight(u) > u->sq_tail - u->sq_submitted)
			return 0;
		return bk_err(error, "the kernel has no memory for more requests");
	case EEXIST:
		return bk_err(error, "a queue with property single-issuer was used by two threads");
	default:
		return bk_err(error, "io_uring_enter failed: %s", strerror(error));
	}
}

static int enter(struct uring *u, unsigned to_submit, unsigned wait_nr, unsigned flags,
		 const struct bk_wait *w)
{
	int ret;

	if (wait_nr && w && (w->timeout || w->sigmask)) {
		struct __kernel_timespec ts;
		struct io_uring_getevents_arg arg = {
			.sigmask = (uintptr_t)w->sigmask,
			.sigmask_sz = URING_SIGSET_SIZE,
		};

		if (w->timeout) {
			ts.tv_sec = w->timeout->tv_sec;
			ts.tv_nsec = w->timeout->tv_nsec;
			arg.ts = (uintptr_t)&ts;
		}
		ret = uring_sys_enter(u->enter_fd, to_submit, wait_nr, flags | IORING_ENTER_EXT_ARG,
				      &arg, sizeof(arg));
	} else {
		ret = uring_sys_enter(u->enter_fd, to_submit, wait_nr, flags, NULL,
				      URING_SIGSET_SIZE);
	}
	if (ret < 0)
		return uring_enter_failed(u, -ret);
	if (!u->config.sq_poll)
		u->sq_submitted += ret;
	return 0;
}

static int enter_ring(struct uring *u, unsigned to_submit, unsigned wait_nr,
		      const struct bk_wait *w)
{
	unsigned flags = 0;
	int ret;

	if (u->owner && u->owner != &uring_thread_mark)
		return uring_enter_failed(u, EEXIST);
	if (u->disabled) {
		ret = take_ownership(u);
		if (ret < 0)
			return ret;
	}
	if (u->config.sq_poll && to_submit) {
		u->sq_submitted = u->sq_tail;
		if (sq_poll_sleeps(u))
			flags |= IORING_ENTER_SQ_WAKEUP;
		else if (!wait_nr)
			return 0;
	}
	/* The kernel polls the device without looking at the clock: the caller has to. */
	if (u->config.iopoll && w && w->timeout)
		wait_nr = 0;
	/*
	 * A call that submitted something reports that and not the signal that ended the wait:
	 * whoever must hear of signals waits in a call of its own.
	 */
	if (w && w->interruptible && to_submit && wait_nr) {
		ret = enter(u, to_submit, 0, flags | u->enter_flags, w);
		to_submit = 0;
		if (ret < 0 || u->sq_tail != u->sq_submitted)
			return ret;
	}
	return enter(u, to_submit, wait_nr, flags | u->enter_flags, w);
}

cold_path void uring_guessed_wrong(struct uring *u)
{
	unsigned since = u->sq_submitted - u->wrong_at;

	/* If most were right since the last wrong one, the next may be soon. */
	u->no_guess = since > 2 * u->no_guess_last ? NO_GUESS_MIN
						   : min_u64(4 * u->no_guess_last, NO_GUESS_MAX);
	u->no_guess_last = u->no_guess;
	u->wrong_at = u->sq_submitted;
}

int uring_enter(struct uring *u, unsigned wait_nr, const struct bk_wait *w)
{
	unsigned to_submit = u->sq_tail - u->sq_submitted;

	if (wait_nr > uring_inflight(u))
		wait_nr = uring_inflight(u);
	if (to_submit) {
		uring_publish(u);
	} else {
		unsigned ready = uring_ready(u);

		/* What is in the ring is taken first; the kernel's work waits for the next time. */
		if (wait_nr ? ready >= wait_nr : (ready || !kernel_has_work(u)))
			return 0;
	}
	return enter_ring(u, to_submit, wait_nr, w);
}

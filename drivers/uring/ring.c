/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See ring.h. System calls are made directly: liburing would only add a layer to the hot path. */
#include "uring/ring.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "common/wait.h"

/* Newer than the headers of Debian 12. */
#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16) /* Linux 6.6 */
#endif

#define PATIENCE_NS  (3 * NSEC_PER_SEC)
#define PAUSE_MIN_NS 1000000
#define PAUSE_MAX_NS 50000000
#define NO_GUESS_MIN 64 /* calls */
#define NO_GUESS_MAX 1024

/* What the ring cannot do without: Linux 5.11. */
#define FEATURES_NEEDED (IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG)

__thread uint64_t uring_thread_id __attribute__((tls_model("initial-exec")));

/* ---- Threads ------------------------------------------------------------------------------ */

/* The child's thread is not the parent's, though it has its memory. */
static void forget_thread(void)
{
	uring_thread_id = 0;
}

static void forget_thread_in_child(void)
{
	pthread_atfork(NULL, NULL, forget_thread);
}

static void name_thread(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	static uint64_t last;

	pthread_once(&once, forget_thread_in_child);
	if (!uring_thread_id)
		uring_thread_id = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

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
 * A worker of the kernel frees closed rings later, when it is their turn and their last request has
 * ended. Until then they count against RLIMIT_MEMLOCK (before Linux 5.12, and again in recent ones)
 * and the memory of the cgroup, and so do those of the user's other processes; a thread for SQPOLL
 * counts against RLIMIT_NPROC. Whoever adds and removes queues must not meet ENOMEM or EAGAIN for
 * that.
 */
static bool may_come_back(int error)
{
	return error == -ENOMEM || error == -EAGAIN;
}

static int setup_patiently(struct uring *u, struct io_uring_params *p)
{
	struct bk_pauses pauses = { { now_ns() + PATIENCE_NS, -1 }, PAUSE_MIN_NS, PAUSE_MAX_NS };
	int fd = setup(u, p);

	while (may_come_back(fd) && !bk_pause(&pauses))
		fd = setup(u, p);
	return fd;
}

bool uring_is_permitted(void)
{
	/* Asks for nothing: a kernel that permits rings misses the parameters (EFAULT). */
	return syscall(__NR_io_uring_setup, 0, NULL) >= 0 || (errno != ENOSYS && errno != EPERM);
}

static int setup_error(int err, const struct uring_config *c)
{
	if (c->optional && uring_is_refused(-err))
		return -err;
	if (err == EINVAL && c->big)
		return bk_err(ENOSYS, "passthrough commands need io_uring's large entries, which "
				      "this kernel lacks: Linux 5.19 has them");
	switch (err) {
	case ENOSYS:
		return bk_err(err, "this kernel does not support io_uring, or a sandbox hides it");
	case EPERM:
		return bk_err(err, "io_uring is not permitted: see sysctl kernel.io_uring_disabled "
				   "and the sandbox's seccomp filter");
	case ENOMEM:
		return bk_err(err,
			      "cannot allocate a ring of %u entries; RLIMIT_MEMLOCK may be too low",
			      c->entries);
	case EAGAIN:
		return bk_err(err, "cannot create the thread of property \"sq-poll\": RLIMIT_NPROC "
				   "or the cgroup's pids.max may be too low");
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

	*u = (struct uring){ .config = *config, .freed_fd = -1 };
	u->fd = setup_patiently(u, &p);
	if (u->fd < 0)
		return setup_error(-u->fd, config);
	if ((p.features & FEATURES_NEEDED) != FEATURES_NEEDED) {
		close(u->fd);
		return config->optional
			   ? -ENOSYS
			   : bk_err(ENOSYS, "this kernel's io_uring is too old: Linux 5.11 or "
					    "later is required");
	}

	bk_debug("io_uring of %u entries: flags %#x, features %#x", p.sq_entries, p.flags,
		 p.features);
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
	u->owner_tid = syscall(__NR_gettid);
	u->fast = URING_FAST_ANY_THREAD;
	/* Saves the descriptor look-up of each enter. A thread has few such slots: no error. */
	if (uring_register(u, IORING_REGISTER_RING_FDS, &reg, 1) == 1) {
		u->enter_fd = reg.offset;
		u->enter_flags |= IORING_ENTER_REGISTERED_RING;
		name_thread();
		u->owner = uring_thread_id;
		u->fast = URING_FAST_OWNER;
	}
	if (u->config.iopoll)
		u->fast = URING_FAST_NEVER;
	return 0;
}

bool uring_splits_polled(const struct uring *u)
{
	return u->setup_flags & IORING_SETUP_NO_SQARRAY;
}

/* ---- Completion fd ------------------------------------------------------------------------ */

void uring_notify(struct uring *u, bool on)
{
	/* EBUSY: it is registered already, and only silenced. */
	if (on)
		uring_register(u, IORING_REGISTER_EVENTFD, &u->config.completion_fd, 1);
	__atomic_store_n(u->cq_kflags, on ? 0 : IORING_CQ_EVENTFD_DISABLED, __ATOMIC_RELAXED);
	u->notifies = on;
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
		return bk_err(error, "the kernel is out of memory for more requests");
	case EEXIST:
		return bk_err(error, "two threads used a queue with property single-issuer");
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

/* Sleep in ppoll() until fd is readable, which is when there is something to enter for. */
static int enter_and_poll(struct uring *u, unsigned to_submit, unsigned flags,
			  const struct bk_wait *w, int fd)
{
	int ret = enter(u, to_submit, 0, flags | u->enter_flags, NULL);

	if (ret < 0 || uring_ready(u))
		return ret;
	ret = wait_readable(fd, w);
	/* Completions may be waiting for this thread to enter. */
	return ret < 0 ? ret : enter(u, 0, 0, u->enter_flags, NULL);
}

/*
 * The wait that a signal ends is one in ppoll(), which either reports the signal or has not let it
 * in. io_uring_enter() does not report it as soon as the ring holds one completion.
 *
 * Completions that wait for the ring's owner (IORING_SETUP_DEFER_TASKRUN) do not wake who polls the
 * ring, only the eventfd. It is emptied first: whatever it stood for is looked for after that.
 */
static int enter_interruptibly(struct uring *u, unsigned to_submit, unsigned flags,
			       const struct bk_wait *w)
{
	int eventfd = u->config.completion_fd, ret;
	bool notified = u->notifies;
	eventfd_t events;

	if (!(u->setup_flags & IORING_SETUP_DEFER_TASKRUN))
		return enter_and_poll(u, to_submit, flags, w, u->fd);
	if (!notified)
		uring_notify(u, true);
	eventfd_read(eventfd, &events);
	ret = enter_and_poll(u, to_submit, flags, w, eventfd);
	/* A completion fd that is not enabled must not become readable. */
	if (!notified) {
		uring_notify(u, false);
		eventfd_read(eventfd, &events);
	}
	return ret;
}

static int enter_ring(struct uring *u, unsigned to_submit, unsigned wait_nr,
		      const struct bk_wait *w)
{
	unsigned flags = 0;
	int ret;

	if (u->owner && u->owner != uring_thread_id)
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
	if (w && w->interruptible && wait_nr)
		return enter_interruptibly(u, to_submit, flags, w);
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
	bk_trace(wrong_guess, u, u->no_guess);
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

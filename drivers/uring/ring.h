/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One io_uring: set-up with probed features, submission and completion ring, enter. Shared by the
 * drivers that talk to the kernel this way; knows nothing of requests.
 *
 * A ring belongs to one thread at a time. With single_issuer it belongs for ever to the thread that
 * enters it first, which need not be the one that made it.
 */
#ifndef BK_URING_RING_H
#define BK_URING_RING_H

#include <linux/io_uring.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver.h"

#ifndef IORING_FEAT_NO_IOWAIT
#define IORING_FEAT_NO_IOWAIT (1U << 17) /* Linux 6.15 */
#endif

struct uring_config {
	unsigned entries;
	bool iopoll;	    /* poll the device for completions instead of interrupts */
	bool single_issuer; /* bind to one thread; completions run when it enters */
	bool sq_poll;	    /* a kernel thread watches the submission ring */
	bool big;	    /* 128-byte SQEs and 32-byte CQEs, for passthrough commands */
	bool optional;	    /* there is another way: no message where uring_is_refused() */
	int completion_fd;  /* the eventfd of uring_notify(); -1: never notifies */
};

/* Who may enter with nothing to look at but the rings: enabled, no polling of either kind. */
enum uring_fast { URING_FAST_NEVER, URING_FAST_ANY_THREAD, URING_FAST_OWNER };

struct uring {
	/* submission */
	struct io_uring_sqe *sqes;
	unsigned *sq_ktail, *sq_kflags;
	unsigned sq_tail;      /* ours; published to *sq_ktail by uring_enter() */
	unsigned sq_submitted; /* up to here the kernel has been told */
	unsigned sq_mask, sq_entries;
	unsigned room; /* sq_entries minus what is prepared and not yet seen: neither ring
			* overflows */
	/* completion */
	unsigned cq_head; /* ours; published by uring_seen() */
	unsigned cq_mask;
	unsigned *cq_khead, *cq_ktail, *cq_kflags;
	struct io_uring_cqe *cqes;
	/* entering */
	int enter_fd;	      /* fd, or its index among the thread's registered rings */
	unsigned enter_flags; /* always passed */
	uint64_t owner;	      /* thread that registered the ring fd; 0: not registered */
	enum uring_fast fast, fast_later; /* now; after uring_speed_up() */
	bool disabled;			  /* single_issuer, not yet entered */
	bool notifies;			  /* uring_notify() */
	/* the end: uring/end.c */
	pid_t owner_tid;       /* of a single-issuer ring; 0: none yet */
	int64_t foreign_since; /* now_ns() when another thread than the owner began to drain it */
	int freed_fd;	       /* end of file: the kernel has freed the ring; -1: there is none */
	/* guessing: uring_guess() */
	unsigned no_guess;	/* so many calls to come do not */
	unsigned no_guess_last; /* what it was after the last wrong guess */
	unsigned wrong_at;	/* sq_submitted then */
	struct uring_config config;
	unsigned setup_flags, features; /* IORING_SETUP_*, IORING_FEAT_* */
	int fd;				/* -1: uring_drain() closed it */
	void *ring_map;
	size_t ring_map_len, sqes_map_len;
};

/* Does the kernel, or a sandbox, let this process create rings? */
bool uring_is_permitted(void);

/* On failure *u is to be forgotten, not exited. */
int uring_init(struct uring *u, const struct uring_config *config);

/* What it returned: are rings not permitted here, or not known? */
static inline bool uring_is_refused(int ret)
{
	return ret == -EPERM || ret == -ENOSYS;
}

/*
 * Let requests name fd by index 0 (IOSQE_FIXED_FILE), which saves looking it up for each. Once,
 * right after uring_init(). Returns whether they can.
 */
bool uring_register_file(struct uring *u, int fd);

/* Close it. What is still in flight the kernel ends later. */
void uring_exit(struct uring *u);

/*
 * Take back the last entry that was prepared and that the kernel was not told of: its user_data, or
 * 0 when there is none.
 */
uint64_t uring_withdraw(struct uring *u, bool big);

/*
 * Let the kernel finish what it can without waiting: completions may be in the ring afterwards.
 * From any thread. What is not in the ring then is busy; or, of another thread's single-issuer
 * ring, known to be quiet, or held. for_good: no more completions are wanted than are there.
 */
enum bk_drained uring_drain(struct uring *u, bool cancel, bool for_good);

/* io_uring_register(2): >= 0 or a negative errno value, no message. */
int uring_register(struct uring *u, unsigned opcode, const void *arg, unsigned nr_args);

/* Make the completion fd fire, or stop. The fd is registered with the ring on first use. */
void uring_notify(struct uring *u, bool on);

/*
 * Does the block layer split polled requests? By what came in the same release: Linux 6.6, whose
 * polled requests may wait.
 */
bool uring_splits_polled(const struct uring *u);

static inline unsigned uring_inflight(const struct uring *u)
{
	return u->sq_entries - u->room;
}

/*
 * The next free SQE, contents undefined; NULL when the ring is full. Whatever is in flight has been
 * read by the kernel or has an entry of its own, so entries are free as long as there is room. big:
 * what config.big is, known when compiling.
 */
static inline struct io_uring_sqe *uring_get_sqe(struct uring *u, bool big)
{
	if (unlikely(!u->room))
		return NULL;
	u->room--;
	return u->sqes + ((u->sq_tail++ & u->sq_mask) << big);
}

/* The i-th SQE after those that were prepared, for who counts u->room and u->sq_tail himself. */
static inline struct io_uring_sqe *uring_sqe_ahead(const struct uring *u, int i)
{
	return u->sqes + ((u->sq_tail + i) & u->sq_mask);
}

/* How many completions can be looked at. */
static inline unsigned uring_ready(const struct uring *u)
{
	/* Acquire: entries below the tail are written before the tail is. */
	return __atomic_load_n(u->cq_ktail, __ATOMIC_ACQUIRE) - u->cq_head;
}

/* The i-th of them. */
static inline const struct io_uring_cqe *uring_cqe(const struct uring *u, unsigned i, bool big)
{
	return &u->cqes[((u->cq_head + i) & u->cq_mask) << big];
}

/* Give the first n back, without counting u->room. */
static inline void uring_advance(struct uring *u, unsigned n)
{
	u->cq_head += n;
	/* Release: we are done reading the entries before the kernel may write them. */
	__atomic_store_n(u->cq_khead, u->cq_head, __ATOMIC_RELEASE);
}

/* Give the first n back. */
static inline void uring_seen(struct uring *u, unsigned n)
{
	u->room += n;
	uring_advance(u, n);
}

/* ---- Entering ----------------------------------------------------------------------------- */

#define URING_SIGSET_SIZE (_NSIG / 8)

/*
 * Tells threads apart, also from those that have ended and from those of a parent process; 0: this
 * thread owns no ring. A registered ring fd is an index into a table of the thread, so in another
 * thread it is another ring or none.
 */
extern __thread uint64_t uring_thread_id __attribute__((tls_model("initial-exec")));

static inline int uring_sys_enter(int fd, unsigned to_submit, unsigned min_complete, unsigned flags,
				  const void *arg, size_t arg_size)
{
#if defined(__x86_64__) && !defined(__ILP32__)
	/* libc's syscall() costs more instructions than all around it. */
	register long r10 __asm__("r10") = flags;
	register const void *r8 __asm__("r8") = arg;
	register size_t r9 __asm__("r9") = arg_size;
	long ret = __NR_io_uring_enter;

	__asm__ volatile("syscall"
			 : "+a"(ret)
			 : "D"((long)fd), "S"((long)to_submit), "d"((long)min_complete), "r"(r10),
			   "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
#else
	int ret = syscall(__NR_io_uring_enter, fd, to_submit, min_complete, flags, arg, arg_size);

	return ret < 0 ? -errno : ret;
#endif
}

/* Show the kernel all that was prepared. */
static inline void uring_publish(struct uring *u)
{
	/* Release: entries are written before the tail that shows them. */
	__atomic_store_n(u->sq_ktail, u->sq_tail, __ATOMIC_RELEASE);
}

/* Is there anything else to think of than entries to submit, of which there will be some? */
static inline bool uring_is_ready(const struct uring *u, const struct bk_wait *w)
{
	if (unlikely(w))
		return false;
	return likely(u->fast == URING_FAST_ANY_THREAD) ||
	       (u->fast == URING_FAST_OWNER && u->owner == uring_thread_id);
}

/* The same for the entries that were prepared. */
static inline bool uring_is_fast(const struct uring *u, const struct bk_wait *w)
{
	return likely(u->sq_tail != u->sq_submitted) && uring_is_ready(u, w);
}

/* There is something else to do than to submit, at the next enter. */
static inline void uring_slow_down(struct uring *u)
{
	if (u->fast)
		u->fast_later = u->fast;
	u->fast = URING_FAST_NEVER;
}

static inline void uring_speed_up(struct uring *u)
{
	if (!u->fast)
		u->fast = u->fast_later;
}

/*
 * Are all completions likely to be there when the call that submits returns? So it is with what
 * comes from the page cache, and a call that does not look for completions is cheaper (by 6 % of
 * such a read). Not with others in flight, whose completions may be waiting for us to look. A
 * device pays for wrong guesses with one more call in a thousand: uring_guessed_wrong().
 */
static inline bool uring_guess(struct uring *u)
{
	if (!u->no_guess)
		return uring_inflight(u) == u->sq_tail - u->sq_submitted;
	u->no_guess--;
	return false;
}

/*
 * Where uring_is_fast(): uring_enter(), but an error is -errno without message. only_submit: do not
 * look for completions.
 */
static inline int uring_enter_fast(struct uring *u, unsigned wait_nr, bool only_submit)
{
	unsigned flags = u->enter_flags;
	int ret;

	if (only_submit) {
		flags &= ~IORING_ENTER_GETEVENTS;
		wait_nr = 0;
	}
	uring_publish(u);
	ret = uring_sys_enter(u->enter_fd, u->sq_tail - u->sq_submitted, wait_nr, flags, NULL,
			      URING_SIGSET_SIZE);
	if (likely(ret >= 0))
		u->sq_submitted += ret;
	return ret;
}

/* Completions are missing: do not guess again so soon. */
void uring_guessed_wrong(struct uring *u);

/* bk_driver.enter: submit all, and wait for wait_nr completions to be in the ring. */
int uring_enter(struct uring *u, unsigned wait_nr, const struct bk_wait *w);

/* What uring_enter() returns, and the message, for what uring_enter_fast() returned. */
int uring_enter_failed(struct uring *u, int error);

#endif

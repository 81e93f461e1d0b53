/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Small things that core and drivers share and that know nothing of block devices. */
#ifndef BK_UTIL_H
#define BK_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Keeps what is rarely done from weighing on the code around the call. */
#define cold_path __attribute__((noinline, cold))

/* On hot paths, where the compiler takes a tracepoint for much code. */
#define force_inline inline __attribute__((always_inline))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline bool is_power_of_2(uint64_t n)
{
	return n && !(n & (n - 1));
}

/* to: a power of two; the caller excludes overflow. */
static inline uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) & ~(to - 1);
}

/* So far behind an address of the caller's, which may be one that no object can have. */
static inline void *bk_behind(const void *address, size_t bytes)
{
	return (void *)((uintptr_t)address + bytes);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The kernel's pages are of this size or of a multiple that is a power of two: 64 KiB on some. */
#define PAGE_SIZE_MIN 4096U

static inline uint64_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

/* In a loop that waits for memory to change: lets the sibling hyperthread run. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#else
	__asm__ volatile("" ::: "memory");
#endif
}

#define NSEC_PER_SEC  1000000000LL
#define NSEC_PER_MSEC 1000000LL

static inline int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* Less than nothing is nothing. */
static inline struct timespec to_timespec(int64_t ns)
{
	if (ns < 0)
		ns = 0;
	return (struct timespec){ .tv_sec = ns / NSEC_PER_SEC, .tv_nsec = ns % NSEC_PER_SEC };
}

/* In nanoseconds. INT64_MAX, which is as good as never: NULL, and more than 292 years. */
static inline int64_t to_ns(const struct timespec *t)
{
	int64_t ns;

	if (!t || __builtin_mul_overflow(t->tv_sec, NSEC_PER_SEC, &ns) ||
	    __builtin_add_overflow(ns, t->tv_nsec, &ns))
		return INT64_MAX;
	return ns;
}

/* The value of now_ns() when a time that begins now is over; INT64_MAX: never. */
static inline int64_t deadline_in(int64_t ns)
{
	int64_t at;

	return __builtin_add_overflow(now_ns(), ns, &at) ? INT64_MAX : at;
}

static inline int64_t deadline_after(const struct timespec *timeout)
{
	return timeout ? deadline_in(to_ns(timeout)) : INT64_MAX;
}

#endif

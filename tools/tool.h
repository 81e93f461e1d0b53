/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the tools share besides targets: messages, options, units, signals, time. Exit status: 0
 * success, 1 failure, 2 wrong usage, 128 + signal when interrupted.
 */
#ifndef TOOL_H
#define TOOL_H

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define EXIT_USAGE 2

/* Each tool says its name and what --help prints. */
extern const char tool_name[], tool_help[];

/* ---- Messages: to standard error, behind the tool's name ---------------------------------- */

void tool_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void tool_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void tool_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/*
 * First of all: if the caller closed a standard descriptor, a device that the tool opens would get
 * its number, and the tool would write its output to the device.
 */
void tool_begin(void);
/* Before exiting with success: was all of standard output written? */
void tool_close_stdout(void);

/* ---- Options ------------------------------------------------------------------------------ */

/* getopt_long(), which does --help (h) and --version (V), and ends the tool on unknown options. */
int tool_getopt(int argc, char **argv, const char *shorts, const struct option *longs);

/* ---- Option values: on nonsense they end the tool with EXIT_USAGE -------------------------- */

struct tool_range {
	uint64_t min, max;
};

/* Decimal, with K, M, G or T for powers of 1024. what: the option's name, for messages. */
uint64_t tool_size(const char *what, const char *text, struct tool_range range);
uint64_t tool_count(const char *what, const char *text, struct tool_range range);
/* Seconds, which may have a fraction, in ns. */
int64_t tool_seconds(const char *what, const char *text);
/* The index of text among the n words. */
size_t tool_choice(const char *what, const char *text, const char *const *words, size_t n);

bool tool_parse_size(const char *text, uint64_t *value);

/* ---- Output ------------------------------------------------------------------------------- */

struct tool_text {
	char s[32];
};
struct tool_text tool_human_size(double bytes); /* "1.50 GiB" */
struct tool_text tool_human_time(int64_t ns);	/* "12.3 us" */

/* ---- Time and signals --------------------------------------------------------------------- */

#define NSEC_PER_SEC 1000000000LL

int64_t tool_now_ns(void);

/*
 * From now on SIGINT, SIGTERM and SIGHUP set tool_stop_signal; a second one ends the tool. A file
 * that may not be so large is an error (EFBIG), rather than SIGXFSZ.
 */
void tool_catch_signals(void);
extern _Atomic int tool_stop_signal; /* lock-free */

/* Start a thread that signals do not disturb. 0 or a positive errno value. */
int tool_thread(pthread_t *thread, void *(*work)(void *), void *arg);

/* They end the tool when there is no memory. */
void *tool_alloc(size_t n, size_t size); /* zeroed */
void *tool_realloc(void *p, size_t n, size_t size);

#endif

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See tool.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

_Atomic int tool_stop_signal;

/* ---- Messages ----------------------------------------------------------------------------- */

static void say(const char *fmt, va_list ap)
{
	fflush(stdout);
	fprintf(stderr, "%s: ", tool_name);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

#define SAY(fmt)                                                                                   \
	do {                                                                                       \
		va_list ap_;                                                                       \
		va_start(ap_, fmt);                                                                \
		say(fmt, ap_);                                                                     \
		va_end(ap_);                                                                       \
	} while (0)

static _Noreturn void end_by_usage(void)
{
	fprintf(stderr, "Try \"%s --help\".\n", tool_name);
	exit(EXIT_USAGE);
}

void tool_warn(const char *fmt, ...)
{
	SAY(fmt);
}

void tool_die(const char *fmt, ...)
{
	SAY(fmt);
	exit(EXIT_FAILURE);
}

void tool_usage(const char *fmt, ...)
{
	SAY(fmt);
	end_by_usage();
}

/* With O_PATH, the descriptor exists, and reading and writing fail as if it did not. */
void tool_begin(void)
{
	int fd;

	do
		fd = open("/", O_PATH | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

void tool_close_stdout(void)
{
	if (ferror(stdout) || fclose(stdout))
		tool_die("cannot write to standard output: %s", strerror(errno));
}

/* ---- Options ------------------------------------------------------------------------------ */

int tool_getopt(int argc, char **argv, const char *shorts, const struct option *longs)
{
	int c;

	argv[0] = (char *)tool_name; /* for getopt's messages */
	c = getopt_long(argc, argv, shorts, longs, NULL);
	if (c == '?')
		end_by_usage();
	if (c == 'h')
		fputs(tool_help, stdout);
	if (c == 'V')
		printf("%s (libblkio in C) " BLKIO_VERSION "\n", tool_name);
	if (c == 'h' || c == 'V') {
		tool_close_stdout();
		exit(EXIT_SUCCESS);
	}
	return c;
}

/* ---- Option values ------------------------------------------------------------------------ */

static bool parse_decimal(const char *text, char **end, uint64_t *value)
{
	unsigned long long v;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	v = strtoull(text, end, 10);
	*value = v;
	return !errno;
}

bool tool_parse_size(const char *text, uint64_t *value)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;

	if (!parse_decimal(text, &end, value))
		return false;
	unit = *end ? strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end) : NULL;
	for (ptrdiff_t i = unit ? unit - units : -1; i >= 0; i--) {
		if (__builtin_mul_overflow(*value, 1024, value))
			return false;
	}
	end += unit != NULL;
	if (unit && !strcmp(end, "iB"))
		end += 2;
	return !*end;
}

static uint64_t in_range(const char *what, const char *text, uint64_t value,
			 struct tool_range range)
{
	if (value < range.min || value > range.max)
		tool_usage("%s must be from %llu to %llu, got \"%s\"", what,
			   (unsigned long long)range.min, (unsigned long long)range.max, text);
	return value;
}

uint64_t tool_size(const char *what, const char *text, struct tool_range range)
{
	uint64_t value;

	if (!tool_parse_size(text, &value))
		tool_usage("%s must be a number of bytes, like 4096, 64K or 1G; got \"%s\"", what,
			   text);
	return in_range(what, text, value, range);
}

uint64_t tool_count(const char *what, const char *text, struct tool_range range)
{
	uint64_t value;
	char *end;

	if (!parse_decimal(text, &end, &value) || *end)
		tool_usage("%s must be a number, got \"%s\"", what, text);
	return in_range(what, text, value, range);
}

int64_t tool_seconds(const char *what, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= 0 && value <= 1e9))
		tool_usage("%s must be a number of seconds, like 10 or 0.5; got \"%s\"", what,
			   text);
	return (int64_t)(value * NSEC_PER_SEC);
}

size_t tool_choice(const char *what, const char *text, const char *const *words, size_t n)
{
	char all[256] = "";

	for (size_t i = 0; i < n; i++) {
		if (!strcmp(text, words[i]))
			return i;
		strncat(all, i ? ", " : "", sizeof(all) - strlen(all) - 1);
		strncat(all, words[i], sizeof(all) - strlen(all) - 1);
	}
	tool_usage("%s must be one of %s; got \"%s\"", what, all, text);
}

/* ---- Output ------------------------------------------------------------------------------- */

static struct tool_text scaled(double value, double step, const char *const *units, size_t n)
{
	struct tool_text text;
	size_t i = 0;

	while (value >= step && i + 1 < n) {
		value /= step;
		i++;
	}
	snprintf(text.s, sizeof(text.s), "%.*f %s",
		 !i || value >= 100 ? 0
		 : value >= 10	    ? 1
				    : 2,
		 value, units[i]);
	return text;
}

struct tool_text tool_human_size(double bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };

	return scaled(bytes, 1024, units, ARRAY_LEN(units));
}

struct tool_text tool_human_time(int64_t ns)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };

	return scaled((double)ns, 1000, units, ARRAY_LEN(units));
}

/* ---- Time and signals --------------------------------------------------------------------- */

int64_t tool_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static const int stop_signals[] = { SIGINT, SIGTERM, SIGHUP };

static void on_signal(int sig);

/* What a parent such as nohup ignores stays ignored. */
static void handle_signals(void (*handler)(int))
{
	/* No SA_RESTART: waiting ends. */
	struct sigaction action = { .sa_handler = handler }, old;

	for (size_t i = 0; i < ARRAY_LEN(stop_signals); i++) {
		if (!sigaction(stop_signals[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(stop_signals[i], &action, NULL);
	}
}

/* Once: whoever is in a hurry signals again, with the same or another. */
static void on_signal(int sig)
{
	tool_stop_signal = sig;
	handle_signals(SIG_DFL);
}

void tool_catch_signals(void)
{
	handle_signals(on_signal);
	signal(SIGXFSZ, SIG_IGN);
}

int tool_thread(pthread_t *thread, void *(*work)(void *), void *arg)
{
	sigset_t all, old;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	error = pthread_create(thread, NULL, work, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return error;
}

void *tool_alloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		tool_die("out of memory");
	return p;
}

void *tool_realloc(void *p, size_t n, size_t size)
{
	p = reallocarray(p, n, size);
	if (!p)
		tool_die("out of memory");
	return p;
}

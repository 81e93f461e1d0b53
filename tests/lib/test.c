/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The harness: one child process per case and target, whose output the parent collects until it
 * ends or its time is over. What the child found goes to the parent as exit status and text.
 */
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sys.h"
#include "test.h"

#define EXIT_SKIP	77
#define DEFAULT_TIMEOUT 20
#define SKIP_MARK	"SKIP: "

struct outcome {
	int status; /* as from waitpid() */
	bool timed_out;
	unsigned timeout;
	char *text;
	size_t len;
};

struct totals {
	unsigned number, failed, skipped;
};

static char dir[4096], tmpfs_dir[4096];
static volatile sig_atomic_t stopped;

const char *test_dir(void)
{
	return dir;
}

const char *test_tmpfs_dir(void)
{
	return tmpfs_dir[0] ? tmpfs_dir : NULL;
}

/* ---- Verdicts of the child ---------------------------------------------------------------- */

void test_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	printf("%s:%d: ", file, line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(NULL);
	_exit(EXIT_FAILURE); /* not exit(): another thread may still be using what it would free */
}

void test_skip(const char *fmt, ...)
{
	va_list ap;

	printf(SKIP_MARK);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(NULL);
	_exit(EXIT_SKIP);
}

/* "-22 (EINVAL)" where the number can be an error, else the number. */
static const char *number(char *buf, size_t size, intmax_t n)
{
	const char *name = n < 0 && n > -200 ? strerrorname_np((int)-n) : NULL;

	if (name)
		snprintf(buf, size, "%jd (-%s)", n, name);
	else
		snprintf(buf, size, "%jd", n);
	return buf;
}

void test_eq(const char *file, int line, const char *what, intmax_t got, intmax_t want)
{
	char a[40], b[40];

	if (got != want)
		test_fail(file, line, "%s is %s, not %s; last error message: \"%s\"", what,
			  number(a, sizeof(a), got), number(b, sizeof(b), want),
			  blkio_get_error_msg());
}

void test_str(const char *file, int line, const char *what, const char *got, const char *want)
{
	if (!got || strcmp(got, want))
		test_fail(file, line, "%s is \"%s\", not \"%s\"", what, got ? got : "(NULL)", want);
}

void test_mem(const char *file, int line, const char *what, const void *got, const void *want,
	      size_t len)
{
	const unsigned char *g = got, *w = want;

	for (size_t i = 0; i < len; i++) {
		if (g[i] != w[i])
			test_fail(file, line, "%s: byte %zu of %zu is 0x%02x, not 0x%02x", what, i,
				  len, g[i], w[i]);
	}
}

void test_ok(const char *file, int line, const char *what, intmax_t ret)
{
	char a[40];

	if (ret < 0)
		test_fail(file, line, "%s failed: %s, \"%s\"", what, number(a, sizeof(a), ret),
			  blkio_get_error_msg());
}

#define FORGOTTEN "no-message-was-set"

void test_forget_error(void)
{
	struct blkio *b;

	blkio_create(FORGOTTEN, &b);
}

void test_err(const char *file, int line, const char *what, intmax_t ret, int errnum, ...)
{
	const char *msg = blkio_get_error_msg();
	const char *part;
	char a[40], b[40];
	va_list ap;

	if (ret != -errnum)
		test_fail(file, line, "%s gave %s, not %s; message: \"%s\"", what,
			  number(a, sizeof(a), ret), number(b, sizeof(b), -errnum), msg);
	if (!msg[0] || strstr(msg, FORGOTTEN))
		test_fail(file, line, "%s gave %s but set no message", what,
			  number(a, sizeof(a), ret));
	va_start(ap, errnum);
	while ((part = va_arg(ap, const char *))) {
		if (!strstr(msg, part))
			test_fail(file, line, "%s: the message \"%s\" does not contain \"%s\"",
				  what, msg, part);
	}
	va_end(ap);
}

/* ---- One case ------------------------------------------------------------------------------- */

static _Noreturn void run_child(const struct test *t, const struct target *target)
{
	const struct rlimit no_core = { 0, 0 };
	struct device *d = NULL;
	unsigned fds, maps;

	setrlimit(RLIMIT_CORE, &no_core);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	if (target)
		d = device_new(target);
	fds = count_fds();
	maps = count_special_maps();
	t->run(d);
	if (count_fds() != fds) {
		list_fds();
		FAIL("%u file descriptors were open before the case, %u after", fds, count_fds());
	}
	if (count_special_maps() != maps)
		FAIL("%u memfd or ring mappings before the case, %u after", maps,
		     count_special_maps());
	device_free(d);
	exit(EXIT_SUCCESS);
}

/* Collect output until the writers are gone or time is over. */
static bool collect(int fd, unsigned timeout, FILE *out)
{
	int64_t deadline = clock_ns() + timeout * 1000000000LL;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char buf[4096];

	for (;;) {
		int64_t left_ms = (deadline - clock_ns()) / 1000000;
		ssize_t n;

		if (left_ms <= 0 || stopped)
			return false;
		if (poll(&p, 1, (int)left_ms) <= 0)
			continue;
		n = read(fd, buf, sizeof(buf));
		if (n <= 0)
			return true;
		fwrite(buf, 1, (size_t)n, out);
	}
}

/* Sanitizers and valgrind take their time. */
static unsigned timeout_of(const struct test *t)
{
	const char *scale = getenv("TEST_TIMEOUT_SCALE");

	return (t->timeout ? t->timeout : DEFAULT_TIMEOUT) * (scale ? (unsigned)atoi(scale) : 1);
}

static struct outcome run_case(const struct test *t, const struct target *target)
{
	struct outcome o = { .timeout = timeout_of(t) };
	FILE *out = open_memstream(&o.text, &o.len);
	int pipefd[2];
	pid_t pid;

	fflush(NULL);
	if (!out || pipe2(pipefd, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		perror("test harness");
		exit(EXIT_FAILURE);
	}
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0);
		dup2(pipefd[1], STDOUT_FILENO);
		dup2(pipefd[1], STDERR_FILENO);
		close(pipefd[0]);
		close(pipefd[1]);
		run_child(t, target);
	}
	setpgid(pid, pid);
	close(pipefd[1]);
	o.timed_out = !collect(pipefd[0], o.timeout, out);
	if (o.timed_out) {
		describe_process(out, pid);
		kill(-pid, SIGKILL);
	}
	waitpid(pid, &o.status, 0);
	close(pipefd[0]);
	fclose(out);
	return o;
}

/* ---- Report --------------------------------------------------------------------------------- */

static void print_indented(char *text)
{
	char *save;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		printf("# %s\n", line);
}

static void print_verdict(const struct outcome *o)
{
	if (o->timed_out)
		printf("# timed out after %u s\n", o->timeout);
	else if (WIFSIGNALED(o->status))
		printf("# killed by signal %d (%s)\n", WTERMSIG(o->status),
		       strsignal(WTERMSIG(o->status)));
	else if (WEXITSTATUS(o->status))
		printf("# exit status %d\n", WEXITSTATUS(o->status));
}

static void report(const struct test *t, const struct target *target, struct outcome *o,
		   struct totals *sum)
{
	bool exited = !o->timed_out && WIFEXITED(o->status);
	bool skipped = exited && WEXITSTATUS(o->status) == EXIT_SKIP;
	bool passed = skipped || (exited && WEXITSTATUS(o->status) == EXIT_SUCCESS);
	char *reason = skipped ? strstr(o->text, SKIP_MARK) : NULL;

	printf("%sok %u - %s%s%s", passed ? "" : "not ", ++sum->number, t->name,
	       target ? " on " : "", target ? target->name : "");
	if (reason)
		printf(" # SKIP %.*s", (int)strcspn(reason + strlen(SKIP_MARK), "\n"),
		       reason + strlen(SKIP_MARK));
	printf("\n");
	if (!passed)
		print_verdict(o);
	if (!skipped)
		print_indented(o->text);
	sum->failed += !passed;
	sum->skipped += skipped;
	free(o->text);
}

/* ---- The table ------------------------------------------------------------------------------ */

static bool suits(const struct test *t, const struct target *target)
{
	return (target->traits & t->traits) == t->traits && !(target->traits & t->without) &&
	       (!target->env || getenv(target->env));
}

static unsigned runs_of(const struct test *t, const char *only_target)
{
	unsigned n = 0;

	if (!t->traits)
		return !only_target;
	for (const struct target *g = targets; g->name; g++)
		n += suits(t, g) && (!only_target || !strcmp(g->name, only_target));
	return n;
}

static void run_test(const struct test *t, const char *only_target, struct totals *sum)
{
	struct outcome o;

	if (!runs_of(t, only_target))
		return;
	if (!t->traits) {
		o = run_case(t, NULL);
		report(t, NULL, &o, sum);
		return;
	}
	for (const struct target *g = targets; g->name; g++) {
		if (!suits(t, g) || (only_target && strcmp(g->name, only_target)) || stopped)
			continue;
		o = run_case(t, g);
		report(t, g, &o, sum);
	}
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void remove_dirs(void)
{
	nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	if (tmpfs_dir[0])
		nftw(tmpfs_dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void make_dirs(void)
{
	char *base = realpath(getenv("TEST_DIR") ?: ".", NULL);

	snprintf(dir, sizeof(dir), "%s/scratch.XXXXXX", base ? base : "");
	free(base);
	if (!mkdtemp(dir)) {
		perror(dir);
		exit(EXIT_FAILURE);
	}
	snprintf(tmpfs_dir, sizeof(tmpfs_dir), "/dev/shm/blkio-test.XXXXXX");
	if (!mkdtemp(tmpfs_dir))
		tmpfs_dir[0] = '\0';
}

static void stop(int sig)
{
	(void)sig;
	stopped = true;
}

/* Interrupted, or out of time: end the case that runs and clean up. */
static void stop_on_signals(void)
{
	const struct sigaction action = { .sa_handler = stop }; /* poll() returns: no SA_RESTART */

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static void help(const char *program)
{
	printf("Usage: %s [--target NAME] [--list] [CASE...]\n"
	       "Runs test cases, all by default, and prints TAP.\n"
	       "  --target NAME  only on this target (or in the variable TEST_TARGET):",
	       program);
	for (const struct target *g = targets; g->name; g++)
		printf(" %s", g->name);
	printf("\n  --list         print the names of the cases\n"
	       "TEST_DIR is where scratch files go (default: here); TEST_TIMEOUT_SCALE multiplies\n"
	       "the time each case has.\n");
}

static bool wanted(const struct test *t, char **names, int n)
{
	for (int i = 0; i < n; i++) {
		if (!strcmp(names[i], t->name))
			return true;
	}
	return !n;
}

int test_main(int argc, char **argv, const struct test *tests, size_t nr_tests)
{
	static const struct option options[] = {
		{ "target", required_argument, NULL, 't' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *only_target = getenv("TEST_TARGET");
	struct totals sum = { 0 };
	unsigned plan = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "t:lh", options, NULL)) != -1) {
		switch (opt) {
		case 't':
			only_target = optarg;
			break;
		case 'l':
			for (size_t i = 0; i < nr_tests; i++)
				printf("%s\n", tests[i].name);
			return EXIT_SUCCESS;
		default:
			help(argv[0]);
			return opt == 'h' ? EXIT_SUCCESS : 2;
		}
	}
	make_dirs();
	stop_on_signals();
	for (size_t i = 0; i < nr_tests; i++) {
		if (wanted(&tests[i], argv + optind, argc - optind))
			plan += runs_of(&tests[i], only_target);
	}
	printf("1..%u%s\n", plan, plan ? "" : " # SKIP nothing here suits the request");
	for (size_t i = 0; i < nr_tests && !stopped; i++) {
		if (wanted(&tests[i], argv + optind, argc - optind))
			run_test(&tests[i], only_target, &sum);
	}
	remove_dirs();
	return sum.failed || stopped ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The harness: one child process per case and target, whose output the parent collects until the
 * child ends or its time is over. The child reports by exit status and text.
 */
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sys.h"
#include "test.h"

#define DEFAULT_TIMEOUT 20
#define JOBS_MAX	64

struct outcome {
	int status; /* as from waitpid() */
	bool timed_out;
	unsigned timeout;
	char *text;
	size_t len;
};

static char dir[4096], tmpfs_dir[4096];
static volatile sig_atomic_t stopped;
static const void *case_data;

const char *test_dir(void)
{
	return dir;
}

const char *test_tmpfs_dir(void)
{
	return tmpfs_dir[0] ? tmpfs_dir : NULL;
}

const void *test_data(void)
{
	return case_data;
}

/* ---- Scratch directories -------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	if (path[0])
		nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* For all cases; others may pass through it. */
static bool make_scratch(char *template)
{
	return mkdtemp(template) && !chmod(template, 0711);
}

static void make_dirs(void)
{
	char *base = realpath(getenv("TEST_DIR") ?: ".", NULL);

	snprintf(dir, sizeof(dir), "%s/scratch.XXXXXX", base ? base : "");
	free(base);
	if (!make_scratch(dir)) {
		perror(dir);
		exit(EXIT_FAILURE);
	}
	snprintf(tmpfs_dir, sizeof(tmpfs_dir), "/dev/shm/blkio-test.XXXXXX");
	if (!make_scratch(tmpfs_dir))
		tmpfs_dir[0] = '\0';
}

/* Cases that run at the same time have directories of their own. */
static void enter_dir_of(char *path, size_t size, unsigned number)
{
	size_t len = strlen(path);

	if (!len)
		return;
	snprintf(path + len, size - len, "/%u", number);
	SYS(mkdir(path, 0700));
}

static void remove_dir_of(const char *parent, unsigned number)
{
	char path[sizeof(dir) + 16] = "";

	if (parent[0])
		snprintf(path, sizeof(path), "%s/%u", parent, number);
	remove_tree(path);
}

/* ---- One case ------------------------------------------------------------------------------- */

struct running {
	const struct test *t;
	const struct target *target;
	unsigned number;
	pid_t pid;
	int fd; /* its output; -1: it has ended */
	int64_t deadline;
	FILE *out;
	struct outcome o;
};

static _Noreturn void run_child(const struct running *r)
{
	const struct rlimit no_core = { 0, 0 };
	struct device *d = NULL;
	unsigned fds, maps;

	setrlimit(RLIMIT_CORE, &no_core);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	enter_dir_of(dir, sizeof(dir), r->number);
	enter_dir_of(tmpfs_dir, sizeof(tmpfs_dir), r->number);
	if (r->target)
		d = device_new(r->target);
	fds = count_fds();
	maps = count_special_maps();
	case_data = r->t->data;
	r->t->run(d);
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

/* Sanitizers and valgrind take their time. */
static unsigned timeout_of(const struct test *t)
{
	const char *scale = getenv("TEST_TIMEOUT_SCALE");

	return (t->timeout ? t->timeout : DEFAULT_TIMEOUT) * (scale ? (unsigned)atoi(scale) : 1);
}

static void start_case(struct running *r)
{
	int pipefd[2];

	r->o = (struct outcome){ .timeout = timeout_of(r->t) };
	r->deadline = clock_ns() + r->o.timeout * 1000000000LL;
	r->out = open_memstream(&r->o.text, &r->o.len);
	fflush(NULL);
	if (!r->out || pipe2(pipefd, O_CLOEXEC) < 0 || (r->pid = fork_dependent()) < 0) {
		perror("test harness");
		exit(EXIT_FAILURE);
	}
	if (!r->pid) {
		setpgid(0, 0);
		dup2(pipefd[1], STDOUT_FILENO);
		dup2(pipefd[1], STDERR_FILENO);
		close_range(STDERR_FILENO + 1, UINT_MAX, 0); /* also those of other cases */
		run_child(r);
	}
	setpgid(r->pid, r->pid);
	close(pipefd[1]);
	r->fd = pipefd[0];
}

static void end_case(struct running *r, bool timed_out)
{
	r->o.timed_out = timed_out;
	if (timed_out) {
		describe_process(r->out, r->pid);
		kill(-r->pid, SIGKILL);
	}
	waitpid(r->pid, &r->o.status, 0);
	close(r->fd);
	r->fd = -1;
	fclose(r->out);
	remove_dir_of(dir, r->number);
	remove_dir_of(tmpfs_dir, r->number);
}

/* Collect output until the writers are gone or time is over. */
static void watch_case(struct running *r, bool readable)
{
	char buf[4096];
	ssize_t n;

	if (stopped || clock_ns() >= r->deadline) {
		end_case(r, true);
	} else if (readable) {
		n = read(r->fd, buf, sizeof(buf));
		if (n > 0)
			fwrite(buf, 1, (size_t)n, r->out);
		else
			end_case(r, false);
	}
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

static void report(const struct running *r, unsigned *failed)
{
	const struct outcome *o = &r->o;
	bool exited = !o->timed_out && WIFEXITED(o->status);
	bool skipped = exited && WEXITSTATUS(o->status) == EXIT_SKIP;
	bool passed = skipped || (exited && WEXITSTATUS(o->status) == EXIT_SUCCESS);
	char *reason = skipped ? strstr(o->text, TEST_SKIP_MARK) : NULL;

	printf("%sok %u - %s%s%s", passed ? "" : "not ", r->number, r->t->name,
	       r->target ? " on " : "", r->target ? r->target->name : "");
	if (reason)
		printf(" # SKIP %.*s", (int)strcspn(reason + strlen(TEST_SKIP_MARK), "\n"),
		       reason + strlen(TEST_SKIP_MARK));
	printf("\n");
	if (!passed)
		print_verdict(o);
	if (!skipped)
		print_indented(o->text);
	*failed += !passed;
	free(o->text);
}

/* ---- The table ------------------------------------------------------------------------------ */

/* What the command line asks for. */
struct selection {
	const struct test *tests;
	size_t nr_tests;
	const char *target; /* NULL: all; else names with commas between them */
	char **names;
	int nr_names; /* 0: all */
};

static bool wanted(const struct selection *s, const struct test *t)
{
	for (int i = 0; i < s->nr_names; i++) {
		if (!strcmp(s->names[i], t->name))
			return true;
	}
	return !s->nr_names;
}

static bool is_among(const char *names, const char *name)
{
	for (size_t len; *names; names += len + !!names[len]) {
		len = strcspn(names, ",");
		if (len == strlen(name) && !memcmp(names, name, len))
			return true;
	}
	return false;
}

static bool suits(const struct selection *s, const struct test *t, const struct target *target)
{
	return (target->traits & t->traits) == t->traits && !(target->traits & t->without) &&
	       (!target->env || getenv(target->env)) &&
	       (!s->target || is_among(s->target, target->name));
}

/* Each case, on each target that suits it. The caller frees it. */
static struct running *list_runs(const struct selection *s, unsigned *nr)
{
	struct running *runs = NULL;
	size_t size;
	FILE *list = open_memstream((char **)&runs, &size);

	*nr = 0;
	for (size_t i = 0; i < s->nr_tests; i++) {
		struct running r = { .t = &s->tests[i] };

		if (!wanted(s, r.t))
			continue;
		if (!r.t->traits && !s->target) {
			r.number = ++*nr;
			fwrite(&r, sizeof(r), 1, list);
		}
		for (const struct target *g = targets; r.t->traits && g->name; g++) {
			if (!suits(s, r.t, g))
				continue;
			r.target = g;
			r.number = ++*nr;
			fwrite(&r, sizeof(r), 1, list);
		}
	}
	fclose(list);
	return runs;
}

/* Wait for output or the end of one of them. Returns how many go on. */
static unsigned watch_cases(struct running *runs, unsigned nr)
{
	struct pollfd fds[JOBS_MAX];
	struct running *of[JOBS_MAX];
	int64_t deadline = INT64_MAX, left_ms;
	unsigned n = 0, left = 0;

	for (unsigned i = 0; i < nr; i++) {
		if (runs[i].fd < 0)
			continue;
		of[n] = &runs[i];
		fds[n++] = (struct pollfd){ .fd = runs[i].fd, .events = POLLIN };
		deadline = runs[i].deadline < deadline ? runs[i].deadline : deadline;
	}
	left_ms = (deadline - clock_ns()) / 1000000 + 1;
	if (poll(fds, n, left_ms > 0 && !stopped ? (int)left_ms : 0) < 0)
		memset(fds, 0, sizeof(fds)); /* a signal */
	for (unsigned i = 0; i < n; i++) {
		watch_case(of[i], fds[i].revents);
		left += of[i]->fd >= 0;
	}
	return left;
}

/* Reports in the order of the list, whichever ends first. */
static void run_all(struct running *runs, unsigned nr, unsigned jobs, unsigned *failed)
{
	unsigned started = 0, reported = 0, going = 0;

	while (reported < nr && !(stopped && reported == started)) {
		for (; started < nr && going < jobs && !stopped; going++)
			start_case(&runs[started++]);
		going = watch_cases(runs + reported, started - reported);
		for (; reported < started && runs[reported].fd < 0; reported++)
			report(&runs[reported], failed);
	}
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
	printf("Usage: %s [--jobs N] [--target NAME[,NAME...]] [--list] [CASE...]\n"
	       "Runs test cases, all by default, and prints TAP.\n"
	       "  --jobs N       N at a time (1), for those that mostly sleep\n"
	       "  --target NAME  only on these targets (or in the variable TEST_TARGET):",
	       program);
	for (const struct target *g = targets; g->name; g++)
		printf(" %s", g->name);
	printf("\n  --list         print the names of the cases\n"
	       "TEST_DIR is where scratch files go (default: here); TEST_TIMEOUT_SCALE multiplies\n"
	       "the time each case has.\n");
}

int test_main(int argc, char **argv, const struct test *tests, size_t nr_tests)
{
	static const struct option options[] = {
		{ "jobs", required_argument, NULL, 'j' },
		{ "target", required_argument, NULL, 't' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct selection s = { tests, nr_tests, getenv("TEST_TARGET"), NULL, 0 };
	unsigned plan, jobs = 1, failed = 0;
	struct running *runs;
	int opt;

	while ((opt = getopt_long(argc, argv, "j:t:lh", options, NULL)) != -1) {
		switch (opt) {
		case 't':
			s.target = optarg;
			break;
		case 'j':
			jobs = (unsigned)atoi(optarg);
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
	if (!jobs || jobs > JOBS_MAX) {
		fprintf(stderr, "%s: --jobs takes 1 to %d\n", argv[0], JOBS_MAX);
		return 2;
	}
	s.names = argv + optind;
	s.nr_names = argc - optind;
	make_dirs();
	remember_ring_limits();
	stop_on_signals();
	runs = list_runs(&s, &plan);
	printf("1..%u%s\n", plan, plan ? "" : " # SKIP nothing here suits the request");
	run_all(runs, plan, jobs, &failed);
	free(runs);
	remove_tree(dir);
	remove_tree(tmpfs_dir);
	return failed || stopped ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See matrix.h. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "matrix.h"

static const struct kind_info {
	const char *name;
	const char *property, *value; /* that makes queues of this kind; NULL: none */
} kinds[NR_KINDS] = {
	[PLAIN] = { "plain" },
	[POLL] = { "poll" },
	[SINGLE_ISSUER] = { "single-issuer", "single-issuer", "true" },
	[SQ_POLL] = { "sq-poll", "sq-poll", "true" },
	[REGISTERED] = { "register-buffers", "register-buffers", "true" },
	[BOUNCED] = { "bounce-buffers", "bounce-buffers", "8" },
	[SPINNING] = { "poll-max-ns", "poll-max-ns", "10000000" },
};

static const char *const conditions[NR_CONDITIONS] = {
	[QUIET] = "quiet",
	[SIGNALS] = "signals",
	[OTHER_THREAD] = "another thread",
	[SILENT] = "silent device",
	[PEER_STOPPED] = "stopped server",
	[PEER_DEAD] = "dead server",
	[FAILED_BEFORE] = "failed before",
	[SEVERAL_QUEUES] = "several queues",
	[EXHAUSTED] = "no descriptors left",
	[ALL_AT_ONCE] = "several queues, another thread, signals",
};

/* ---- Instances ---------------------------------------------------------------------------- */

static void set_kind(struct setting *s)
{
	const struct kind_info *k = &kinds[s->kind];
	int ret;

	if (s->kind == POLL && !get_bool(s->b, "supports-poll-queues"))
		SKIP("%s has no poll queues", s->d->target->name);
	CHECK_OK(blkio_set_int(s->b, "num-queues", s->kind == POLL ? 0 : s->nr_queues));
	CHECK_OK(blkio_set_int(s->b, "num-poll-queues", s->kind == POLL ? s->nr_queues : 0));
	if (!k->property)
		return;
	ret = blkio_set_str(s->b, k->property, k->value);
	if (ret == -ENOENT)
		SKIP("driver %s has no property %s", s->d->driver, k->property);
	CHECK_OK(ret);
}

/* Calls that fail and must leave things as they were. */
static void fail_before_connect(struct setting *s)
{
	char *path;

	if (!(s->d->target->traits & T_PATH))
		return;
	CHECK_OK(blkio_get_str(s->b, "path", &path));
	CHECK_OK(blkio_set_str(s->b, "path", "/nonexistent"));
	CHECK(blkio_connect(s->b) < 0);
	CHECK_OK(blkio_set_str(s->b, "path", path));
	free(path);
}

static void fail_before_start(struct setting *s)
{
	CHECK_OK(blkio_set_int(s->b, "num-queues", 0));
	CHECK_OK(blkio_set_int(s->b, "num-poll-queues", 0));
	if (!get_bool(s->b, "can-add-queues"))
		CHECK_ERR(blkio_start(s->b), EINVAL, "num-queues");
	CHECK_OK(blkio_set_int(s->b, "num-queues", INT32_MAX));
	if (get_int(s->b, "max-queues") < INT32_MAX)
		CHECK_ERR(blkio_start(s->b), EINVAL, "max-queues");
}

void setting_start(struct setting *s)
{
	bool fail = s->condition == FAILED_BEFORE;

	if (s->condition >= PEER_STOPPED && s->condition <= PEER_DEAD && !s->d->server.pid)
		SKIP("%s has no server", s->d->target->name);
	s->nr_queues = s->condition == SEVERAL_QUEUES || s->condition == ALL_AT_ONCE ? 4 : 1;
	s->b = device_create(s->d);
	if (s->fd) {
		CHECK_OK(blkio_set_str(s->b, "path", ""));
		CHECK_OK(blkio_set_int(s->b, "fd", s->fd));
	}
	if (s->reconnect_ms)
		CHECK_OK(blkio_set_int(s->b, "reconnect-timeout", s->reconnect_ms));
	if (fail)
		fail_before_connect(s);
	CHECK_OK(blkio_connect(s->b));
	if (s->nr_queues > get_int(s->b, "max-queues"))
		SKIP("%s has but %d queues", s->d->target->name, get_int(s->b, "max-queues"));
	if (fail)
		fail_before_start(s);
	set_kind(s);
	CHECK_OK(blkio_start(s->b));
}

struct blkioq *setting_queue(struct setting *s, int index)
{
	return s->kind == POLL ? blkio_get_poll_queue(s->b, index) : blkio_get_queue(s->b, index);
}

/* ---- Conditions --------------------------------------------------------------------------- */

static void on_signal(int sig)
{
	(void)sig;
}

/* Of this thread, so that no other one takes the signals. */
static timer_t start_storm(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct itimerspec ms = { { 0, 1000000 }, { 0, 1000000 } };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	timer_t timer;

	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	SYS(sigaction(SIGUSR1, &action, NULL));
	SYS(timer_create(CLOCK_MONOTONIC, &event, &timer));
	SYS(timer_settime(timer, 0, &ms, NULL));
	return timer;
}

static void call_in_storm(struct setting *s, void (*call)(struct setting *s))
{
	timer_t timer = start_storm();

	call(s);
	SYS(timer_delete(timer));
}

struct call {
	struct setting *s;
	void (*call)(struct setting *s);
};

static void *call_thread(void *arg)
{
	struct call *c = arg;

	if (c->s->condition == ALL_AT_ONCE)
		call_in_storm(c->s, c->call);
	else
		c->call(c->s);
	return NULL;
}

static void call_in_thread(struct setting *s, void (*call)(struct setting *s))
{
	struct call c = { s, call };
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, call_thread, &c), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void call_without_fds(struct setting *s, void (*call)(struct setting *s))
{
	struct rlimit before, none;

	SYS(getrlimit(RLIMIT_NOFILE, &before));
	none = before;
	none.rlim_cur = STDERR_FILENO + 1; /* which also bounds what poll() takes */
	SYS(setrlimit(RLIMIT_NOFILE, &none));
	call(s);
	SYS(setrlimit(RLIMIT_NOFILE, &before));
}

void setting_call(struct setting *s, void (*call)(struct setting *s))
{
	switch (s->condition) {
	case SIGNALS:
		call_in_storm(s, call);
		return;
	case OTHER_THREAD:
	case ALL_AT_ONCE:
		call_in_thread(s, call);
		return;
	case PEER_STOPPED:
		qsd_stop(&s->d->server);
		break;
	case PEER_DEAD:
		qsd_kill(&s->d->server);
		break;
	case EXHAUSTED:
		call_without_fds(s, call);
		return;
	default:
		break;
	}
	call(s);
}

/* ---- Linux 6.1 and polled NVMe commands --------------------------------------------------- */

/*
 * A thread that polls finds the completions of others on the same queue of the device, too. It
 * leaves them to task work, whose callback takes the place of the bio (a union in struct
 * io_uring_cmd): if the other polls before it has run, Linux 6.1 takes a function for a bio.
 */
static bool polls_nvme_on_old_linux(const struct setting *s)
{
	struct utsname name;
	int major = 0, minor = 0;

	SYS(uname(&name));
	CHECK_EQ(sscanf(name.release, "%d.%d", &major, &minor), 2);
	return s->kind == POLL && s->d->target->traits & T_SLOW &&
	       !strcmp(s->d->target->driver, "nvme-io_uring") &&
	       (major < 6 || (major == 6 && minor <= 1));
}

void skip_poll_by_another_thread(const struct setting *s)
{
	if (polls_nvme_on_old_linux(s))
		SKIP("Linux 6.1 faults in bio_poll() when another thread than the one that "
		     "submitted polls for NVMe commands");
}

/* Of the cases that run at the same time, one polls. */
static void run_alone(struct setting *s, void (*run)(struct setting *s))
{
	int fd;

	if (s->condition == OTHER_THREAD || s->condition == ALL_AT_ONCE)
		skip_poll_by_another_thread(s);
	fd = SYS(open(s->d->path, O_RDONLY | O_CLOEXEC));
	CHECK_EQ(flock(fd, LOCK_EX), 0);
	run(s);
	close(fd);
}

/* ---- The table ---------------------------------------------------------------------------- */

struct combination {
	const struct promise *p;
	enum kind kind;
	enum condition condition;
};

static void run_combination(struct device *d)
{
	const struct combination *c = test_data();
	struct setting s = {
		.d = d, .kind = c->kind, .condition = c->condition, .about = c->p->about
	};

	if (polls_nvme_on_old_linux(&s))
		run_alone(&s, c->p->run);
	else
		c->p->run(&s);
}

/* The cases of one promise, at tests. */
static size_t expand(const struct promise *p, struct test *tests, struct combination *c)
{
	size_t n = 0;
	char *name;

	for (enum kind k = 0; k < NR_KINDS; k++) {
		for (enum condition i = 0; i < NR_CONDITIONS; i++) {
			if (!(p->kinds & KIND(k)) || !(p->conditions & CONDITION(i)))
				continue;
			if (asprintf(&name, "%s (%s, %s)", p->name, kinds[k].name, conditions[i]) <
			    0)
				exit(EXIT_FAILURE);
			c[n] = (struct combination){ p, k, i };
			tests[n] = (struct test){ name,	      run_combination, p->traits,
						  p->without, p->timeout,      &c[n] };
			n++;
		}
	}
	return n;
}

int promises_main(int argc, char **argv, const struct promise *promises, size_t n)
{
	size_t max = n * NR_KINDS * NR_CONDITIONS, used = 0;
	struct test *tests = calloc(max, sizeof(*tests));
	struct combination *all = calloc(max, sizeof(*all));
	int ret = EXIT_FAILURE;

	if (tests && all) {
		for (size_t i = 0; i < n; i++)
			used += expand(&promises[i], tests + used, all + used);
		ret = test_main(argc, argv, tests, used);
	}
	for (size_t i = 0; i < used; i++)
		free((void *)(uintptr_t)tests[i].name);
	free(tests);
	free(all);
	return ret;
}

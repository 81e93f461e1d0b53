/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Steps, each in its process, and the lines that they print. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

/* Long enough for what does end, on a busy machine, too. Only hangs take all of it. */
#define STEP_MS 4000

static const char *group_name, *step_name;

void group(const char *name)
{
	group_name = name;
}

void show_text(const char *what, const char *fmt, ...)
{
	va_list args;

	printf("%s/%s: %s = ", group_name, step_name, what);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}

const char *result_name(long ret)
{
	static char texts[4][32];
	static unsigned next;
	char *text = texts[next++ % 4];
	const char *name = ret < 0 && ret > -4096 ? strerrorname_np((int)-ret) : NULL;

	if (name)
		snprintf(text, sizeof(texts[0]), "%s", name);
	else
		snprintf(text, sizeof(texts[0]), "%ld", ret);
	return text;
}

void show(const char *what, long ret)
{
	show_text(what, "%s", result_name(ret));
}

void must(const char *what, long ret)
{
	if (ret >= 0)
		return;
	show(what, ret);
	show_text("ends", "early");
	step_end();
}

void show_completion(const char *what, struct blkioq *q)
{
	struct blkio_completion c = { .ret = 12345 };
	int n = blkioq_do_io(q, &c, 1, 1, NULL);

	if (n == 1)
		show(what, c.ret);
	else
		show_text(what, "do_io %s", result_name(n));
}

static void enter_step(void)
{
	struct rlimit none = { 0, 0 };
	int null = open("/dev/null", O_WRONLY);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &none);
	if (!getenv("PROBE_STDERR"))
		dup2(null, STDERR_FILENO); /* a library's last words when it aborts */
	close(null);
}

static void await_step(pid_t pid)
{
	struct pollfd pfd = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	int status;

	if (poll(&pfd, 1, STEP_MS) == 0) {
		kill(pid, SIGKILL);
		show_text("ends", "hang");
		waitpid(pid, &status, 0);
	} else if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status)) {
		show_text("ends", "SIG%s", sigabbrev_np(WTERMSIG(status)));
	}
	close(pfd.fd);
}

bool step_begin(const char *name)
{
	pid_t pid;

	step_name = name;
	if (target.kind != NO_DEVICE)
		device_reset();
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		perror("probe: fork");
		exit(1);
	}
	if (pid == 0) {
		enter_step();
		return true;
	}
	await_step(pid);
	return false;
}

void step_end(void)
{
	fflush(stdout);
	_exit(0);
}

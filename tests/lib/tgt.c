/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See tgt.h. */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys.h"
#include "test.h"
#include "tgt.h"

enum { TRIES = 4000 }; /* of 5 ms each */

static const char *log_path(void)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/tgtd.log", test_dir());
	return path;
}

/* In a child. */
static _Noreturn void run(const struct tgt *t, const char *command)
{
	int null = open("/dev/null", O_RDWR);
	int log = open(log_path(), O_CREAT | O_APPEND | O_WRONLY, 0600);

	/* Not the test's output: the harness reads that until its last writer is gone. */
	dup2(null, STDIN_FILENO);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	setenv("TGT_IPC_SOCKET", t->control, 1);
	execlp("sh", "sh", "-c", command, NULL);
	_exit(127);
}

bool tgt_admin(const struct tgt *t, const char *command)
{
	char line[8192];
	pid_t pid;
	int status;

	snprintf(line, sizeof(line), "exec tgtadm --lld iscsi %s", command);
	fflush(NULL);
	pid = (pid_t)SYS(fork_dependent());
	if (!pid)
		run(t, line);
	SYS(waitpid(pid, &status, 0));
	return !status;
}

static void print_log(void)
{
	FILE *f = fopen(log_path(), "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		printf("tgtd: %s", line);
	if (f)
		fclose(f);
}

static void admin(const struct tgt *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void admin(const struct tgt *t, const char *format, ...)
{
	char command[8000];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (tgt_admin(t, command))
		return;
	print_log();
	FAIL("tgtadm %s", command);
}

static void wait_until_up(struct tgt *t)
{
	int status;

	for (int i = 0; i < TRIES; i++) {
		if (tgt_admin(t, "--op show --mode sys"))
			return;
		if (waitpid(t->pid, &status, WNOHANG) == t->pid) {
			t->pid = 0;
			if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
				SKIP("tgtd is not installed");
			print_log();
			FAIL("tgtd ended with status %#x", status);
		}
		usleep(5000);
	}
	print_log();
	FAIL("tgtd does not answer");
}

/* Initiators are let in last: nobody sees it half made. */
static void make_unit(const struct tgt *t)
{
	admin(t, "--op new --mode target --tid 1 -T " TGT_NAME);
	admin(t, "--op new --mode logicalunit --tid 1 --lun 1 -b '%s' --blocksize %u", t->file,
	      t->block_size ? t->block_size : 512);
	admin(t, "--op update --mode logicalunit --tid 1 --lun 1 --params %s",
	      t->params ?: "thin_provisioning=1");
	if (t->user) {
		admin(t, "--op new --mode account --user %s --password %s", t->user, t->password);
		admin(t, "--op bind --mode account --tid 1 --user %s", t->user);
	}
	if (t->target_user) {
		admin(t, "--op new --mode account --user %s --password %s", t->target_user,
		      t->target_password);
		admin(t, "--op bind --mode account --tid 1 --user %s --outgoing", t->target_user);
	}
	admin(t, "--op bind --mode target --tid 1 -I ALL");
}

void tgt_start(struct tgt *t)
{
	static unsigned number;
	char command[128];

	if (!t->port) {
		t->port = free_tcp_port();
		/* A short path: sockets have but 107 bytes. */
		snprintf(t->control, sizeof(t->control), "%s/tgt-%u", test_tmpfs_dir() ?: "/tmp",
			 number++);
	}
	snprintf(command, sizeof(command), "exec tgtd -f --iscsi portal=127.0.0.1:%d", t->port);
	fflush(NULL);
	t->pid = (pid_t)SYS(fork_dependent());
	if (!t->pid)
		run(t, command);
	wait_until_up(t);
	make_unit(t);
}

void tgt_kill(struct tgt *t)
{
	kill_child(&t->pid);
}

const char *tgt_uri(const struct tgt *t)
{
	static char uri[128];

	snprintf(uri, sizeof(uri), "iscsi://127.0.0.1:%d/" TGT_NAME "/1", t->port);
	return uri;
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See qsd.h. */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qsd.h"
#include "sys.h"
#include "test.h"

#define PROGRAM "qemu-storage-daemon"
#define TRIES	2000 /* of 10 ms each */

static const char *log_path(void)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/qsd.log", test_dir());
	return path;
}

/* argv: of the daemon, PROGRAM first. */
static _Noreturn void run_daemon(char *const argv[])
{
	int null = open("/dev/null", O_RDWR);
	int log = open(log_path(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
	char *shell[32] = { "sh", "-c", "exec $QEMU_STORAGE_DAEMON \"$@\"" };

	/* Not the test's output: the harness reads that until its last writer is gone. */
	dup2(null, STDIN_FILENO);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	if (getenv("QEMU_STORAGE_DAEMON")) {
		for (size_t i = 0; argv[i]; i++)
			shell[3 + i] = argv[i];
		execvp("sh", shell);
	} else {
		execvp(PROGRAM, argv);
	}
	_exit(127);
}

static void print_log(void)
{
	FILE *f = fopen(log_path(), "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		printf("%s: %s", PROGRAM, line);
	if (f)
		fclose(f);
}

/* A socket, or -1 when nobody listens. */
static int connect_to(const char *path, const char *suffix)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = (int)SYS(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s%s", path, suffix);
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return sock;
	close(sock);
	return -1;
}

static bool listens(const char *path)
{
	int sock = connect_to(path, "");

	if (sock >= 0)
		close(sock);
	return sock >= 0;
}

/* The next answer of the monitor, or its greeting; events are passed over. */
static void read_answer(FILE *f, const char *command)
{
	char line[4096];

	do {
		if (!fgets(line, sizeof(line), f))
			FAIL(PROGRAM ": no answer to %s", command);
	} while (strstr(line, "\"event\""));
	if (strstr(line, "\"error\""))
		FAIL(PROGRAM ": %s: %s", command, line);
}

static void send_command(FILE *f, const char *command)
{
	fprintf(f, "%s\n", command);
	fflush(f);
	read_answer(f, command);
}

void qsd_command(struct qsd *s, const char *command)
{
	int sock = connect_to(s->socket, ".qmp");
	FILE *f = sock < 0 ? NULL : fdopen(sock, "r+");

	if (!f)
		FAIL(PROGRAM " has no monitor");
	read_answer(f, "greeting");
	send_command(f, "{\"execute\": \"qmp_capabilities\"}");
	send_command(f, command);
	fclose(f);
}

static void wait_until_ready(struct qsd *s)
{
	int status;

	for (int i = 0; i < TRIES; i++) {
		if (listens(s->socket))
			return;
		if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
			s->pid = 0;
			if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
				SKIP(PROGRAM " is not installed");
			print_log();
			FAIL(PROGRAM " ended with status %#x", status);
		}
		usleep(10000);
	}
	print_log();
	FAIL(PROGRAM " does not listen");
}

void qsd_restart(struct qsd *s, const char *blockdev, const char *options)
{
	char node[4608], export[512], monitor[256], server[256];
	char *argv[] = { PROGRAM, "--chardev", monitor, "--monitor",	"chardev=m", "--blockdev",
			 node,	  "--export",  export,	"--nbd-server", server,	     NULL };

	snprintf(node, sizeof(node), "%s,node-name=d", blockdev);
	snprintf(monitor, sizeof(monitor), "socket,id=m,server=on,wait=off,path=%s.qmp", s->socket);
	if (s->is_nbd) {
		snprintf(export, sizeof(export), "type=nbd,id=e,node-name=d,name=,%s", options);
		snprintf(server, sizeof(server), "addr.type=unix,addr.path=%s", s->socket);
		/* It must be there before its export. */
		argv[7] = "--nbd-server";
		argv[8] = server;
		argv[9] = "--export";
		argv[10] = export;
	} else {
		snprintf(export, sizeof(export),
			 "type=vhost-user-blk,id=e,node-name=d,addr.type=unix,addr.path=%s,%s",
			 s->socket, options);
		argv[9] = NULL;
	}
	unlink(s->socket);
	fflush(NULL);
	s->pid = (pid_t)SYS(fork_dependent());
	if (!s->pid)
		run_daemon(argv);
	wait_until_ready(s);
}

void qsd_start(struct qsd *s, const char *blockdev, const char *options)
{
	static unsigned number;

	/* A short path: sockets have but 107 bytes. */
	snprintf(s->socket, sizeof(s->socket), "%s/qsd-%u", test_tmpfs_dir() ?: "/tmp", number++);
	qsd_restart(s, blockdev, options);
}

void qsd_start_nbd(struct qsd *s, const char *blockdev, const char *options)
{
	s->is_nbd = true;
	qsd_start(s, blockdev, options);
}

void qsd_stop(struct qsd *s)
{
	SYS(kill(s->pid, SIGSTOP));
	CHECK_EQ(waitpid(s->pid, NULL, WUNTRACED), s->pid);
}

void qsd_kill(struct qsd *s)
{
	kill_child(&s->pid);
}

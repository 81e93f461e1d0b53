/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * BLKIO_DEBUG: messages on stderr when it is set, none when it is not, and none in a program with
 * the privileges of another user. The program runs itself: the child creates an instance.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake.h"

#define CHILD "BLKIO_TEST_DEBUG_CHILD"

/* Before main(): what the child does in place of all cases. */
static __attribute__((constructor)) void be_the_child(void)
{
	struct blkio *b;

	if (!getenv(CHILD))
		return;
	blkio_create("no such driver", &b);
	_exit(0);
}

/* What program prints to stderr. uid: -1 for ours. */
static void run_child(const char *program, const char *debug, int uid, char *out, size_t len)
{
	int fds[2], status;
	ssize_t n, done = 0;
	pid_t pid;

	CHECK_EQ(pipe(fds), 0);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		dup2(fds[1], STDERR_FILENO);
		setenv(CHILD, "1", 1);
		unsetenv("BLKIO_DEBUG");
		if (debug)
			setenv("BLKIO_DEBUG", debug, 1);
		if (uid >= 0 && setuid(uid) < 0)
			_exit(1);
		execl(program, program, NULL);
		_exit(1);
	}
	close(fds[1]);
	while ((n = read(fds[0], out + done, len - 1 - done)) > 0)
		done += n;
	out[done] = '\0';
	close(fds[0]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static void set_and_unset(struct device *d)
{
	const char *const off[] = { NULL, "", "0" };
	char out[4096];

	(void)d;
	run_child("/proc/self/exe", "1", -1, out, sizeof(out));
	CHECK(strstr(out, "libblkio["));
	CHECK(strstr(out, "unknown driver \"no such driver\"\n"));
	for (size_t i = 0; i < ARRAY_LEN(off); i++) {
		run_child("/proc/self/exe", off[i], -1, out, sizeof(out));
		CHECK_STR(out, "");
	}
}

static void copy_self(const char *to)
{
	static char buf[1 << 16];
	int in = open("/proc/self/exe", O_RDONLY),
	    out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0755);
	ssize_t n;

	CHECK(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		CHECK_EQ(write(out, buf, n), n);
	close(in);
	close(out);
}

static void setuid_program(struct device *d)
{
	char folder[] = "/var/tmp/blkio-debug-XXXXXX", program[64], out[4096];
	struct statvfs fs;

	(void)d;
	if (geteuid())
		SKIP("only root can make a setuid program of another user");
	CHECK(mkdtemp(folder));
	snprintf(program, sizeof(program), "%s/program", folder);
	CHECK_EQ(chmod(folder, 0755), 0);
	copy_self(program);
	if (!statvfs(folder, &fs) && fs.f_flag & (ST_NOSUID | ST_NOEXEC)) {
		unlink(program);
		rmdir(folder);
		SKIP("/var/tmp is mounted nosuid or noexec");
	}
	run_child(program, "1", 65534, out, sizeof(out));
	CHECK(strstr(out, "libblkio["));
	CHECK_EQ(chmod(program, 04755), 0);
	run_child(program, "1", 65534, out, sizeof(out));
	unlink(program);
	rmdir(folder);
	CHECK_STR(out, "");
}

static const struct test tests[] = {
	{ "set and unset", set_and_unset },
	{ "ignored in a setuid program", setuid_program },
};

TEST_MAIN(tests)

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What tests ask of the system. */
#include <dirent.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sys.h"
#include "test.h"

#define NOBODY 65534

int64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return SYS(poll(&p, 1, ms)) == 1;
}

static void each_fd(void (*visit)(int fd, void *arg), void *arg)
{
	DIR *dp = opendir("/proc/self/fd");
	struct dirent *e;

	if (!dp)
		FAIL("/proc/self/fd: %s", strerror(errno));
	while ((e = readdir(dp))) {
		if (e->d_name[0] != '.' && atoi(e->d_name) != dirfd(dp))
			visit(atoi(e->d_name), arg);
	}
	closedir(dp);
}

static void count_one(int fd, void *arg)
{
	(void)fd;
	++*(unsigned *)arg;
}

unsigned count_fds(void)
{
	unsigned n = 0;

	each_fd(count_one, &n);
	return n;
}

static void list_one(int fd, void *arg)
{
	char link[64], to[256];
	ssize_t len;

	(void)arg;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, to, sizeof(to));
	printf("fd %d: %.*s\n", fd, len < 0 ? 1 : (int)len, len < 0 ? "?" : to);
}

void list_fds(void)
{
	each_fd(list_one, NULL);
}

unsigned count_special_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[4096 + 128];
	unsigned n = 0;

	if (!f)
		FAIL("/proc/self/maps: %s", strerror(errno));
	while (fgets(line, sizeof(line), f))
		n += strstr(line, "/memfd:") || strstr(line, "anon_inode:");
	fclose(f);
	return n;
}

void describe_process(FILE *out, pid_t pid)
{
	static const char *const files[] = { "wchan", "syscall", "status" };
	char path[64], line[512];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, files[i]);
		f = fopen(path, "re");
		if (!f)
			continue;
		for (int n = 0; n < 4 && fgets(line, sizeof(line), f); n++)
			fprintf(out, "%s: %s%s", files[i], line, strchr(line, '\n') ? "" : "\n");
		fclose(f);
	}
}

void forbid_syscall(long nr, int errnum)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K,
			 SECCOMP_RET_ERRNO | ((unsigned)errnum & SECCOMP_RET_DATA)),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { ARRAY_LEN(code), code };

	SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		SKIP("no seccomp filters here: %s", strerror(errno));
}

void drop_privileges(void)
{
	if (geteuid())
		SKIP("only root can become another user");
	SYS(setgroups(0, NULL));
	SYS(setresgid(NOBODY, NOBODY, NOBODY));
	SYS(setresuid(NOBODY, NOBODY, NOBODY));
	prctl(PR_SET_DUMPABLE, 1); /* or /proc/self and the leak checker would be out of reach */
}

void allow_more_fds(unsigned n)
{
	struct rlimit limit;

	SYS(getrlimit(RLIMIT_NOFILE, &limit));
	/* Descriptors are dense in a case that has just started; probe rather than assume. */
	limit.rlim_cur = (rlim_t)SYS(dup(STDIN_FILENO));
	close((int)limit.rlim_cur);
	limit.rlim_cur += n;
	SYS(setrlimit(RLIMIT_NOFILE, &limit));
}

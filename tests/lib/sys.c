/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What tests ask of the system. */
#include <dirent.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sys.h"
#include "test.h"

#define ENOUGH_RING_MEMORY (64u << 20) /* bytes */

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

void await_fds(unsigned n)
{
	while (count_fds() > n)
		usleep(1000);
}

/* Links of the directory: those of "." and "..", and one of each thread. */
unsigned count_threads(void)
{
	struct stat st;

	SYS(stat("/proc/self/task", &st));
	return (unsigned)st.st_nlink - 2;
}

#ifdef __SANITIZE_ADDRESS__
/* The kernel's own, of io_uring, run nothing of this process. */
static bool has_other_threads(void)
{
	DIR *dp = opendir("/proc/self/task");
	unsigned own = 0;
	struct dirent *e;

	CHECK(dp);
	while ((e = readdir(dp))) {
		char path[64], name[16] = "";
		FILE *f;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%.16s/comm", e->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(name, sizeof(name), f) && strncmp(name, "iou-", 4))
			own++;
		fclose(f);
	}
	closedir(dp);
	return own > 1;
}
#endif

pid_t fork_user(void)
{
#ifdef __SANITIZE_ADDRESS__
	if (has_other_threads())
		SKIP("a child of a process with threads can wait forever for a lock of "
		     "AddressSanitizer's allocator");
#endif
	return (pid_t)SYS(fork());
}

pid_t fork_dependent(void)
{
	pid_t parent = getpid(), pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(EXIT_FAILURE);
	}
	return pid;
}

void kill_child(pid_t *pid)
{
	if (!*pid)
		return;
	kill(*pid, SIGKILL);
	kill(*pid, SIGCONT);
	waitpid(*pid, NULL, 0);
	*pid = 0;
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

static int ring_error;
static rlim_t ring_memory;

void remember_ring_limits(void)
{
	struct io_uring_params p = { 0 };
	struct rlimit limit;
	int fd = (int)syscall(__NR_io_uring_setup, 1, &p);

	ring_error = fd < 0 && errno != ENOMEM ? errno : 0;
	if (fd >= 0)
		close(fd);
	SYS(getrlimit(RLIMIT_MEMLOCK, &limit));
	/* kernels that count rings do so for all processes of a user but root */
	ring_memory = geteuid() ? limit.rlim_cur : RLIM_INFINITY;
}

void need_ring(int ret)
{
	if (ring_error && ret == -ring_error)
		SKIP("no io_uring here: %s", strerror(ring_error));
	if (ret == -ENOMEM && ring_memory < ENOUGH_RING_MEMORY)
		SKIP("RLIMIT_MEMLOCK is %llu KiB, too little for all rings: ulimit -l unlimited",
		     (unsigned long long)ring_memory >> 10);
}

void drop_privileges(void)
{
	const id_t id = 50000 + (id_t)getpid() % 10000;

	if (geteuid())
		SKIP("only root can become another user");
	SYS(setgroups(0, NULL));
	SYS(setresgid(id, id, id));
	SYS(setresuid(id, id, id));
	prctl(PR_SET_DUMPABLE, 1); /* or /proc/self and the leak checker would be out of reach */
}

void limit_processes(rlim_t n)
{
	struct rlimit limit;

	SYS(getrlimit(RLIMIT_NPROC, &limit));
	limit.rlim_cur = n < limit.rlim_max ? n : limit.rlim_max;
	SYS(setrlimit(RLIMIT_NPROC, &limit));
}

const char *reachable(const char *path)
{
	static char name[NAME_MAX + sizeof("/proc/self/cwd/")];
	char folder[PATH_MAX];

	snprintf(folder, sizeof(folder), "%s", path);
	SYS(chdir(dirname(folder)));
	snprintf(name, sizeof(name), "/proc/self/cwd/%s", strrchr(path, '/') + 1);
	return name;
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

uint16_t free_tcp_port(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int sock = (int)SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	socklen_t len = sizeof(addr);

	SYS(bind(sock, (struct sockaddr *)&addr, sizeof(addr)));
	SYS(getsockname(sock, (struct sockaddr *)&addr, &len));
	close(sock);
	return ntohs(addr.sin_port);
}

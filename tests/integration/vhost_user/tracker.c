/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * See tracker.h. Servers are children without exec, of a process with threads: they make system
 * calls and nothing else.
 */
#include "tracker.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "message.h"
#include "sys.h"
#include "test.h"

#define BIT(n) (1ull << (n))

enum { QUEUES = 2, CAPACITY = DEVICE_SIZE / 512 };
enum { F_INDIRECT = 28, F_PROTOCOL = 30, F_VERSION_1 = 32, F_PACKED = 34 };
enum { P_MQ = 0, P_REPLY_ACK = 3, P_CONFIG = 9, P_INFLIGHT = 12, P_MEM_SLOTS = 15 };

/* Of this process, which is one server. */
static struct tracker_server server;
static struct {
	struct tracker_queue q;
	int kick, call;
	bool enabled;
} queue[QUEUES];

void *tracker_translate(struct tracker_server *s, uint64_t addr, uint64_t len)
{
	for (unsigned i = 0; i < s->nr_regions; i++) {
		uint64_t at = addr - s->region[i].addr;

		if (at < s->region[i].len && len <= s->region[i].len - at)
			return s->region[i].here + at;
	}
	_exit(TRACKER_CONFUSED);
}

/* A part of a ring, by the client's own address. */
static void *find_ring(uint64_t addr)
{
	for (unsigned i = 0; i < server.nr_regions; i++) {
		if (addr - server.region[i].client < server.region[i].len)
			return server.region[i].here + (addr - server.region[i].client);
	}
	_exit(TRACKER_CONFUSED);
}

/* ---- Messages ------------------------------------------------------------------------------ */

static uint64_t u64_at(const struct vu_message *m, size_t offset)
{
	uint64_t value;

	memcpy(&value, m->payload + offset, sizeof(value));
	return value;
}

static uint32_t u32_at(const struct vu_message *m, size_t offset)
{
	return (uint32_t)u64_at(m, offset);
}

static void set_u64(struct vu_message *m, uint64_t value)
{
	memcpy(m->payload, &value, sizeof(value));
	m->size = sizeof(value);
}

static void set_base(struct vu_message *m, uint32_t base)
{
	memcpy(m->payload + 4, &base, sizeof(base));
}

static void *map(int fd, uint64_t len, uint64_t offset)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

	close(fd);
	if (p == MAP_FAILED)
		_exit(TRACKER_CONFUSED);
	return p;
}

static void add_region(const struct vu_message *m, int fd)
{
	unsigned i = server.nr_regions++;

	server.region[i].addr = u64_at(m, 8);
	server.region[i].client = u64_at(m, 24);
	server.region[i].len = u64_at(m, 16);
	server.region[i].here = map(fd, server.region[i].len, u64_at(m, 32));
}

static void remove_region(const struct vu_message *m)
{
	for (unsigned i = 0; i < server.nr_regions; i++) {
		if (server.region[i].client != u64_at(m, 24))
			continue;
		munmap(server.region[i].here, server.region[i].len);
		server.region[i] = server.region[--server.nr_regions];
		return;
	}
}

static void use_notes(void *memory)
{
	unsigned len = tracker_notes_len(queue[0].q.size);

	for (unsigned i = 0; i < QUEUES; i++)
		queue[i].q.notes = (char *)memory + i * len;
}

/* Answers with the descriptor of new notes. */
static void make_notes(struct vu_message *m, struct vu_fds *fds)
{
	unsigned size = (uint16_t)(u64_at(m, 16) >> 16), len = tracker_notes_len(size);
	uint64_t total = (uint64_t)len * QUEUES, zero = 0;
	int fd = memfd_create("notes", MFD_CLOEXEC);
	char *memory;

	if (fd < 0 || ftruncate(fd, (off_t)total) < 0)
		_exit(TRACKER_CONFUSED);
	memory = map(dup(fd), total, 0);
	for (unsigned i = 0; i < QUEUES; i++)
		tracker_new_notes(&server, memory + i * len, size);
	munmap(memory, total);
	memcpy(m->payload, &total, 8);
	memcpy(m->payload + 8, &zero, 8);
	memcpy(m->payload + 16, (uint16_t[]){ QUEUES, (uint16_t)size }, 4);
	*fds = (struct vu_fds){ .fd = { fd }, .n = 1 };
}

static void set_addresses(const struct vu_message *m)
{
	struct tracker_queue *q = &queue[u32_at(m, 0) % QUEUES].q;

	q->desc = find_ring(u64_at(m, 8));
	q->device = find_ring(u64_at(m, 16));
	q->driver = find_ring(u64_at(m, 24));
}

static void enable(unsigned i)
{
	queue[i].enabled = true;
	if (server.forgetful) {
		static char notes[QUEUES][1 << 16];

		queue[i].q.notes = notes[i];
		tracker_new_notes(&server, notes[i], queue[i].q.size);
	}
	tracker_resume(&server, &queue[i].q);
}

static void write_config(struct vu_message *m)
{
	uint64_t capacity = CAPACITY;
	uint16_t queues = QUEUES;
	uint32_t segments = 16;

	memset(m->payload + 12, 0, m->size - 12);
	memcpy(m->payload + 12, &capacity, sizeof(capacity));
	memcpy(m->payload + 12 + 12, &segments, sizeof(segments));
	memcpy(m->payload + 12 + 34, &queues, sizeof(queues));
}

static void put_fd(int *to, int fd)
{
	if (*to >= 0)
		close(*to);
	*to = fd;
}

/* Questions: true when m is now the answer. */
static bool ask(struct vu_message *m, struct vu_fds *fds)
{
	unsigned i = u32_at(m, 0) % QUEUES;

	switch (m->request) {
	case 1:
		set_u64(m, BIT(F_VERSION_1) | BIT(F_PROTOCOL) | BIT(12) | BIT(2) |
			       (server.indirect ? BIT(F_INDIRECT) : 0) |
			       (server.packed ? BIT(F_PACKED) : 0));
		return true;
	case 15:
		set_u64(m, BIT(P_MQ) | BIT(P_REPLY_ACK) | BIT(P_CONFIG) | BIT(P_MEM_SLOTS) |
			       (server.forgetful ? 0 : BIT(P_INFLIGHT)));
		return true;
	case 17:
		set_u64(m, QUEUES);
		return true;
	case 36:
		set_u64(m, ARRAY_LEN(server.region));
		return true;
	case 11:
		queue[i].enabled = false;
		set_base(m, tracker_base(&server, &queue[i].q));
		return true;
	case 24:
		write_config(m);
		return true;
	case 31:
		make_notes(m, fds);
		return true;
	default:
		return false;
	}
}

static void obey(const struct vu_message *m, const struct vu_fds *fds)
{
	unsigned i = u32_at(m, 0) % QUEUES;

	switch (m->request) {
	case 8:
		queue[i].q.size = u32_at(m, 4);
		break;
	case 9:
		set_addresses(m);
		break;
	case 10:
		queue[i].q.base = u32_at(m, 4);
		break;
	case 12:
		put_fd(&queue[i].kick, fds->fd[0]);
		break;
	case 13:
		put_fd(&queue[i].call, fds->fd[0]);
		break;
	case 18:
		enable(i);
		break;
	case 32:
		queue[0].q.size = (uint16_t)(u64_at(m, 16) >> 16);
		use_notes(map(fds->fd[0], u64_at(m, 0), u64_at(m, 8)));
		break;
	case 37:
		add_region(m, fds->fd[0]);
		break;
	case 38:
		remove_region(m);
		break;
	default:
		break;
	}
}

static void answer(int sock)
{
	struct vu_message m = { 0 };
	struct vu_fds fds = { .n = 0 };
	uint32_t request;
	bool wants_ack;

	if (!vu_receive(sock, &m, &fds))
		_exit(TRACKER_LOST);
	wants_ack = m.flags & 8;
	request = m.request;
	if (!ask(&m, &fds)) {
		obey(&m, &fds);
		fds.n = 0;
		if (!wants_ack)
			return;
		set_u64(&m, 0);
	}
	m.flags = 1 | 4;
	if (!vu_transmit(sock, &m, &fds))
		_exit(TRACKER_LOST);
	while (fds.n)
		close(fds.fd[--fds.n]);
	if (request == server.shared->last_message)
		_exit(TRACKER_DIED);
}

/* ---- The server ---------------------------------------------------------------------------- */

static void serve_all(void)
{
	static const uint64_t one = 1;

	for (unsigned i = 0; i < QUEUES; i++) {
		while (queue[i].enabled && tracker_serve(&server, &queue[i].q)) {
			if (write(queue[i].call, &one, sizeof(one)) < 0)
				_exit(TRACKER_CONFUSED);
		}
	}
}

static _Noreturn void run(int listener)
{
	struct pollfd p[1 + QUEUES] = { { .events = POLLIN } };
	uint64_t count;

	p[0].fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	for (;;) {
		for (unsigned i = 0; i < QUEUES; i++)
			p[i + 1] = (struct pollfd){ .fd = queue[i].kick, .events = POLLIN };
		poll(p, 1 + QUEUES, -1);
		if (p[0].revents)
			answer(p[0].fd);
		for (unsigned i = 0; i < QUEUES; i++) {
			if (p[i + 1].revents)
				(void)!read(p[i + 1].fd, &count, sizeof(count));
		}
		serve_all();
	}
}

static int listen_at(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = (int)SYS(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

	strcpy(addr.sun_path, path);
	unlink(path);
	SYS(bind(sock, (struct sockaddr *)&addr, sizeof(addr)));
	SYS(listen(sock, 1));
	return sock;
}

void tracker_init(struct tracker *t, bool packed, bool indirect)
{
	*t = (struct tracker){ .packed = packed, .indirect = indirect };
	snprintf(t->socket, sizeof(t->socket), "%s/tracker", test_tmpfs_dir() ?: "/tmp");
	t->shared = mmap(NULL, sizeof(*t->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(t->shared != MAP_FAILED);
	t->shared->deadly = UINT64_MAX;
}

/* In a child that shall have nothing of the client's but its memory. */
static _Noreturn void serve(struct tracker *t, int listener)
{
	dup2(listener, 0);
	syscall(SYS_close_range, 1, ~0u, 0);
	server = (struct tracker_server){ .shared = t->shared,
					  .packed = t->packed,
					  .indirect = t->indirect,
					  .forgetful = t->forgetful };
	for (unsigned i = 0; i < QUEUES; i++)
		queue[i].kick = queue[i].call = -1;
	run(0);
}

void tracker_start(struct tracker *t, unsigned steps)
{
	int listener = listen_at(t->socket);

	t->shared->steps_left = steps;
	fflush(NULL);
	t->pid = (pid_t)SYS(fork_dependent());
	if (!t->pid)
		serve(t, listener);
	close(listener);
}

static _Noreturn void supervise(struct tracker *t, int listener)
{
	dup2(listener, 0);
	syscall(SYS_close_range, 1, ~0u, 0);
	for (;;) {
		pid_t pid = fork_dependent();

		if (!pid)
			serve(t, 0);
		__atomic_store_n(&t->shared->pid, pid, __ATOMIC_RELEASE);
		__atomic_add_fetch(&t->shared->servers, 1, __ATOMIC_RELEASE);
		if (pid < 0 || waitpid(pid, NULL, 0) < 0)
			_exit(1);
	}
}

void tracker_keep(struct tracker *t)
{
	int listener = listen_at(t->socket);

	fflush(NULL);
	t->shared->servers = 0;
	t->pid = (pid_t)SYS(fork_dependent());
	if (!t->pid)
		supervise(t, listener);
	close(listener);
}

bool tracker_is_dead(struct tracker *t)
{
	int status;

	if (waitpid(t->pid, &status, WNOHANG) != t->pid)
		return false;
	t->pid = 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != TRACKER_DIED)
		FAIL("the server ended with status %#x", status);
	return true;
}

void tracker_kill(struct tracker *t)
{
	if (!t->pid)
		return;
	kill(t->pid, SIGKILL);
	waitpid(t->pid, NULL, 0);
	t->pid = 0;
}

void tracker_exit(struct tracker *t)
{
	tracker_kill(t);
	unlink(t->socket);
	munmap(t->shared, sizeof(*t->shared));
}

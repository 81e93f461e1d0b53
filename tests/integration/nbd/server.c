/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See server.h. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server.h"
#include "sys.h"
#include "test.h"

enum { TRIES = 1000 };

static void write_config(struct nbd_server *s)
{
	FILE *f = fopen(s->config, "we");

	CHECK(f);
	fprintf(f, "[generic]\nunixsock = %s\nport = %s\n[disk]\nexportname = %s\n", s->socket,
		s->port, s->file);
	CHECK_EQ(fclose(f), 0);
}

void nbd_server_init(struct nbd_server *s, const char *const *argv)
{
	int fd;

	*s = (struct nbd_server){ .argv = argv };
	for (int i = 0; argv[i]; i++)
		s->tcp |= strstr(argv[i], NBD_PORT) != NULL;
	snprintf(s->socket, sizeof(s->socket), "%s/nbd", test_tmpfs_dir() ?: "/tmp");
	snprintf(s->file, sizeof(s->file), "%s/disk", test_dir());
	snprintf(s->config, sizeof(s->config), "%s/config", test_dir());
	fd = (int)SYS(open(s->file, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600));
	SYS(ftruncate(fd, NBD_SERVER_SIZE));
	close(fd);
	snprintf(s->port, sizeof(s->port), "%d", free_tcp_port());
	write_config(s);
}

/* Returns arg with the first of the words replaced, in new memory if it has one. */
static char *replace(const struct nbd_server *s, char *arg)
{
	const struct {
		const char *name, *value;
	} words[] = { { NBD_SOCKET, s->socket },
		      { NBD_FILE, s->file },
		      { NBD_PORT, s->port },
		      { NBD_CONFIG, s->config },
		      { NBD_DIR, test_dir() } };

	for (size_t w = 0; w < ARRAY_LEN(words); w++) {
		char *at = strstr(arg, words[w].name), *out;

		if (!at)
			continue;
		if (asprintf(&out, "%.*s%s%s", (int)(at - arg), arg, words[w].value,
			     at + strlen(words[w].name)) < 0)
			_exit(126);
		return out;
	}
	return arg;
}

static _Noreturn void run(const struct nbd_server *s)
{
	int null = open("/dev/null", O_RDWR);
	char *argv[NBD_SERVER_ARGS] = { NULL };

	for (int i = 0; s->argv[i]; i++)
		argv[i] = replace(s, (char *)(uintptr_t)s->argv[i]);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	execvp(argv[0], argv);
	_exit(127);
}

void nbd_server_spawn(struct nbd_server *s)
{
	unlink(s->socket);
	fflush(NULL);
	s->pid = (pid_t)SYS(fork_dependent());
	if (!s->pid)
		run(s);
}

void nbd_server_kill(struct nbd_server *s)
{
	if (!s->pid)
		return;
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
}

struct blkio *nbd_server_create(const struct nbd_server *s)
{
	struct blkio *b;

	CHECK_OK(blkio_create("nbd", &b));
	if (s->tcp) {
		CHECK_OK(blkio_set_str(b, "host", "127.0.0.1"));
		CHECK_OK(blkio_set_str(b, "port", s->port));
	} else {
		CHECK_OK(blkio_set_str(b, "path", s->socket));
	}
	CHECK_OK(blkio_set_str(b, "export", s->export ?: ""));
	CHECK_OK(blkio_set_bool(b, "auto-read-only", true));
	return b;
}

struct blkio *nbd_server_start(struct nbd_server *s)
{
	int status;

	nbd_server_spawn(s);
	for (int i = 0; i < TRIES; i++) {
		struct blkio *b = nbd_server_create(s);

		if (!blkio_connect(b))
			return b;
		blkio_destroy(&b);
		if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
			if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
				SKIP("%s is not installed", s->argv[0]);
			FAIL("%s ended with status %#x", s->argv[0], status);
		}
		usleep(10000);
	}
	FAIL("%s does not serve: %s", s->argv[0], blkio_get_error_msg());
}

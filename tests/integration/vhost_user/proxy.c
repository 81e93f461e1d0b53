/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See proxy.h. */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy.h"
#include "test.h"

enum { GET_FEATURES = 1, GET_PROTOCOL_FEATURES = 15 };

static void hide(struct vu_message *m, uint64_t bits)
{
	uint64_t value;

	memcpy(&value, m->payload, sizeof(value));
	value &= ~bits;
	memcpy(m->payload, &value, sizeof(value));
}

static void *pass_to_server(void *arg)
{
	struct vu_proxy *p = arg;
	struct vu_message m;
	struct vu_fds fds;

	while (vu_receive(p->client, &m, &fds)) {
		bool ok = true;

		if (p->intercept && !p->intercept(p, &m, &fds))
			fds.n = 0;
		else
			ok = vu_transmit(p->server, &m, &fds);
		while (fds.n)
			close(fds.fd[--fds.n]);
		if (!ok)
			break;
	}
	shutdown(p->server, SHUT_RDWR);
	return NULL;
}

static void *pass_to_client(void *arg)
{
	struct vu_proxy *p = arg;
	struct vu_message m;
	struct vu_fds fds;

	while (vu_receive(p->server, &m, &fds)) {
		fds.n = 0;
		if (m.request == GET_FEATURES)
			hide(&m, p->hidden_features);
		if (m.request == GET_PROTOCOL_FEATURES)
			hide(&m, p->hidden_protocol);
		if (p->spoil && m.request == p->spoil_request) {
			if (p->fd_to_add >= 0)
				fds = (struct vu_fds){ .fd = { p->fd_to_add }, .n = 1 };
			if (!p->spoil(p, &m))
				continue;
		}
		if (!vu_transmit(p->client, &m, &fds))
			break;
	}
	shutdown(p->client, SHUT_RDWR);
	return NULL;
}

void vu_proxy_acknowledge(struct vu_proxy *p, const struct vu_message *m, uint64_t value)
{
	struct vu_message answer = { .request = m->request, .flags = 5, .size = sizeof(value) };
	struct vu_fds none = { .n = 0 };

	memcpy(answer.payload, &value, sizeof(value));
	if (m->flags & 8)
		vu_transmit(p->client, &answer, &none);
}

int vu_proxy_start(struct vu_proxy *p, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int pair[2];

	strcpy(addr.sun_path, path);
	p->server = (int)SYS(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	SYS(connect(p->server, (struct sockaddr *)&addr, sizeof(addr)));
	SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	p->client = pair[0];
	CHECK_EQ(pthread_create(&p->to_server, NULL, pass_to_server, p), 0);
	CHECK_EQ(pthread_create(&p->to_client, NULL, pass_to_client, p), 0);
	return pair[1];
}

bool vu_proxy_keep_channel(struct vu_proxy *p, const struct vu_message *m, struct vu_fds *fds)
{
	if (m->request != SET_BACKEND_REQ_FD)
		return true;
	p->channel = fds->fd[0];
	vu_proxy_acknowledge(p, m, 0);
	return false;
}

void vu_proxy_stop(struct vu_proxy *p)
{
	CHECK_EQ(pthread_join(p->to_server, NULL), 0);
	CHECK_EQ(pthread_join(p->to_client, NULL), 0);
	close(p->client);
	close(p->server);
}

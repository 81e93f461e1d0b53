/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See liar.h. */
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "liar.h"
#include "sys.h"
#include "test.h"

/* Of a write, the data that came in answer to R2Ts. */
uint8_t got[BIG];

void put(uint8_t *b, uint64_t value, int bytes)
{
	for (int i = bytes; i-- > 0; value >>= 8)
		b[i] = value & 0xff;
}

uint32_t get(const uint8_t *b, int bytes)
{
	uint32_t value = 0;

	for (int i = 0; i < bytes; i++)
		value = value << 8 | b[i];
	return value;
}

/* False: the initiator is gone. */
static bool take(struct target_side *t, void *buf, size_t len)
{
	return !len || recv(t->sock, buf, len, MSG_WAITALL) == (ssize_t)len;
}

bool take_request(struct target_side *t)
{
	if (!take(t, t->request, HEADER))
		return false;
	t->data_len = get(t->request + 5, 3);
	CHECK(t->data_len <= sizeof(t->data));
	return take(t, t->data, (t->data_len + 3) & ~3ul);
}

/* What is not the lie is right. */
static void fill_in(const struct target_side *t, uint8_t *h, size_t len)
{
	put(h + 5, len, 3);
	put(h + 24, t->stat_sn, 4);
	put(h + 28, t->cmd_sn, 4);
	put(h + 32, t->cmd_sn + 64, 4);
}

/* With len bytes of data. */
bool say(struct target_side *t, uint8_t *h, const void *data, size_t len)
{
	static uint8_t padding[4];
	struct iovec iov[] = { { h, HEADER },
			       { (void *)(uintptr_t)data, len },
			       { padding, -len & 3 } };
	const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 3 };

	fill_in(t, h, len);
	return sendmsg(t->sock, &msg, MSG_NOSIGNAL) > 0;
}

void flood(struct target_side *t, uint8_t *h)
{
	static uint8_t many[2048][HEADER];

	fill_in(t, h, 0);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		memcpy(many[i], h, HEADER);
	/* Whole ones: a part is sent only if the initiator is gone. */
	while (send(t->sock, many, sizeof(many), MSG_NOSIGNAL) > 0)
		;
}

void begin(struct target_side *t, uint8_t *h, unsigned opcode, unsigned flags)
{
	memset(h, 0, HEADER);
	h[0] = opcode;
	h[1] = flags;
	memcpy(h + 16, t->request + 16, 4);
}

void respond(struct target_side *t, unsigned status, unsigned flags, uint32_t residual,
	     const void *sense, size_t len)
{
	uint8_t h[HEADER];

	begin(t, h, SCSI_RESPONSE, FINAL | flags);
	h[3] = status;
	put(h + 44, residual, 4);
	t->stat_sn++;
	say(t, h, sense, len);
}

void good(struct target_side *t)
{
	respond(t, 0, 0, 0, NULL, 0);
}

void give(struct target_side *t, const void *data, size_t len, uint32_t offset, unsigned flags)
{
	uint8_t h[HEADER];

	begin(t, h, DATA_IN, flags);
	put(h + 40, offset, 4);
	t->stat_sn += flags & HAS_STATUS;
	say(t, h, data, len);
}

/* With what is missing said, as it should be. */
void give_all(struct target_side *t, const void *data, size_t len)
{
	uint32_t wanted = get(t->request + 20, 4);

	len = len < wanted ? len : wanted;
	give(t, data, len, 0, FINAL);
	respond(t, 0, len < wanted ? UNDERFLOW : 0, wanted - len, NULL, 0);
}

bool ask(struct target_side *t, uint32_t offset, uint32_t len)
{
	uint8_t h[HEADER];

	begin(t, h, R2T, FINAL);
	put(h + 20, 77, 4);
	put(h + 40, offset, 4);
	put(h + 44, len, 4);
	return say(t, h, NULL, 0);
}

/* Until all of the write's data is there, as far as it does not come at once. */
void take_data(struct target_side *t, size_t len)
{
	for (size_t n = 0; n < len && take_request(t); n += t->data_len) {
		CHECK_EQ(t->request[0] & 0x3f, DATA_OUT);
		CHECK(get(t->request + 40, 4) + t->data_len <= sizeof(got));
		memcpy(got + get(t->request + 40, 4), t->data, t->data_len);
	}
}

static void log_in(struct target_side *t)
{
	static const char truth[] = "MaxRecvDataSegmentLength=8192\0InitialR2T=Yes\0"
				    "ImmediateData=No\0HeaderDigest=None";
	bool leaves;
	uint8_t h[HEADER];

	if (t->lie->in_login)
		t->lie->tell(t);
	do {
		begin(t, h, LOGIN_RESPONSE, t->request[1] & (0x80 | 0xf));
		if (t->lie->login_goes_on)
			h[1] &= 0x7f;
		leaves = (h[1] & 0x83) == 0x83;
		memcpy(h + 8, t->request + 8, 6);
		put(h + 14, 1, 2);
		t->cmd_sn = get(t->request + 24, 4);
		t->stat_sn++;
		say(t, h, t->lie->text ?: truth, t->lie->text ? t->lie->text_len : sizeof(truth));
	} while (!leaves && take_request(t));
}

static void serve_command(struct target_side *t)
{
	const uint8_t *cdb = t->request + 32;
	uint8_t data[36] = { 0 };

	t->cmd_sn++;
	if (t->lie->at_once)
		t->lie->tell(t);
	switch (cdb[0]) {
	case 0x12: /* INQUIRY; its list of pages is empty */
		give_all(t, data, cdb[1] ? 4 : 36);
		return;
	case 0x9e: /* READ CAPACITY */
		put(data, DISK / BLOCK - 1, 8);
		put(data + 8, BLOCK, 4);
		data[14] = 0xc0;
		if ((cdb[1] & 0x1f) == 0x10)
			give_all(t, data, 32);
		else
			t->lie->tell(t);
		return;
	case 0x5a: /* MODE SENSE: nothing */
		give_all(t, data, 8);
		return;
	case 0x88:
	case 0x8a:
		t->lie->tell(t);
		return;
	}
	good(t);
}

static void *serve(void *arg)
{
	struct target_side *t = arg;

	t->sock = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC);
	while (t->sock >= 0 && take_request(t)) {
		switch (t->request[0] & 0x3f) {
		case LOGIN_REQUEST:
			log_in(t);
			break;
		case SCSI_REQUEST:
			serve_command(t);
			break;
		}
	}
	close(t->sock);
	return NULL;
}

void liar_start(struct target_side *t, const struct lie *lie)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);

	t->lie = lie;
	t->listener = (int)SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	SYS(bind(t->listener, (struct sockaddr *)&addr, sizeof(addr)));
	SYS(listen(t->listener, 1));
	SYS(getsockname(t->listener, (struct sockaddr *)&addr, &len));
	t->port = ntohs(addr.sin_port);
	CHECK_EQ(pthread_create(&t->thread, NULL, serve, t), 0);
}

void liar_stop(struct target_side *t)
{
	shutdown(t->listener, SHUT_RDWR);
	CHECK_EQ(pthread_join(t->thread, NULL), 0);
	close(t->listener);
}

struct blkio *liar_create(struct target_side *t)
{
	struct blkio *b;
	char uri[128];

	if (blkio_create("iscsi", &b) < 0)
		SKIP("%s", blkio_get_error_msg());
	snprintf(uri, sizeof(uri), "iscsi://127.0.0.1:%d/iqn.2024-01.test:liar/1", t->port);
	CHECK_OK(blkio_set_str(b, "uri", uri));
	CHECK_OK(blkio_set_int(b, "reconnect-timeout", 0));
	return b;
}

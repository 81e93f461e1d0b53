/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A connection on control paths: its beginning, and commands that somebody waits for. All waits
 * have a deadline. After an error a channel is lost: nobody knows which answers are on their way.
 */
#include "common/socket.h"
#include "nvme_tcp/crc32c.h"
#include "nvme_tcp/nvme_tcp.h"

/* ret: what bk_err() returned. Whoever sends the next command is told the same. */
static int lose(struct nvme_tcp_channel *ch, int ret)
{
	ch->is_lost = true;
	ch->lost_error = -ret;
	ch->lost_why = bk_err_save();
	return ret;
}

/* What went wrong with the socket, in words. */
static int lose_socket(struct nvme_tcp_channel *ch, int ret, const struct bk_deadline *deadline,
		       const char *step)
{
	if (ret == -ETIMEDOUT || ret == -ECANCELED)
		ret = bk_wait_err(deadline, ret, step, "answer of the NVMe/TCP target");
	else if (ret == -ECONNRESET)
		ret = bk_err(ENOTCONN, "%s: the NVMe/TCP target closed the connection", step);
	else
		ret = bk_err(-ret, "%s: %s", step, strerror(-ret));
	return lose(ch, ret);
}

/* ---- The beginning ------------------------------------------------------------------------ */

static int shake_hands(struct nvme_tcp_channel *ch, const struct nvme_tcp_wish *w,
		       const struct bk_deadline *deadline)
{
	uint8_t pdu[NVME_TCP_IC_LEN];
	const char *why;
	int ret;

	nvme_tcp_build_icreq(pdu, w->header_digest, w->data_digest);
	ret = net_send(ch->sock, pdu, sizeof(pdu), deadline);
	if (!ret)
		ret = net_recv(ch->sock, pdu, NVME_TCP_SHORT_LEN, deadline);
	/* A target that refuses says no more than that. */
	if (!ret && pdu[0] != NVME_TCP_C2H_TERM)
		ret = net_recv(ch->sock, pdu + NVME_TCP_SHORT_LEN, sizeof(pdu) - NVME_TCP_SHORT_LEN,
			       deadline);
	if (ret < 0)
		return lose_socket(ch, ret, deadline, "connection initialization");
	if (!nvme_tcp_parse_icresp(pdu, w->header_digest, w->data_digest, &ch->table.wire, &why))
		return bk_err(EPROTO, "%s: %s", net_name(w->address).s, why);
	return 0;
}

int nvme_tcp_channel_open(struct nvme_tcp_channel *ch, const struct nvme_tcp_wish *w,
			  const struct bk_deadline *deadline)
{
	int ret;

	*ch = (struct nvme_tcp_channel){ .sock = net_connect(w->address, deadline) };
	if (ch->sock < 0)
		return lose(ch, ch->sock);
	for (unsigned i = 0; i < NVME_TCP_CHANNEL_SLOTS; i++)
		ch->slots[i].cid = i;
	ch->table.n = NVME_TCP_CHANNEL_SLOTS;
	ch->table.slot = ch->slots;
	ch->is_asked = w->no_capsule_data;
	net_keep_alive(ch->sock, w->tcp_timeout);
	ret = shake_hands(ch, w, deadline);
	if (ret < 0) {
		lose(ch, ret);
		nvme_tcp_channel_close(ch);
	}
	return ret;
}

void nvme_tcp_channel_close(struct nvme_tcp_channel *ch)
{
	if (ch->sock >= 0)
		socket_close(ch->sock);
	ch->sock = -1;
}

/* ---- Sending ------------------------------------------------------------------------------ */

static enum nvme_tcp_way way_of(const struct nvme_tcp_data *data, uint32_t in_capsule)
{
	if (data->in)
		return NVME_TCP_IN;
	return data->out && !in_capsule ? NVME_TCP_OUT : NVME_TCP_NO_DATA;
}

/* A header, data and its digest. */
static int send_pdu(struct nvme_tcp_channel *ch, const void *header, size_t header_len,
		    const void *data, uint32_t len, const struct bk_deadline *deadline)
{
	uint8_t digest[NVME_TCP_DIGEST_LEN];
	int ret = net_send(ch->sock, header, header_len, deadline);

	nvme_tcp_put32(digest, crc32c(0, data, len));
	if (!ret)
		ret = net_send(ch->sock, data, len, deadline);
	if (!ret)
		ret = net_send(ch->sock, digest, nvme_tcp_trailer_len(&ch->table.wire, len),
			       deadline);
	return ret < 0 ? lose_socket(ch, ret, deadline, "admin command") : 0;
}

/* What the controller has asked for. */
static int send_data(struct nvme_tcp_channel *ch, struct nvme_tcp_slot *slot,
		     const struct bk_deadline *deadline)
{
	const struct nvme_tcp_wire *w = &ch->table.wire;
	uint8_t header[NVME_TCP_HEADER_ROOM];
	int ret = 0;

	while (!ret && slot->to_ask) {
		uint32_t at = slot->so_far - slot->to_ask, len = min_u64(slot->to_ask, w->max_data);
		unsigned header_len;

		slot->to_ask -= len;
		header_len = nvme_tcp_build_data(w, header, slot, at, len, !slot->to_ask);
		ret = send_pdu(ch, header, header_len, (const uint8_t *)slot->own.iov_base + at,
			       len, deadline);
	}
	return ret;
}

int nvme_tcp_channel_send(struct nvme_tcp_channel *ch, unsigned slot, const struct nvme_cmd *c,
			  const struct nvme_tcp_data *data, const struct bk_deadline *deadline)
{
	const struct nvme_tcp_wire *w = &ch->table.wire;
	struct nvme_tcp_slot *s = &ch->slots[slot];
	uint8_t header[NVME_TCP_HEADER_ROOM] = { 0 };
	uint32_t out_len = data->out && !ch->is_asked ? data->len : 0;
	struct nvme_cmd cmd = *c;
	unsigned len;

	ch->table.slot = ch->slots; /* the channel may have been moved */
	*s = (struct nvme_tcp_slot){
		.cid = s->cid + NVME_TCP_SLOTS_MAX,
		.in_flight = true,
		.way = way_of(data, out_len),
		.len = out_len ? 0 : data->len,
		.own = { data->in ?: (void *)data->out, data->len },
	};
	ch->answers[slot].is_there = false;
	cmd.cid = s->cid;
	nvme_tcp_point(&cmd, data->out || data->in ? data->len : 0, out_len);
	len = nvme_tcp_build_capsule(w, header, &cmd, out_len);
	return send_pdu(ch, header, len, data->out, out_len, deadline);
}

/* ---- Receiving ---------------------------------------------------------------------------- */

static int break_off(struct nvme_tcp_channel *ch, const char *why)
{
	uint8_t pdu[NVME_TCP_SHORT_LEN];

	nvme_tcp_build_term(pdu);
	send(ch->sock, pdu, sizeof(pdu), MSG_NOSIGNAL | MSG_DONTWAIT);
	return lose(ch, bk_err(EPROTO, "%s", why));
}

static int receive_data(struct nvme_tcp_channel *ch, const struct nvme_tcp_event *ev,
			const struct bk_deadline *deadline)
{
	uint8_t *to = (uint8_t *)ev->slot->own.iov_base + ev->at, digest[NVME_TCP_DIGEST_LEN];
	unsigned trailer = nvme_tcp_trailer_len(&ch->table.wire, ev->len);
	int ret = net_recv(ch->sock, to, ev->len, deadline);

	if (!ret)
		ret = net_recv(ch->sock, digest, trailer, deadline);
	if (ret < 0)
		return lose_socket(ch, ret, deadline, "admin command");
	if (trailer && crc32c(0, to, ev->len) != nvme_tcp_get32(digest))
		return break_off(ch, "the data digest of an admin command is wrong");
	return 0;
}

static void take_answer(struct nvme_tcp_channel *ch, const struct nvme_tcp_event *ev)
{
	struct nvme_tcp_answer *a = &ch->answers[ev->slot - ch->slots];

	ev->slot->in_flight = false;
	*a = (struct nvme_tcp_answer){ true, ev->status, ev->result };
}

int nvme_tcp_channel_receive(struct nvme_tcp_channel *ch, const struct bk_deadline *deadline)
{
	size_t len = nvme_tcp_data_header_len(&ch->table.wire);
	uint8_t pdu[NVME_TCP_HEADER_MAX];
	struct nvme_tcp_event ev = { 0 };
	const char *why;
	int ret = net_recv(ch->sock, pdu, NVME_TCP_SHORT_LEN, deadline);

	ch->table.slot = ch->slots;
	if (!ret && pdu[0] != NVME_TCP_C2H_TERM)
		ret = net_recv(ch->sock, pdu + NVME_TCP_SHORT_LEN, len - NVME_TCP_SHORT_LEN,
			       deadline);
	if (ret < 0)
		return lose_socket(ch, ret, deadline, "admin command");
	ret = nvme_tcp_next(&ch->table, pdu, len, &ev, &why);
	if (ret == NVME_TCP_CORRUPT)
		return break_off(ch, "the header digest of a PDU is wrong");
	if (ret <= 0)
		return break_off(ch, why);
	if (ev.kind == NVME_TCP_TERMINATED)
		return lose(ch, bk_err(ENOTCONN, "%s", why));
	ret = 0;
	if (ev.kind == NVME_TCP_DATA)
		ret = receive_data(ch, &ev, deadline);
	else if (ev.kind == NVME_TCP_ASKS)
		ret = send_data(ch, ev.slot, deadline);
	if (!ret && (ev.kind == NVME_TCP_DONE || ev.is_done))
		take_answer(ch, &ev);
	return ret;
}

/* ---- Calls -------------------------------------------------------------------------------- */

static int call(struct nvme_tcp_channel *ch, const struct nvme_cmd *c,
		const struct nvme_tcp_data *data, uint64_t *result,
		const struct bk_deadline *deadline)
{
	const struct nvme_tcp_answer *a = &ch->answers[NVME_TCP_CALL];
	int ret;

	if (ch->is_lost) {
		bk_err_restore(&ch->lost_why);
		return -ch->lost_error;
	}
	ret = nvme_tcp_channel_send(ch, NVME_TCP_CALL, c, data, deadline);
	while (!ret && !a->is_there)
		ret = nvme_tcp_channel_receive(ch, deadline);
	if (ret < 0)
		return ret;
	*result = a->result;
	return a->status;
}

static int command(const struct nvme_fabrics *f, const struct nvme_cmd *c, const void *data,
		   uint32_t len, uint64_t *result)
{
	const struct nvme_tcp_caller *caller = container_of(f, struct nvme_tcp_caller, f);

	return call(caller->ch, c, &(struct nvme_tcp_data){ .out = data, .len = len }, result,
		    caller->deadline);
}

static int admin_read(const struct nvme_admin *a, const struct nvme_cmd *c, void *data,
		      uint32_t len)
{
	const struct nvme_tcp_caller *caller = container_of(a, struct nvme_tcp_caller, a);
	uint64_t result;

	return call(caller->ch, c, &(struct nvme_tcp_data){ .in = data, .len = len }, &result,
		    caller->deadline);
}

struct nvme_tcp_caller nvme_tcp_caller(struct nvme_tcp_channel *ch,
				       const struct bk_deadline *deadline)
{
	return (struct nvme_tcp_caller){ { command }, { admin_read }, ch, deadline };
}

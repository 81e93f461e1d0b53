/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See nvme_target.h. Here: commands. */
#include <fcntl.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nvme_target_parts.h"

enum { INVALID_OPCODE = 1, INVALID_FIELD = 2, INTERNAL = 6, LBA_RANGE = 0x80, PROTECTED = 0x20 };
enum { INVALID_OFFSET = 0x16, INVALID_PARAM = 0x182, INVALID_HOST = 0x184 };
enum { FABRICS = 0x7f };
enum { SUBNQN_AT = 256, HOSTNQN_AT = 512 };

/* ---- Fabrics ------------------------------------------------------------------------------ */

static void take_connect(struct target_connection *c, const uint8_t *cmd, const uint8_t *data,
			 uint32_t len)
{
	const char *subnqn = (const char *)data + SUBNQN_AT;
	const char *hostnqn = (const char *)data + HOSTNQN_AT;
	bool is_discovery = !strcmp(subnqn, "nqn.2014-08.org.nvmexpress.discovery");

	c->qid = get16(cmd + 42);
	c->has_flow_control = !(cmd[46] & 4);
	c->is_connected = true;
	if (len != 1024 || (strcmp(subnqn, NVME_TARGET_NQN) != 0 && !is_discovery))
		target_respond(c, cmd, INVALID_PARAM, 1 << 16 | SUBNQN_AT);
	else if (c->t->host && strcmp(hostnqn, c->t->host) != 0)
		target_respond(c, cmd, INVALID_HOST, 1 << 16 | HOSTNQN_AT);
	else
		target_respond(c, cmd, 0, 1);
}

static void begin_write(struct target_connection *c, const uint8_t *cmd, uint32_t len);

/* As nvmet does, of which a port has no room for data in capsules. */
static void begin_connect(struct target_connection *c, const uint8_t *cmd,
			  const struct target_pdu *pdu)
{
	if (!c->t->asks_connect) {
		take_connect(c, cmd, pdu->data, pdu->len);
	} else if (pdu->len) {
		target_respond(c, cmd, INVALID_OFFSET, 0);
		c->has_left = true;
	} else {
		begin_write(c, cmd, get32(cmd + 32));
	}
}

static void take_fabrics(struct target_connection *c, const uint8_t *cmd,
			 const struct target_pdu *pdu)
{
	const uint64_t cap = (TARGET_ENTRIES - 1) | 1ULL << 16 | 1ULL << 24 | 1ULL << 37;

	if (cmd[4] == 1) {
		begin_connect(c, cmd, pdu);
	} else if (cmd[4] == 0) {
		c->cc = get32(cmd + 48);
		target_respond(c, cmd, 0, 0);
	} else if (get32(cmd + 44) == 0) {
		target_respond(c, cmd, 0, cap);
	} else {
		/* Ready, once enabled; shut down, once told. */
		target_respond(c, cmd, 0, (c->cc & 1) | (c->cc >> 14 & 3 ? 2 << 2 : 0));
	}
}

/* ---- Admin -------------------------------------------------------------------------------- */

static void identify_ctrl(const struct target_connection *c, struct nvme_id_ctrl *id)
{
	memset(id, 0, sizeof(*id));
	memset(id->mn, ' ', sizeof(id->mn));
	memcpy(id->mn, "test target", 11);
	memcpy(id->sn, "1                   ", 20);
	memcpy(id->fr, "1       ", 8);
	id->ver = htole32(0x10400);
	id->cntrltype = 1;
	id->oncs = htole16(NVME_CTRL_ONCS_DSM | NVME_CTRL_ONCS_WRITE_ZEROES);
	id->vwc = 1;
	id->oaes = htole32(NVME_CTRL_OAES_NA);
	id->ioccsz = htole32((64 + c->t->capsule_data) / 16);
	id->iorcsz = htole32(1);
	id->kas = htole16(1);
	id->sgls = htole32(1);
}

static void identify_ns(const struct target_connection *c, struct nvme_id_ns *id)
{
	memset(id, 0, sizeof(*id));
	id->nsze = id->ncap = id->nuse = htole64(target_blocks(c));
	id->lbaf[0].ds = (uint8_t)__builtin_ctz(target_block_size(c));
	id->dlfeat = NVME_NS_DLFEAT_RB_ALL_0S | NVME_NS_DLFEAT_WRITE_ZEROES;
	id->nsattr = c->t->read_only;
	memset(id->nguid, c->t->nguid, sizeof(id->nguid));
	memset(id->eui64, c->t->eui64, sizeof(id->eui64));
}

/* Its descriptors: the command set, and perhaps a UUID. */
static void describe_ns(const struct target_connection *c, uint8_t *data)
{
	data[0] = NVME_NIDT_CSI;
	data[1] = 1;
	if (!c->t->uuid)
		return;
	data[5] = NVME_NIDT_UUID;
	data[6] = 16;
	memset(data + 9, c->t->uuid, 16);
}

static void take_identify(struct target_connection *c, const uint8_t *cmd)
{
	union {
		uint8_t raw[4096];
		struct nvme_id_ctrl ctrl;
		struct nvme_id_ns ns;
		struct nvme_ns_list list;
	} data = { 0 };

	switch (cmd[40]) {
	case NVME_IDENTIFY_CNS_CTRL:
		identify_ctrl(c, &data.ctrl);
		break;
	case NVME_IDENTIFY_CNS_NS:
		if (get32(cmd + 4) == 1)
			identify_ns(c, &data.ns);
		break;
	case NVME_IDENTIFY_CNS_NS_ACTIVE_LIST:
		data.list.ns[0] = htole32(get32(cmd + 4) < 1);
		break;
	case NVME_IDENTIFY_CNS_NS_DESC_LIST:
		describe_ns(c, data.raw);
		break;
	default:
		target_respond(c, cmd, INVALID_FIELD, 0);
		return;
	}
	target_give(c, cmd, &data, sizeof(data));
}

static void take_log_page(struct target_connection *c, const uint8_t *cmd)
{
	uint32_t len = (get16(cmd + 42) + 1) * 4;
	uint8_t *data = calloc(1, len);

	target_give(c, cmd, data, len);
	free(data);
}

void target_admin(struct target_connection *c, const uint8_t *cmd, const struct target_pdu *pdu)
{
	unsigned queues = c->t->queues ?: 8;

	switch (cmd[0]) {
	case 0x7f:
		take_fabrics(c, cmd, pdu);
		break;
	case nvme_admin_identify:
		take_identify(c, cmd);
		break;
	case nvme_admin_get_log_page:
		take_log_page(c, cmd);
		break;
	case nvme_admin_set_features:
		target_respond(c, cmd, 0, (queues - 1) | (queues - 1) << 16);
		break;
	case nvme_admin_keep_alive:
		target_respond(c, cmd, 0, 0);
		break;
	case nvme_admin_async_event:
		c->awaits_event = true;
		c->event_cid = get16(cmd + 2);
		break;
	default:
		target_respond(c, cmd, INVALID_OPCODE, 0);
	}
}

/* ---- I/O ---------------------------------------------------------------------------------- */

static uint64_t start_of(const struct target_connection *c, const uint8_t *cmd)
{
	return get64(cmd + 40) * target_block_size(c);
}

static uint32_t length_of(const struct target_connection *c, const uint8_t *cmd)
{
	return (get16(cmd + 48) + 1) * target_block_size(c);
}

static bool is_outside(const struct target_connection *c, const uint8_t *cmd)
{
	uint64_t blocks = target_blocks(c), at = get64(cmd + 40);

	return at >= blocks || get16(cmd + 48) >= blocks - at;
}

static bool is_fua(const uint8_t *cmd)
{
	return get16(cmd + 50) & NVME_IO_FUA;
}

static void take_read(struct target_connection *c, const uint8_t *cmd)
{
	uint32_t len = length_of(c, cmd), more = 0;
	uint8_t *data = calloc(1, len + 4096);

	if (c->lies && c->t->lie == NVME_TARGET_MUCH_DATA)
		more = 512;
	if (pread(c->fd, data, len, (off_t)start_of(c, cmd)) != (ssize_t)len)
		target_respond(c, cmd, INTERNAL, 0);
	else if (c->lies && c->t->lie == NVME_TARGET_NO_DATA)
		target_respond(c, cmd, 0, 0);
	else
		target_give(c, cmd, data, len + more);
	free(data);
}

/* All of its data is there. */
static void finish_write(struct target_connection *c, const uint8_t *cmd, const uint8_t *data,
			 uint32_t len)
{
	bool ok = pwrite(c->fd, data, len, (off_t)start_of(c, cmd)) == (ssize_t)len;

	if (ok && is_fua(cmd))
		ok = !fdatasync(c->fd);
	target_respond(c, cmd, ok ? 0 : INTERNAL, 0);
}

static void take_discard(struct target_connection *c, const uint8_t *cmd, const uint8_t *data)
{
	uint64_t at = get64(data + 8), len = get32(data + 4), blocks = target_blocks(c);

	if (at > blocks || len > blocks - at) {
		target_respond(c, cmd, LBA_RANGE, 0);
		return;
	}
	fallocate(c->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		  (off_t)(at * target_block_size(c)), (off_t)(len * target_block_size(c)));
	target_respond(c, cmd, 0, 0);
}

/* What came with a command, or for it. */
static void take_data_of(struct target_connection *c, const uint8_t *cmd, const uint8_t *data,
			 uint32_t len)
{
	if (cmd[0] == FABRICS)
		take_connect(c, cmd, data, len);
	else if (cmd[0] == nvme_cmd_dsm)
		take_discard(c, cmd, data);
	else
		finish_write(c, cmd, data, len);
}

static void ask(struct target_connection *c, struct target_write *w)
{
	uint32_t left = w->len - w->asked, max = c->t->r2t_max ?: left;
	uint32_t n = left < max ? left : max;
	uint8_t h[24] = { 9 };

	if (c->lies && c->t->lie == NVME_TARGET_R2T_TOO_LONG)
		n = left + 512;
	put(h + 8, get16(w->cmd + 2), 2);
	put(h + 10, w - c->writes, 2);
	put(h + 12, w->asked, 4);
	put(h + 16, n, 4);
	target_send(c, h, sizeof(h), NULL, 0);
	if (c->lies && c->t->lie == NVME_TARGET_R2T_TWICE)
		target_send(c, h, sizeof(h), NULL, 0);
	w->asked += n;
}

static void begin_write(struct target_connection *c, const uint8_t *cmd, uint32_t len)
{
	struct target_write *w = c->writes;

	while (w->is_used)
		w++;
	w->is_used = true;
	memcpy(w->cmd, cmd, sizeof(w->cmd));
	w->data = malloc(len);
	w->len = len;
	w->asked = w->got = 0;
	ask(c, w);
}

/* H2CData */
static void take_data(struct target_connection *c, const struct target_pdu *pdu)
{
	struct target_write *w = &c->writes[get16(pdu->header + 10) % TARGET_ENTRIES];
	uint32_t at = get32(pdu->header + 12), max = c->t->max_data ?: 128 << 10;

	if (!w->is_used || get16(pdu->header + 8) != get16(w->cmd + 2) || at != w->got ||
	    pdu->len != get32(pdu->header + 16) || pdu->len > w->asked - at || pdu->len > max ||
	    !(pdu->header[1] & 4) != (at + pdu->len < w->asked))
		abort();
	memcpy(w->data + at, pdu->data, pdu->len);
	w->got += pdu->len;
	if (w->got < w->asked)
		return;
	if (w->got < w->len) {
		ask(c, w);
		return;
	}
	w->is_used = false;
	take_data_of(c, w->cmd, w->data, w->len);
	free(w->data);
	w->data = NULL;
}

static void take_write_zeroes(struct target_connection *c, const uint8_t *cmd)
{
	uint32_t len = length_of(c, cmd);
	bool deallocates = get16(cmd + 50) & NVME_IO_DEAC;
	int mode = deallocates ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
	int ret = fallocate(c->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)start_of(c, cmd), len);
	uint8_t *zeroes;

	if (ret < 0) {
		zeroes = calloc(1, len);
		pwrite(c->fd, zeroes, len, (off_t)start_of(c, cmd));
		free(zeroes);
	}
	if (is_fua(cmd))
		fdatasync(c->fd);
	target_respond(c, cmd, 0, 0);
}

/* What was sent is to arrive: nothing may be left unread, or TCP would reset the connection. */
static void leave(struct target_connection *c)
{
	c->has_left = true;
	shutdown(c->sock, SHUT_WR);
}

/* From now on the kernel drops what comes, and acknowledges nothing. */
static void vanish(struct target_connection *c)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog filter = { 1, &drop };

	setsockopt(c->sock, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
}

/* What is said in place of what should be. Returns whether that was all. */
static bool lie(struct target_connection *c, const uint8_t *cmd)
{
	uint8_t term[24] = { 3 }, data[512] = { 0 }, h[24] = { 7, 4 };

	switch (c->t->lie) {
	case NVME_TARGET_CLOSES:
		leave(c);
		return true;
	case NVME_TARGET_TERMINATES:
		put(term + 8, 4, 2);
		c->header_digest = false;
		target_send(c, term, sizeof(term), NULL, 0);
		leave(c);
		return true;
	case NVME_TARGET_DATA_FOR_WRITE:
		put(h + 8, get16(cmd + 2), 2);
		put(h + 16, sizeof(data), 4);
		target_send(c, h, sizeof(h), data, sizeof(data));
		return true;
	case NVME_TARGET_R2T_FOR_READ:
		begin_write(c, cmd, 512);
		return true;
	case NVME_TARGET_FALLS_SILENT:
		if (__atomic_load_n(&target_silent_below, __ATOMIC_RELAXED))
			return false;
		__atomic_store_n(&target_silent_below, c->number, __ATOMIC_RELAXED);
		leave(c);
		return true;
	case NVME_TARGET_VANISHES:
		vanish(c);
		return false;
	default:
		return false;
	}
}

static void take_command(struct target_connection *c, const uint8_t *cmd,
			 const struct target_pdu *pdu)
{
	bool has_blocks =
	    cmd[0] == nvme_cmd_read || cmd[0] == nvme_cmd_write || cmd[0] == nvme_cmd_write_zeroes;

	if (c->t->status && c->served > c->t->after)
		target_respond(c, cmd, c->t->status, 0);
	else if (has_blocks && is_outside(c, cmd))
		target_respond(c, cmd, LBA_RANGE, 0);
	else if (c->t->read_only && cmd[0] != nvme_cmd_read && cmd[0] != nvme_cmd_flush)
		target_respond(c, cmd, PROTECTED, 0);
	else if (cmd[0] == nvme_cmd_read)
		take_read(c, cmd);
	else if (cmd[0] == nvme_cmd_write_zeroes)
		take_write_zeroes(c, cmd);
	else if (cmd[0] == nvme_cmd_flush)
		target_respond(c, cmd, fdatasync(c->fd) ? INTERNAL : 0, 0);
	else if (cmd[0] != nvme_cmd_write && cmd[0] != nvme_cmd_dsm)
		target_respond(c, cmd, INVALID_OPCODE, 0);
	else if (pdu->len)
		take_data_of(c, cmd, pdu->data, pdu->len);
	else
		begin_write(c, cmd, cmd[0] == nvme_cmd_dsm ? 16 : length_of(c, cmd));
}

void target_io(struct target_connection *c, const struct target_pdu *pdu)
{
	const uint8_t *cmd = pdu->header + 8;

	if (pdu->header[0] == 6) {
		take_data(c, pdu);
		return;
	}
	if (pdu->header[0] != 4)
		return; /* H2CTermReq */
	c->served++;
	c->lies = c->t->lie && c->served == c->t->after + 1;
	if (!c->lies || !lie(c, cmd))
		take_command(c, cmd, pdu);
}

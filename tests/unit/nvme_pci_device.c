/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See nvme_pci_device.h. */
#include "nvme_pci_device.h"

#include <sys/eventfd.h>

#include "test.h"

struct fake_nvme device;

/* ---- Registers ---------------------------------------------------------------------------- */

enum { CAP = 0, CC = 0x14, CSTS = 0x1c, AQA = 0x24, ASQ = 0x28, ACQ = 0x30, DOORBELLS = 0x1000 };

static uint32_t get32(unsigned at)
{
	uint32_t value;

	memcpy(&value, &device.regs[at], sizeof(value));
	return value;
}

static void set32(unsigned at, uint32_t value)
{
	memcpy(&device.regs[at], &value, sizeof(value));
}

static uint8_t *pointer(unsigned at)
{
	return (uint8_t *)(uintptr_t)(get32(at) | (uint64_t)get32(at + 4) << 32);
}

static unsigned stride(void)
{
	return 4u << (device.regs[4] & 15);
}

uint32_t *device_doorbell(unsigned qid, bool completion, enum device_word which)
{
	unsigned at = (2 * qid + completion) * stride();

	return which == DEVICE_REGISTER ? (uint32_t *)&device.regs[DOORBELLS + at]
					: device.shadow[which] + at / 4;
}

static uint32_t doorbell(unsigned qid, bool completion)
{
	bool shadow = qid && device.shadow[DEVICE_VALUE];

	return *device_doorbell(qid, completion, shadow ? DEVICE_VALUE : DEVICE_REGISTER);
}

/* ---- Rings -------------------------------------------------------------------------------- */

static bool pop(unsigned qid, struct nvme_cmd *c)
{
	struct device_ring *r = &device.ring[qid];

	if (!r->exists || doorbell(qid, false) == r->sq_head)
		return false;
	CHECK(doorbell(qid, false) < r->size);
	memcpy(c, r->sq + 64 * r->sq_head, 64);
	r->sq_head = (r->sq_head + 1) % r->size;
	return true;
}

bool device_pop(unsigned qid, struct nvme_cmd *c)
{
	CHECK(device.ring[qid].exists);
	return pop(qid, c);
}

static void push(unsigned qid, struct device_says says, uint32_t result)
{
	struct device_ring *r = &device.ring[qid];
	unsigned phase = says.old_phase ? !r->phase : r->phase;
	const uint32_t dw[4] = { result, 0, says.sq_head | says.sqid << 16,
				 says.cid | phase << 16 | says.status << 17 };

	/* The driver has given back what it has seen: the queue is never full. */
	CHECK((r->cq_tail + 1) % r->size != doorbell(qid, true) || says.old_phase);
	memcpy(r->cq + 16 * r->cq_tail, dw, 12);
	/* The driver may be looking. */
	__atomic_store_n((uint32_t *)(r->cq + 16 * r->cq_tail) + 3, dw[3], __ATOMIC_RELEASE);
	if (says.old_phase)
		return;
	r->cq_tail = (r->cq_tail + 1) % r->size;
	if (!r->cq_tail)
		r->phase = !r->phase;
}

static void interrupt(unsigned vector)
{
	if (device.fds[vector] >= 0)
		CHECK_OK(eventfd_write(device.fds[vector], 1));
}

void device_push(unsigned qid, struct device_says says)
{
	const struct device_ring *r = &device.ring[qid];

	push(qid, says, 0);
	if (r->interrupts && !says.old_phase)
		interrupt(r->vector);
}

static void push_admin(uint16_t cid, unsigned status, uint32_t result)
{
	push(0, (struct device_says){ cid, status, 0, device.ring[0].sq_head, false }, result);
	interrupt(0);
}

void device_event(uint32_t dw0, unsigned status)
{
	CHECK(device.has_event_request);
	device.has_event_request = false;
	push_admin(device.event_cid, status, dw0);
}

void device_complete(unsigned qid, const struct nvme_cmd *c, unsigned status)
{
	const struct device_ring *r = &device.ring[qid];

	device_push(qid, (struct device_says){ c->cid, status, qid, r->sq_head, false });
}

/* ---- Data --------------------------------------------------------------------------------- */

static unsigned add(struct device_piece *out, unsigned n, unsigned max, uint64_t at, size_t len)
{
	CHECK(n < max);
	out[n] = (struct device_piece){ (uint8_t *)(uintptr_t)at, len };
	return n + 1;
}

static unsigned sgl_data(const struct nvme_cmd *c, size_t len, struct device_piece *out,
			 unsigned max)
{
	const uint8_t *list = (uint8_t *)(uintptr_t)c->dptr[0];
	uint32_t bytes = (uint32_t)c->dptr[1];
	unsigned n = 0;

	CHECK_EQ(c->dptr[1] >> 56, 0x30);
	CHECK(bytes && bytes % 16 == 0 && bytes <= 4096);
	for (uint32_t at = 0; at < bytes; at += 16) {
		uint64_t addr;
		uint32_t size;

		memcpy(&addr, list + at, 8);
		memcpy(&size, list + at + 8, 4);
		CHECK_EQ(list[at + 15], 0);
		n = add(out, n, max, addr, size);
		len -= size;
	}
	CHECK_EQ(len, 0);
	return n;
}

unsigned device_data(const struct nvme_cmd *c, size_t len, struct device_piece *out, unsigned max)
{
	size_t piece = 4096 - c->dptr[0] % 4096;
	const uint64_t *list = &c->dptr[1];
	unsigned n;

	if (c->flags & 0x40)
		return sgl_data(c, len, out, max);
	CHECK_EQ(c->flags, 0);
	if (piece > len)
		piece = len;
	n = add(out, 0, max, c->dptr[0], piece);
	len -= piece;
	if (!len)
		return n;
	if (len > 4096) {
		CHECK_EQ(c->dptr[1] % 8, 0);
		list = (uint64_t *)(uintptr_t)c->dptr[1];
	}
	for (; len; len -= piece, list++) {
		piece = len < 4096 ? len : 4096;
		CHECK_EQ(*list % 4096, 0);
		n = add(out, n, max, *list, piece);
	}
	return n;
}

/* ---- Admin commands ----------------------------------------------------------------------- */

static unsigned identify(const struct nvme_cmd *c)
{
	uint8_t *data = (uint8_t *)(uintptr_t)c->dptr[0];

	CHECK_EQ(c->dptr[0] % 4096, 0);
	memset(data, 0, 4096);
	switch (c->cdw10 & 0xff) {
	case 0:
		memcpy(data, &device.ns, sizeof(device.ns));
		return 0;
	case 1:
		memcpy(data, &device.ctrl, sizeof(device.ctrl));
		return 0;
	case 2:
		memcpy(data, device.namespaces, sizeof(device.namespaces));
		return 0;
	default:
		return 2;
	}
}

static unsigned create(const struct nvme_cmd *c, bool completion)
{
	unsigned qid = c->cdw10 & 0xffff, size = (c->cdw10 >> 16) + 1;
	uint8_t *at = (uint8_t *)(uintptr_t)c->dptr[0];
	struct device_ring *r = &device.ring[qid];

	CHECK(qid >= 1 && qid <= DEVICE_QUEUES && size >= 2);
	CHECK_EQ(c->dptr[0] % 4096, 0);
	CHECK(c->cdw11 & 1);
	if (device.admin_status)
		return device.admin_status;
	if (completion) {
		*r = (struct device_ring){ .cq = at, .size = size, .phase = 1 };
		r->interrupts = c->cdw11 >> 1 & 1;
		r->vector = c->cdw11 >> 16;
		return 0;
	}
	CHECK_EQ(c->cdw11 >> 16, qid);
	CHECK_EQ(r->size, size);
	r->sq = at;
	r->exists = true;
	for (int i = 0; i < 2; i++) {
		*device_doorbell(qid, i, DEVICE_REGISTER) = 0;
		CHECK_EQ(doorbell(qid, i), 0);
	}
	return 0;
}

static unsigned set_feature(const struct nvme_cmd *c, uint32_t *result)
{
	if (c->cdw10 == 0x0b) {
		device.event_config = c->cdw11;
		return device.admin_status;
	}
	CHECK_EQ(c->cdw10, 7);
	*result = device.queues;
	return device.admin_status;
}

static unsigned get_log(const struct nvme_cmd *c)
{
	size_t len = 4 * ((c->cdw10 >> 16) + 1);

	CHECK(len <= 4096 && c->dptr[0] % 4096 == 0);
	memset((uint8_t *)(uintptr_t)c->dptr[0], 0xab, len);
	device.logs_read |= 1u << (c->cdw10 & 0xff);
	return device.admin_status;
}

static unsigned use_shadows(const struct nvme_cmd *c)
{
	for (int i = 0; i < 2; i++) {
		CHECK(c->dptr[i] && c->dptr[i] % 4096 == 0);
		device.shadow[i] = (uint32_t *)(uintptr_t)c->dptr[i];
	}
	return device.admin_status;
}

static unsigned admin(const struct nvme_cmd *c, uint32_t *result)
{
	switch (c->opcode) {
	case 0x06:
		return identify(c);
	case 0x01:
		return create(c, false);
	case 0x05:
		return create(c, true);
	case 0x00:
	case 0x04:
		device.ring[c->cdw10 & 0xffff].exists = false;
		return device.admin_status;
	case 0x02:
		return get_log(c);
	case 0x0a:
		CHECK_EQ(c->cdw10, 2);
		*result = 0x23; /* with a workload hint */
		return device.admin_status;
	case 0x7c:
		return use_shadows(c);
	case 0x09:
		return set_feature(c, result);
	default:
		return 1;
	}
}

static void enable(uint32_t cc)
{
	struct device_ring *r = &device.ring[0];

	CHECK_EQ(cc >> 16 & 15, 6);
	CHECK_EQ(cc >> 20 & 15, 4);
	*r = (struct device_ring){ .exists = true,
				   .sq = pointer(ASQ),
				   .cq = pointer(ACQ),
				   .size = (get32(AQA) & 0xfff) + 1,
				   .phase = 1 };
	CHECK_EQ((uintptr_t)r->sq % 4096, 0);
	CHECK_EQ((uintptr_t)r->cq % 4096, 0);
	set32(DOORBELLS, 0);
	set32(DOORBELLS + stride(), 0);
	device.running = true;
	set32(CSTS, 1);
}

static bool control(void)
{
	uint32_t cc = get32(CC);

	if ((cc & 1) && !device.running && !device.never_ready) {
		enable(cc);
		return true;
	}
	if (!(cc & 1) && device.running && !device.stays_ready) {
		device.running = false;
		device.resets++;
		memset(device.ring, 0, sizeof(device.ring));
		memset(device.shadow, 0, sizeof(device.shadow));
		set32(CSTS, 0);
		return true;
	}
	if (device.running && (cc >> 14 & 3) == 1 && !(get32(CSTS) & 8)) {
		device.shutdowns++;
		set32(CSTS, 1 | 2 << 2);
		return true;
	}
	return false;
}

bool device_turn(void)
{
	struct nvme_cmd c;
	uint32_t result = 0;
	unsigned status;
	bool any = control();

	while (device.running && !device.silent && pop(0, &c)) {
		any = true;
		if (c.opcode == 0x0c) {
			CHECK(!device.has_event_request);
			device.has_event_request = true;
			device.event_cid = c.cid;
			continue;
		}
		status = admin(&c, &result);
		push_admin(c.cid + device.cid_lie, status, result);
	}
	return any;
}

/* In place of bk_pause(), where the driver waits for the controller: time passes at once. */
int device_pause(struct bk_pauses *p);
int device_pause(struct bk_pauses *p)
{
	(void)p;
	return device_turn() ? 0 : -ETIMEDOUT;
}

void device_reset(void)
{
	memset(&device, 0, sizeof(device));
	for (unsigned i = 0; i <= DEVICE_QUEUES; i++)
		device.fds[i] = -1;
	set32(CAP, 255 | 1 << 16);	/* 256 entries, contiguous; TO 0 */
	set32(CAP + 4, 1 << (37 - 32)); /* NVM commands; DSTRD 0 */
	device.vectors = DEVICE_QUEUES + 1;
	device.queues = (DEVICE_QUEUES - 1) | (DEVICE_QUEUES - 1) << 16;
	device.ctrl.ver = 0x10200;
	device.ctrl.oncs = NVME_CTRL_ONCS_DSM | NVME_CTRL_ONCS_WRITE_ZEROES;
	device.ctrl.mdts = 5; /* 128 KiB */
	device.ctrl.oaes = 1 << 8 | 1 << 9;
	device.ctrl.oacs = 1 << 8;
	device.ns.nsze = DEVICE_BLOCKS;
	device.ns.lbaf[0].ds = 9;
	device.namespaces[0] = 3;
	device.namespaces[1] = 5;
}

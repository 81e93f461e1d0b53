/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Fuzzer: an NVMe controller on PCI: its class, BAR and interrupts, its registers, answers to admin
 * commands; then its queues. The device is a file in memory, which the library maps: what it writes
 * to a register, it reads back. What is not said otherwise is as a good controller does it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "nvme/nvme_pci.h"
#include "traffic.h"
#include "world.h"

enum {
	BAR_LEN = 16 << 10,
	CONFIG_SPACE = 4096, /* before the BAR in the file */
	PAGE = 4096,
};

struct says {
	uint8_t vectors, failing, flags;
	uint32_t bar_len, queues;
	uint8_t asks; /* how many answers are honest before the first that is not */
} __attribute__((packed));

struct controller {
	struct traffic t;
	struct says says;
	struct fuzz_input in;
	unsigned calls, asked;
	uint8_t *mem; /* the file */
	struct nvme_id_ctrl ctrl;
	struct nvme_id_ns ns;
	uint32_t namespaces[4];
	bool running;
	unsigned sq_head, cq_tail, phase; /* of the admin queue */
	bool has_event_request;
	uint16_t event_cid;
};

static struct controller *of(struct traffic *t)
{
	return (struct controller *)((char *)t - offsetof(struct controller, t));
}

/* ---- What the kernel says ----------------------------------------------------------------- */

static int region_info(const struct controller *c, struct vfio_region_info *info)
{
	info->offset = info->index == VFIO_PCI_CONFIG_REGION_INDEX ? 0 : CONFIG_SPACE;
	info->size = info->index ? 0 : BAR_LEN - c->says.bar_len % (BAR_LEN + 1);
	info->flags = (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
		       VFIO_REGION_INFO_FLAG_MMAP) ^
		      (c->says.flags & 7);
	return 0;
}

static int pci_ioctl(void *arg, unsigned long request, void *data)
{
	struct controller *c = arg;
	struct vfio_irq_info *irq = data;

	if (c->says.failing && ++c->calls == c->says.failing) {
		errno = EIO;
		return -1;
	}
	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		((struct vfio_device_info *)data)->flags = VFIO_DEVICE_FLAGS_RESET;
		break;
	case VFIO_DEVICE_GET_REGION_INFO:
		return region_info(c, data);
	case VFIO_DEVICE_GET_IRQ_INFO:
		irq->flags = VFIO_IRQ_INFO_EVENTFD;
		irq->count = c->says.vectors ^ 4;
		break;
	default:
		break;
	}
	return 0;
}

/* ---- Registers ---------------------------------------------------------------------------- */

static uint8_t *reg(const struct controller *c, unsigned at)
{
	return c->mem + CONFIG_SPACE + at;
}

static uint32_t get32(const struct controller *c, unsigned at)
{
	uint32_t value;

	memcpy(&value, reg(c, at), sizeof(value));
	return value;
}

static void put(uint8_t *at, uint64_t value, size_t size)
{
	memcpy(at, &value, size);
}

/* Starts, stops and shuts down as it is told to. */
static bool control(struct controller *c)
{
	uint32_t cc = get32(c, NVME_REG_CC), status = get32(c, NVME_REG_CSTS);

	if ((cc & 1) && !c->running) {
		c->running = true;
		c->sq_head = c->cq_tail = 0;
		c->phase = 1;
		put(reg(c, NVME_REG_CSTS), status | 1, 4);
		return true;
	}
	if (!(cc & 1) && c->running) {
		c->running = false;
		put(reg(c, NVME_REG_CSTS), 0, 4);
		return true;
	}
	if ((cc >> 14 & 3) && !(status & 8)) {
		put(reg(c, NVME_REG_CSTS), status | 8, 4);
		return true;
	}
	return false;
}

/* ---- Admin commands ----------------------------------------------------------------------- */

static void identify(const struct controller *c, const struct nvme_cmd *cmd, uint8_t *data)
{
	switch (cmd->cdw10 & 0xff) {
	case NVME_IDENTIFY_CNS_NS:
		memcpy(data, &c->ns, sizeof(c->ns));
		break;
	case NVME_IDENTIFY_CNS_CTRL:
		memcpy(data, &c->ctrl, sizeof(c->ctrl));
		break;
	case NVME_IDENTIFY_CNS_NS_ACTIVE_LIST:
		memcpy(data, c->namespaces, sizeof(c->namespaces));
		break;
	default:
		memset(data, c->says.flags, PAGE);
	}
}

static void push_admin(struct controller *c, uint32_t dw[4])
{
	const struct nvme_pci_dev *d = to_nvme_pci_dev(c->t.b);

	dw[3] = (dw[3] & ~(1u << 16)) | c->phase << 16;
	memcpy((void *)&d->admin.cq[c->cq_tail], dw, sizeof(struct nvme_cqe));
	c->cq_tail = (c->cq_tail + 1) % d->admin.size;
	c->phase ^= !c->cq_tail;
}

static bool answer(struct controller *c)
{
	struct nvme_pci_dev *d = c->t.b ? to_nvme_pci_dev(c->t.b) : NULL;
	uint32_t dw[4] = { c->says.queues ^ 0x30003 };
	struct nvme_cmd cmd;
	uint8_t how = 0, *data;

	if (!d || !d->admin.sq || !c->running || d->admin.told_tail == c->sq_head)
		return false;
	cmd = d->admin.sq[c->sq_head];
	c->sq_head = (c->sq_head + 1) % d->admin.size;
	if (cmd.opcode == nvme_admin_async_event) {
		c->has_event_request = true;
		c->event_cid = cmd.cid;
		return true;
	}
	data = (uint8_t *)d->admin_data + (cmd.dptr[0] - d->admin_data_iova) % (2 * PAGE);
	if (cmd.opcode == nvme_admin_identify)
		identify(c, &cmd, data);
	dw[3] = cmd.cid;
	if (++c->asked > c->says.asks)
		how = fuzz_u8(&c->in);
	if (how & 1)
		dw[3] |= (uint32_t)fuzz_u16(&c->in) << 17;
	if (how & 2)
		dw[3] ^= fuzz_u16(&c->in);
	if (how & 4)
		dw[2] = fuzz_u32(&c->in);
	if (how & 8)
		fuzz_patch(&c->in, data, PAGE);
	if (how & 16)
		return true; /* no answer */
	push_admin(c, dw);
	return true;
}

/* Any event, whether it was asked for or not. */
static void report(struct controller *c)
{
	uint32_t dw[4] = { fuzz_u32(&c->in), 0, 0, c->event_cid };

	if (!c->has_event_request)
		dw[3] = fuzz_u32(&c->in);
	c->has_event_request = false;
	push_admin(c, dw);
	nvme_pci_handle_events(to_nvme_pci_dev(c->t.b));
}

/* ---- Queues ------------------------------------------------------------------------------- */

static void push(struct traffic *t, unsigned i, struct nvme_pci_queue *q, uint32_t sq,
		 uint32_t status)
{
	struct nvme_cqe *e = (struct nvme_cqe *)&q->ring.cq[t->used[i].pos % q->ring.size];

	e->sq = sq;
	__atomic_store_n(&e->status, (status & ~(1u << 16)) | (uint32_t)t->used[i].wrap << 16,
			 __ATOMIC_RELEASE);
	t->used[i].pos = (t->used[i].pos + 1) % q->ring.size;
	if (!t->used[i].pos)
		t->used[i].wrap = !t->used[i].wrap;
}

/* The first command in flight from this identifier on; the last, when there is none. */
static uint16_t in_flight(const struct nvme_pci_queue *q, uint16_t cid)
{
	unsigned n = q->ring.size - 1;

	for (unsigned i = 0; i < n; i++)
		if (q->inflight[(cid + i) % n])
			return (cid + i) % n;
	return n;
}

static void complete(struct traffic *t, unsigned i, struct nvme_pci_queue *q)
{
	uint16_t cid = in_flight(q, fuzz_u8(t->in));

	if (cid < q->ring.size - 1)
		push(t, i, q, q->id << 16, cid);
}

static void complete_badly(struct traffic *t, unsigned i, struct nvme_pci_queue *q)
{
	uint32_t status = in_flight(q, fuzz_u8(t->in)), sq = q->id << 16;
	uint8_t how = fuzz_u8(t->in);

	if (how & 1)
		status |= (uint32_t)fuzz_u16(t->in) << 17;
	if (how & 2)
		status ^= fuzz_u16(t->in);
	if (how & 4)
		sq ^= fuzz_u32(t->in);
	push(t, i, q, sq, status);
}

/* Anywhere: queues, lists, data of zone reports; one in four in the completions. */
static void scribble(struct traffic *t, struct nvme_pci_queue *q)
{
	const struct bk_region *r = &q->d->memory->region;
	uint64_t at = fuzz_u16(t->in) << 3;
	uint8_t n = fuzz_u8(t->in);

	if (n >= 0xc0)
		at = (uintptr_t)q->ring.cq - r->addr + (at & 0xff);
	at %= r->len;
	n = 1 + (n & 15);
	fuzz_bytes(t->in, (char *)r->addr + at, n < r->len - at ? n : r->len - at);
}

static bool turn(struct traffic *t)
{
	struct nvme_pci_dev *d = to_nvme_pci_dev(t->b);
	uint8_t which = fuzz_u8(t->in), op;
	unsigned i = which % TRAFFIC_QUEUES;
	struct nvme_pci_queue *q = d->queues[d->queues[i] ? i : 0];

	if (which >= 0xd0 || !q)
		return false; /* it does nothing */
	i = q->id - 1;
	op = fuzz_u8(t->in) % 16;
	if (op < 6)
		complete(t, i, q);
	else if (op < 9)
		complete_badly(t, i, q);
	else if (op < 12)
		scribble(t, q);
	else if (op == 12)
		t->used[i].pos = fuzz_u16(t->in) % q->ring.size;
	else if (op == 13)
		fuzz_bytes(t->in, reg(of(t), NVME_REG_CSTS), 4);
	else if (op == 14)
		report(of(t));
	else if (q->ring.sq_doorbell.event)
		put((uint8_t *)q->ring.sq_doorbell.event, fuzz_u16(t->in), 4);
	else
		eventfd_write(q->call_fd, 1);
	return true;
}

static bool is_given_up(const struct blkio *b)
{
	return nvme_pci_failure((const struct nvme_pci_dev *)b);
}

static const struct traffic_device traffic_nvme = { turn, is_given_up };

static bool idle(void *arg)
{
	struct controller *c = arg;

	if (!fuzz_is_main_thread())
		return false;
	return control(c) || answer(c) || (c->t.in && traffic_device_turn(&c->t));
}

/* ---- Fuzzer ------------------------------------------------------------------------------- */

static void make_good(struct controller *c)
{
	put(c->mem + PCI_CLASS_REVISION, 0x01080200, 4);
	put(reg(c, NVME_REG_CAP), 63 | 1 << 16 | 1ull << 37, 8);
	c->ctrl.ver = 0x10400;
	c->ctrl.oncs = NVME_CTRL_ONCS_DSM | NVME_CTRL_ONCS_WRITE_ZEROES;
	c->ctrl.mdts = 3;
	c->ctrl.oacs = NVME_CTRL_OACS_DBBUF_CFG;
	c->ctrl.oaes = NVME_CTRL_OAES_NA;
	c->ns.nsze = 1 << 20;
	c->ns.lbaf[0].ds = 9;
	c->namespaces[0] = 1;
}

void fuzz_one(const uint8_t *data, size_t len)
{
	static struct controller c;
	size_t size = CONFIG_SPACE + BAR_LEN;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct blkio *b;

	c = (struct controller){ .t.device = &traffic_nvme, .in = { data, data + len } };
	MUST(fd >= 0 && !ftruncate(fd, size));
	c.mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(c.mem != MAP_FAILED);
	make_good(&c);
	fuzz_bytes(&c.in, &c.says, sizeof(c.says));
	fuzz_patch(&c.in, reg(&c, 0), 64);
	fuzz_patch(&c.in, &c.ctrl, sizeof(c.ctrl));
	fuzz_patch(&c.in, &c.ns, sizeof(c.ns));
	fuzz_patch(&c.in, c.namespaces, sizeof(c.namespaces));

	fuzz_world.idle = idle;
	fuzz_world.ioctl = pci_ioctl;
	fuzz_world.arg = &c;
	fuzz_world.vfio_fd = fd;
	MUST(!blkio_create("nvme-vfio-pci", &b) && !blkio_set_str(b, "path", "fuzz"));
	c.t.b = b;
	if (!blkio_connect(b)) {
		MUST(!blkio_set_bool(b, "shadow-doorbells", c.says.flags & 0x80));
		traffic_run(&c.t, b, &c.in);
	}
	blkio_destroy(&b);
	munmap(c.mem, size);
	close(fd);
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The life of an NVMe controller (Base, 3.5, 3.6), and admin commands. They are few and polled for,
 * by up to two threads at a time: whichever looks takes in all answers. A command that is not
 * answered, or whose wait is cancelled, is the end of the controller: its answer might come into
 * the data of the next one.
 */
#include <stdio.h>

#include "nvme/nvme_pci.h"

#define ADMIN_SIZE	 16 /* entries, of which NVME_PCI_ASKERS are used at a time */
#define ADMIN_SECONDS	 10
#define SHUTDOWN_SECONDS 5
#define READY_UNIT	 (500 * NSEC_PER_MSEC) /* of CAP.TO */
#define PAUSE_MIN_NS	 5000
#define PAUSE_MAX_NS	 1000000

/* Rounds, pages of 4 KiB. */
#define CC_ENABLE (NVME_CC_ENTRY_SIZES | 1U << NVME_CC_EN_SHIFT)

/* ---- Registers ---------------------------------------------------------------------------- */

int nvme_pci_check_registers(struct nvme_pci_dev *d)
{
	uint64_t cap, doorbells;

	if (d->regs_len < NVME_REG_DOORBELLS + 4)
		return bk_err(EPROTO, "the NVMe controller has only %llu bytes of registers",
			      (unsigned long long)d->regs_len);
	if (nvme_reg_read32(d->regs, NVME_REG_CSTS) == NVME_REG_GONE)
		return bk_err(ENODEV, "the NVMe controller does not answer");
	cap = nvme_reg_read64(d->regs, NVME_REG_CAP);
	doorbells = nvme_doorbell_offset(NVME_STRIDE(cap), 1, true) + 4;
	if (!NVME_CAP_MQES(cap) || doorbells > d->regs_len)
		return bk_err(EPROTO,
			      "the NVMe controller reports impossible capabilities: %#llx (CAP)",
			      (unsigned long long)cap);
	if (NVME_CAP_MPSMIN(cap))
		return bk_err(ENOTSUP,
			      "the NVMe controller does not support pages of 4 KiB: its smallest "
			      "have %u KiB",
			      4U << NVME_CAP_MPSMIN(cap));
	if (!(NVME_CAP_CSS(cap) & (NVME_CAP_CSS_NVM | NVME_CAP_CSS_CSI)))
		return bk_err(ENOTSUP, "the NVMe controller has no command set for block devices");
	d->cap = cap;
	return 0;
}

/* Sleep until the bits of CSTS are so, ns at most. */
static int await_status(struct nvme_pci_dev *d, uint32_t mask, uint32_t value, int64_t ns,
			const char *step)
{
	struct bk_pauses pauses = { bk_deadline(&d->b), PAUSE_MIN_NS, PAUSE_MAX_NS };
	int64_t limit = deadline_in(ns);
	int ret;

	pauses.deadline.at = min_u64(pauses.deadline.at, limit);
	for (;;) {
		uint32_t status = nvme_reg_read32(d->regs, NVME_REG_CSTS);

		if (status == NVME_REG_GONE)
			return bk_err(ENODEV, "%s: the NVMe controller has been removed", step);
		if ((status & mask) == value)
			return 0;
		if (value && NVME_CSTS_CFS(status))
			return bk_err(EIO, "%s: the NVMe controller reported a fatal error", step);
		ret = bk_pause(&pauses);
		if (ret == -ETIMEDOUT)
			return bk_err(ETIMEDOUT,
				      "%s: the NVMe controller did not respond within %lld ms (its "
				      "status is %#x)",
				      step, (long long)(ns / NSEC_PER_MSEC), status);
		if (ret < 0)
			return bk_wait_err(&pauses.deadline, ret, step, "NVMe controller");
	}
}

static int64_t ready_ns(const struct nvme_pci_dev *d)
{
	return (NVME_CAP_TO(d->cap) + 1) * READY_UNIT;
}

int nvme_pci_disable(struct nvme_pci_dev *d)
{
	nvme_reg_write32(d->regs, NVME_REG_CC, 0);
	return await_status(d, 1 << NVME_CSTS_RDY_SHIFT, 0, ready_ns(d), "reset");
}

void nvme_pci_shut_down(struct nvme_pci_dev *d)
{
	uint32_t cc = nvme_reg_read32(d->regs, NVME_REG_CC);
	const uint32_t mask = NVME_CSTS_SHST_MASK << NVME_CSTS_SHST_SHIFT;

	nvme_reg_write32(d->regs, NVME_REG_CC, cc | NVME_CC_SHN_NORMAL << NVME_CC_SHN_SHIFT);
	/* If it does not finish in time, it is reset nevertheless. */
	await_status(d, mask, NVME_CSTS_SHST_CMPLT << NVME_CSTS_SHST_SHIFT,
		     SHUTDOWN_SECONDS * NSEC_PER_SEC, "shutdown");
}

/* ---- Enabling ----------------------------------------------------------------------------- */

static int alloc_admin(struct nvme_pci_dev *d, struct nvme_ring_place *p)
{
	/* Both rings, data, shadow doorbells. */
	const size_t pages = 2 + NVME_PCI_ASKERS + 2;
	int ret = queue_memory_alloc(&d->b, &d->admin_memory, pages * NVME_PAGE, d->map);
	const struct bk_region *r;

	if (ret < 0)
		return ret;
	r = &d->admin_memory->region;
	*p = (struct nvme_ring_place){
		.sq = (char *)r->addr,
		.cq = (char *)r->addr + NVME_PAGE,
		.sq_iova = r->iova,
		.cq_iova = r->iova + NVME_PAGE,
	};
	d->admin_data = (char *)r->addr + 2 * NVME_PAGE;
	d->admin_data_iova = r->iova + 2 * NVME_PAGE;
	d->shadows = (char *)d->admin_data + NVME_PCI_ASKERS * NVME_PAGE;
	d->shadows_iova = d->admin_data_iova + NVME_PCI_ASKERS * NVME_PAGE;
	return 0;
}

void nvme_pci_free_admin(struct nvme_pci_dev *d)
{
	queue_memory_free(&d->b, &d->admin_memory, d->unmap);
}

int nvme_pci_enable(struct nvme_pci_dev *d)
{
	bool all_sets = NVME_CAP_CSS(d->cap) & NVME_CAP_CSS_CSI;
	uint32_t css = all_sets ? NVME_CC_CSS_CSI : NVME_CC_CSS_NVM;
	unsigned size = ADMIN_SIZE; /* CAP.MQES is about I/O queues */
	struct nvme_ring_place p = { 0 };
	int ret = nvme_pci_disable(d);

	if (!ret)
		ret = alloc_admin(d, &p);
	if (ret < 0)
		return ret;
	nvme_ring_init(&d->admin, d, 0, size, &p);
	nvme_reg_write32(d->regs, NVME_REG_AQA, (size - 1) | (size - 1) << 16);
	nvme_reg_write64(d->regs, NVME_REG_ASQ, p.sq_iova);
	nvme_reg_write64(d->regs, NVME_REG_ACQ, p.cq_iova);
	nvme_reg_write32(d->regs, NVME_REG_CC, CC_ENABLE | css << NVME_CC_CSS_SHIFT);
	return await_status(d, 1 << NVME_CSTS_RDY_SHIFT, 1 << NVME_CSTS_RDY_SHIFT, ready_ns(d),
			    "enable");
}

/* ---- Commands ----------------------------------------------------------------------------- */

static int give_up(struct nvme_pci_dev *d, const struct bk_deadline *deadline, int err)
{
	nvme_pci_fail(d, "the NVMe controller did not answer an admin command");
	if (err == -ETIMEDOUT)
		return bk_err(ETIMEDOUT,
			      "the NVMe controller did not answer an admin command within %d s",
			      ADMIN_SECONDS);
	return bk_wait_err(deadline, err, "admin command", "answer");
}

/* With the lock held: what the controller has answered. */
static void take_answers(struct nvme_pci_dev *d)
{
	struct nvme_completion c;
	bool any = false;

	while (nvme_ring_get(&d->admin, &c)) {
		struct nvme_pci_command *cmd = &d->commands[c.cid % NVME_PCI_ASKERS];

		any = true;
		if (!c.valid || !cmd->pending || cmd->cid != c.cid) {
			nvme_pci_fail(d, "the NVMe controller completed a command that it was not "
					 "sent");
			return;
		}
		*cmd = (struct nvme_pci_command){ .status = c.status, .result = c.result };
	}
	if (any)
		nvme_ring_release(&d->admin, false);
}

void nvme_pci_send(struct nvme_pci_dev *d, enum nvme_pci_asker asker, const struct nvme_cmd *cmd)
{
	struct nvme_cmd *entry;

	pthread_mutex_lock(&d->admin_lock);
	entry = nvme_ring_entry(&d->admin);
	*entry = *cmd;
	/* Unlike those before it, and below 0x10000: the identifiers of an asker are apart by this.
	 */
	d->admin_cid = (d->admin_cid + 1) % (0x10000 / NVME_PCI_ASKERS);
	entry->cid = d->admin_cid * NVME_PCI_ASKERS + asker;
	d->commands[asker] = (struct nvme_pci_command){ .cid = entry->cid, .pending = true };
	nvme_ring_push(&d->admin);
	nvme_ring_show(&d->admin, false);
	pthread_mutex_unlock(&d->admin_lock);
}

bool nvme_pci_answered(struct nvme_pci_dev *d, enum nvme_pci_asker asker,
		       struct nvme_pci_command *c)
{
	pthread_mutex_lock(&d->admin_lock);
	/* Not what is left over in the queue of a controller that was given up. */
	if (!nvme_pci_failure(d))
		take_answers(d);
	*c = d->commands[asker];
	pthread_mutex_unlock(&d->admin_lock);
	return !c->pending;
}

/* The watching thread is to end with the instance, however long the controller takes. */
static struct bk_deadline deadline_of(const struct nvme_pci_dev *d, enum nvme_pci_asker asker)
{
	struct bk_deadline deadline = bk_deadline(&d->b);
	int64_t limit = deadline_in(ADMIN_SECONDS * NSEC_PER_SEC);

	deadline.at = min_u64(deadline.at, limit);
	if (asker == NVME_PCI_WATCHER)
		deadline.cancel_fd = d->watcher.wake_fd;
	return deadline;
}

static int await_answer(struct nvme_pci_dev *d, enum nvme_pci_asker asker,
			struct nvme_pci_command *c)
{
	struct bk_pauses pauses = { deadline_of(d, asker), PAUSE_MIN_NS, PAUSE_MAX_NS };

	while (!nvme_pci_answered(d, asker, c)) {
		const char *problem = nvme_pci_problem(d);
		int ret;

		if (problem)
			nvme_pci_fail(d, problem);
		if (nvme_pci_failure(d))
			return bk_err(EIO, "%s", nvme_pci_failure(d));
		ret = bk_pause(&pauses);
		/* The thread ends, and nobody uses its page until the controller is disabled. */
		if (ret == -ECANCELED && asker == NVME_PCI_WATCHER)
			return bk_err(ECANCELED, "the instance ends");
		if (ret < 0)
			return give_up(d, &pauses.deadline, ret);
	}
	return 0;
}

/* 0, an NVMe status, or bk_err(). */
static int command_of(struct nvme_pci_dev *d, enum nvme_pci_asker asker, const struct nvme_cmd *cmd,
		      uint32_t *result)
{
	struct nvme_pci_command c;
	int ret = nvme_pci_check_alive(d);

	if (ret < 0)
		return ret;
	nvme_pci_send(d, asker, cmd);
	ret = await_answer(d, asker, &c);
	if (ret < 0)
		return ret;
	if (result)
		*result = c.result;
	return c.status;
}

static int command(struct nvme_pci_dev *d, const struct nvme_cmd *cmd, uint32_t *result)
{
	return command_of(d, NVME_PCI_CALL, cmd, result);
}

/* For nvme_ident.h: len is NVME_PAGE at most. */
static int admin_read(const struct nvme_admin *a, const struct nvme_cmd *c, void *data,
		      uint32_t len)
{
	const struct nvme_pci_admin *admin = container_of(a, struct nvme_pci_admin, a);
	struct nvme_pci_dev *d = admin->d;
	char *page = (char *)d->admin_data + admin->asker * NVME_PAGE;
	struct nvme_cmd cmd = *c;
	int ret;

	memset(page, 0, NVME_PAGE);
	cmd.dptr[0] = d->admin_data_iova + admin->asker * NVME_PAGE;
	ret = command_of(d, admin->asker, &cmd, NULL);
	if (!ret)
		memcpy(data, page, min_u64(len, NVME_PAGE));
	return ret;
}

struct nvme_pci_admin nvme_pci_admin(struct nvme_pci_dev *d, enum nvme_pci_asker asker)
{
	return (struct nvme_pci_admin){ { admin_read }, d, asker };
}

int nvme_pci_set_feature(struct nvme_pci_dev *d, enum nvme_features_id fid, uint32_t value,
			 uint32_t *result)
{
	const struct nvme_cmd c = {
		.opcode = nvme_admin_set_features,
		.cdw10 = fid,
		.cdw11 = value,
	};

	return command(d, &c, result);
}

int nvme_pci_get_feature(struct nvme_pci_dev *d, enum nvme_features_id fid, uint32_t *value)
{
	const struct nvme_cmd c = { .opcode = nvme_admin_get_features, .cdw10 = fid };
	char what[48];

	snprintf(what, sizeof(what), "cannot read feature %#x of the controller", fid);
	return nvme_status_err(command(d, &c, value), what);
}

/* ---- I/O queues --------------------------------------------------------------------------- */

/* Base, 5.27.1.5 */
int nvme_pci_count_queues(struct nvme_pci_dev *d, unsigned max, unsigned *n)
{
	uint32_t given;
	int ret =
	    nvme_pci_set_feature(d, NVME_FEAT_FID_NUM_QUEUES, (max - 1) | (max - 1) << 16, &given);

	if (ret)
		return nvme_status_err(ret, "cannot set the number of queues");
	*n = nvme_given_queues(given, max);
	return 0;
}

/* Base, 5.8 */
int nvme_pci_set_up_shadows(struct nvme_pci_dev *d)
{
	const struct nvme_cmd c = {
		.opcode = nvme_admin_dbbuf,
		.dptr = { d->shadows_iova, d->shadows_iova + NVME_PAGE },
	};
	unsigned queues = d->b.num_queues + d->b.num_poll_queues;
	unsigned max = NVME_PAGE / (2 * NVME_STRIDE(d->cap)) - 1;
	int ret;

	if (!d->shadow_doorbells)
		return 0;
	if (!d->ns.has_shadow_doorbells)
		return bk_err(ENOTSUP, "the NVMe controller does not support shadow doorbells: set "
				       "property \"shadow-doorbells\" to false");
	if (queues > max)
		return bk_err(EINVAL,
			      "num-queues and num-poll-queues are %u together, but the NVMe "
			      "controller has shadow doorbells for %u",
			      queues, max);
	memset(d->shadows, 0, 2 * NVME_PAGE); /* an earlier blkio_start() may have failed */
	ret = command(d, &c, NULL);
	d->use_shadows = !ret;
	return nvme_status_err(ret, "cannot set up shadow doorbells");
}

static int create(struct nvme_pci_dev *d, unsigned id, unsigned size, const struct nvme_cmd *c,
		  uint64_t iova)
{
	struct nvme_cmd cmd = *c;
	char what[64];
	int ret;

	cmd.cdw10 = id | (size - 1) << 16;
	cmd.dptr[0] = iova;
	ret = command(d, &cmd, NULL);
	if (ret <= 0)
		return ret;
	snprintf(what, sizeof(what), "cannot create I/O %s queue %u",
		 c->opcode == nvme_admin_create_cq ? "completion" : "submission", id);
	return nvme_status_err(ret, what);
}

static void delete (struct nvme_pci_dev *d, enum nvme_admin_opcode opcode, unsigned id)
{
	const struct nvme_cmd c = { .opcode = opcode, .cdw10 = id };

	/* The memory of a queue that stays would be the controller's still. */
	if (!nvme_pci_failure(d) && command(d, &c, NULL) > 0)
		nvme_pci_fail(d, "the NVMe controller refused to delete a queue");
}

int nvme_pci_create_queue(struct nvme_pci_dev *d, unsigned id, unsigned size,
			  const struct nvme_ring_place *p, int vector)
{
	const uint32_t contiguous = 1 << 0, interrupts = 1 << 1;
	struct nvme_cmd cq = { .opcode = nvme_admin_create_cq, .cdw11 = contiguous };
	const struct nvme_cmd sq = {
		.opcode = nvme_admin_create_sq,
		.cdw11 = contiguous | id << 16,
	};
	int ret;

	if (vector >= 0)
		cq.cdw11 |= interrupts | (uint32_t)vector << 16;
	ret = create(d, id, size, &cq, p->cq_iova);
	if (ret < 0)
		return ret;
	ret = create(d, id, size, &sq, p->sq_iova);
	if (ret < 0) {
		const struct bk_err_msg why = bk_err_save();

		delete (d, nvme_admin_delete_cq, id);
		bk_err_restore(&why);
	}
	return ret;
}

void nvme_pci_delete_queue(struct nvme_pci_dev *d, unsigned id)
{
	delete (d, nvme_admin_delete_sq, id);
	delete (d, nvme_admin_delete_cq, id);
}

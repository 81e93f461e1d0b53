/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Registers of an NVMe controller on PCI (NVMe over PCIe Transport, 3.1): accesses and doorbells.
 * The offsets and fields are those of <nvme/types.h>.
 */
#ifndef BK_NVME_REGS_H
#define BK_NVME_REGS_H

#include <endian.h>
#include <nvme/types.h>
#include <stdint.h>

#define NVME_REG_DOORBELLS 0x1000U
#define NVME_REG_GONE	   UINT32_MAX /* what is read where no device answers */

/* Bytes between two doorbells, for a value of CAP. */
#define NVME_STRIDE(cap) (4U << NVME_CAP_DSTRD(cap))

/* The offset of a queue's doorbell: of its submission tail, or of its completion head. */
static inline uint64_t nvme_doorbell_offset(unsigned stride, unsigned qid, bool completion)
{
	return NVME_REG_DOORBELLS + (2ULL * qid + completion) * stride;
}

/* What was stored before is in memory when the device sees what follows. */
static inline void nvme_store_barrier(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__asm__ volatile("" ::: "memory"); /* stores stay in order, also those to devices */
#elif defined(__aarch64__)
	__asm__ volatile("dmb oshst" ::: "memory");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

static inline uint32_t nvme_reg_read32(const volatile void *regs, unsigned offset)
{
	return le32toh(*(const volatile uint32_t *)((const volatile char *)regs + offset));
}

static inline void nvme_reg_write32(volatile void *regs, unsigned offset, uint32_t value)
{
	nvme_store_barrier();
	*(volatile uint32_t *)((volatile char *)regs + offset) = htole32(value);
}

/* 64-bit registers in two halves, which all controllers and machines can do. */
static inline uint64_t nvme_reg_read64(const volatile void *regs, unsigned offset)
{
	uint64_t low = nvme_reg_read32(regs, offset);

	return low | (uint64_t)nvme_reg_read32(regs, offset + 4) << 32;
}

static inline void nvme_reg_write64(volatile void *regs, unsigned offset, uint64_t value)
{
	nvme_reg_write32(regs, offset, (uint32_t)value);
	nvme_reg_write32(regs, offset + 4, value >> 32);
}

/* ---- Doorbells ---------------------------------------------------------------------------- */

/* A doorbell, and with shadow doorbells (Base, 5.8, B.5) two words in memory; or NULL. */
struct nvme_doorbell {
	volatile uint32_t *reg;
	uint32_t *shadow;      /* its value, for the controller to look at */
	const uint32_t *event; /* the controller's: it looks no more once this value is passed */
};

static inline void nvme_doorbell_write(const struct nvme_doorbell *d, uint32_t value)
{
	nvme_reg_write32(d->reg, 0, value);
}

/*
 * Through the shadow; the register, which under a hypervisor costs an exit, is only for a
 * controller that has stopped looking. old: the value before.
 *
 * No doorbell is lost: we store the value, and then load where the controller stopped. The
 * controller stores that, and then loads the value once more before it stops. With a full barrier
 * between the two on both sides, at least one sees what the other has stored. Without ours, the
 * processor may load the event while the value is still in its store buffer: the controller would
 * miss the value, and we that it has stopped.
 */
static inline void nvme_doorbell_write_shadow(const struct nvme_doorbell *d, uint32_t value,
					      uint32_t old)
{
	uint32_t event;

	/* Release: whoever sees the value sees the entries before it. */
	__atomic_store_n(d->shadow, htole32(value), __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = le32toh(__atomic_load_n(d->event, __ATOMIC_RELAXED));
	/* Values wrap at the size of the ring, not at 2^16: a step across may ring without need. */
	if ((uint16_t)(value - event - 1) < (uint16_t)(value - old))
		nvme_doorbell_write(d, value);
}

#endif

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One virtqueue, split or packed: add buffers, publish them, get back what the device used. Pure
 * memory: it knows no descriptors of files, no transport and no requests.
 *
 * The device is not trusted. What it may write (all of the shared memory) is never read back as if
 * it were ours: chain lengths, links, positions and what is in flight are kept in private memory,
 * an element of the used ring is read once and checked, and whatever cannot be is -EIO.
 *
 * Every chain has an id below size. With INDIRECT_DESC a chain takes one descriptor, which points
 * to a table of the caller's; without, one descriptor per buffer.
 */
#ifndef BK_VIRTIO_VIRTQ_H
#define BK_VIRTIO_VIRTQ_H

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>

#include "util.h"

#define VIRTQ_SIZE_MAX 32768U

/* A buffer of a chain. Those that the device writes come last (virtio 1.2, 2.6.4.2). */
struct virtq_buf {
	uint64_t iova;
	uint32_t len;
	bool device_writes;
};

struct virtq_config {
	unsigned size; /* a power of two, at most VIRTQ_SIZE_MAX */
	bool packed, event_idx, indirect;
};

/* Where the three parts of a ring lie in its memory. */
struct virtq_layout {
	size_t desc, driver, device, len;
};

struct virtq {
	/* split */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t *avail_event;
	/* packed */
	struct vring_packed_desc *pdesc;
	struct vring_packed_desc_event *driver_event, *device_event;

	struct virtq_chain {
		uint16_t next; /* the next free id, or the next of the same chain */
		uint16_t len;  /* in descriptors; 0: not in flight */
	} * chain;	       /* by id; private */
	uint16_t size_mask;
	uint16_t free_id;	    /* head of the list of free ids */
	unsigned nr_free;	    /* descriptors */
	unsigned inflight;	    /* chains added and not yet got back */
	uint16_t avail_pos;	    /* split: a free-running count; packed: a position */
	uint16_t added;		    /* descriptors since the last publish */
	uint16_t used_pos;	    /* next to get; the same kinds of number */
	uint16_t used_seen;	    /* split: up to here the device is known to be */
	uint16_t first_pos;	    /* packed: the first unpublished descriptor, and ... */
	uint16_t first_flags;	    /* ... what makes it available */
	bool avail_wrap, used_wrap; /* packed */
	bool packed, event_idx, indirect;
	bool flags_armed; /* the device was told, by a flag, to signal */
	unsigned size;
};

struct virtq_layout virtq_layout(const struct virtq_config *c);
/* mem: of the layout's length, page-aligned. 0 or -ENOMEM; then nothing is to be undone. */
int virtq_init(struct virtq *vq, const struct virtq_config *c, void *mem);
/* Begin again, in the same memory, with nothing in flight; no device knows the ring. */
void virtq_reset(struct virtq *vq, const struct virtq_config *c, void *mem);
void virtq_exit(struct virtq *vq);

/* Write a table for virtq_add_indirect(). */
void virtq_write_table(const struct virtq *vq, void *table, const struct virtq_buf *bufs,
		       unsigned n);
/* Add n buffers as n descriptors: the caller has seen that there is room. */
void virtq_add_chain(struct virtq *vq, const struct virtq_buf *bufs, unsigned n);
/* Take back the chain in flight with this id although the device did not return it. */
void virtq_forget(struct virtq *vq, uint16_t id);
/* How many chains were added since the last publish; -EIO when the device wrote over them. */
int virtq_unshown(const struct virtq *vq);
/*
 * Ask to be signalled when n more chains are used. Returns whether they are already, so that
 * nobody need wait for a signal which may never come.
 */
bool virtq_arm(struct virtq *vq, unsigned n);
/* Do not ask any more. A signal or two may still come. */
void virtq_disarm(struct virtq *vq);

/* ---- Shared memory ------------------------------------------------------------------------ */

/* Fields that are read or written together. */
typedef uint64_t __attribute__((may_alias)) virtq_word;
typedef uint32_t __attribute__((may_alias)) virtq_half;

#define VIRTQ_LOAD(x)	  __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define VIRTQ_STORE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)

/* Length, flags and link of a descriptor as one word, which is one store. */
static inline uint64_t virtq_desc_tail(const struct virtq *vq, uint32_t len, uint16_t flags,
				       uint16_t next)
{
	if (vq->packed)
		return htole64(len | (uint64_t)flags << 48);
	return htole64(len | (uint64_t)flags << 32 | (uint64_t)next << 48);
}

static inline void virtq_write_desc(void *desc, uint64_t iova, uint64_t tail)
{
	virtq_word *word = desc;

	VIRTQ_STORE(word[0], htole64(iova));
	VIRTQ_STORE(word[1], tail);
}

/* ---- Adding ------------------------------------------------------------------------------- */

static inline bool virtq_has_room(const struct virtq *vq, unsigned n)
{
	return vq->nr_free >= n;
}

/* The id of the next chain, given that there is room for it. */
static inline uint16_t virtq_next_id(const struct virtq *vq)
{
	return vq->free_id;
}

/* The bits that make a packed descriptor available: they change with each lap of the ring. */
static inline uint16_t virtq_avail_bits(const struct virtq *vq)
{
	return vq->avail_wrap ? 1 << VRING_PACKED_DESC_F_AVAIL : 1 << VRING_PACKED_DESC_F_USED;
}

static inline void virtq_write_packed(struct virtq *vq, uint64_t iova, uint32_t len, uint16_t id,
				      uint16_t flags)
{
	virtq_word *word = (virtq_word *)&vq->pdesc[vq->avail_pos];

	flags |= virtq_avail_bits(vq);
	if (!vq->added) {
		/* The device stops here until publish, whatever the descriptors behind say. */
		vq->first_pos = vq->avail_pos;
		vq->first_flags = flags;
		flags ^= 1 << VRING_PACKED_DESC_F_AVAIL;
	}
	VIRTQ_STORE(word[0], htole64(iova));
	VIRTQ_STORE(word[1], htole64(len | (uint64_t)id << 32 | (uint64_t)flags << 48));
	vq->added++;
	if (++vq->avail_pos == vq->size) {
		vq->avail_pos = 0;
		vq->avail_wrap = !vq->avail_wrap;
	}
}

/* Add a chain that is one descriptor and len bytes of table. */
static inline void virtq_add_indirect(struct virtq *vq, uint64_t table_iova, uint32_t len)
{
	uint16_t id = vq->free_id;

	vq->free_id = vq->chain[id].next;
	vq->chain[id].len = 1;
	vq->nr_free--;
	vq->inflight++;
	if (vq->packed) {
		virtq_write_packed(vq, table_iova, len, id, VRING_DESC_F_INDIRECT);
		return;
	}
	virtq_write_desc(&vq->desc[id], table_iova,
			 virtq_desc_tail(vq, len, VRING_DESC_F_INDIRECT, 0));
	VIRTQ_STORE(vq->avail->ring[vq->avail_pos & vq->size_mask], htole16(id));
	vq->avail_pos++;
	vq->added++;
}

bool virtq_publish_packed(struct virtq *vq, uint16_t added);

/* Show the device what was added. Returns whether it has to be kicked. */
static inline bool virtq_publish(struct virtq *vq)
{
	uint16_t added = vq->added;

	if (!added)
		return false;
	vq->added = 0;
	if (vq->packed)
		return virtq_publish_packed(vq, added);

	/* Release: ring entries and descriptors are there before the index that covers them. */
	__atomic_store_n(&vq->avail->idx, htole16(vq->avail_pos), __ATOMIC_RELEASE);
	/* The device writes what follows, then looks at the index; we the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (vq->event_idx) {
		uint16_t event = le16toh(VIRTQ_LOAD(*vq->avail_event));

		return vring_need_event(event, vq->avail_pos, vq->avail_pos - added);
	}
	return !(le16toh(VIRTQ_LOAD(vq->used->flags)) & VRING_USED_F_NO_NOTIFY);
}

/* ---- Getting ------------------------------------------------------------------------------ */

int virtq_get_packed(struct virtq *vq, uint16_t *id, uint32_t *len);
bool virtq_has_used_packed(const struct virtq *vq, unsigned n);

static inline uint16_t virtq_device_idx(const struct virtq *vq)
{
	/* Acquire: elements and data below the index were written before it. */
	return le16toh(__atomic_load_n(&vq->used->idx, __ATOMIC_ACQUIRE));
}

/* Whether n chains can be got back. With chains of several descriptors: whether any can. */
static inline bool virtq_has_used(const struct virtq *vq, unsigned n)
{
	if (vq->packed)
		return virtq_has_used_packed(vq, n);
	return (uint16_t)(virtq_device_idx(vq) - vq->used_pos) >= n;
}

/* The chain of a checked id is free again. */
static inline void virtq_free_chain(struct virtq *vq, uint16_t id)
{
	unsigned n = vq->chain[id].len;
	uint16_t last = id;

	/* Packed chains take n positions of the ring and one id. */
	if (unlikely(n > 1) && !vq->packed) {
		for (unsigned i = 1; i < n; i++)
			last = vq->chain[last].next;
	}
	vq->chain[last].next = vq->free_id;
	vq->chain[id].len = 0;
	vq->free_id = id;
	vq->nr_free += n;
	vq->inflight--;
}

/*
 * Get one chain back: its id, and how many bytes the device says it has written. 1, 0 when there
 * is none, or -EIO when the device broke the rules; then the queue must not be read any more.
 */
static inline int virtq_get(struct virtq *vq, uint16_t *id, uint32_t *len)
{
	const struct vring_used_elem *elem;
	uint32_t i;

	if (vq->packed)
		return virtq_get_packed(vq, id, len);
	if (vq->used_pos == vq->used_seen) {
		vq->used_seen = virtq_device_idx(vq);
		if (vq->used_pos == vq->used_seen)
			return 0;
		if ((uint16_t)(vq->used_seen - vq->used_pos) > vq->inflight)
			return -EIO;
	}
	/* Each is read once: the device may change them at any time. */
	elem = &vq->used->ring[vq->used_pos & vq->size_mask];
	i = le32toh(VIRTQ_LOAD(elem->id));
	if (unlikely(i >= vq->size || !vq->chain[i].len))
		return -EIO;
	vq->used_pos++;
	*id = (uint16_t)i;
	*len = le32toh(VIRTQ_LOAD(elem->len));
	virtq_free_chain(vq, *id);
	return 1;
}

/* After a get: whether another is worthwhile without waiting for the device to do more. */
static inline bool virtq_may_have_more(const struct virtq *vq)
{
	return vq->packed || vq->used_pos != vq->used_seen;
}

#endif

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See pump_slot.h. Zeroes are looked for in pieces of ZERO_GRANULARITY. */
#include <string.h>

#include "pump_slot.h"

#define ZERO_GRANULARITY 65536

bool pump_is_zero(const char *buf, size_t len)
{
	const size_t head = len < 16 ? len : 16;

	for (size_t i = 0; i < head; i++) {
		if (buf[i])
			return false;
	}
	return !memcmp(buf, buf + head, len - head);
}

/*
 * The library reads zeroes past the end of a file: are those of this block there, or has somebody
 * cut the source? Asked before they overwrite anything.
 */
static bool source_shrank(struct pump *p, struct slot *s)
{
	const struct pump_end *src = &p->plan->src;
	struct stat st;

	if (!place_is_file(src->place) || src->place->fd < 0 || fstat(src->place->fd, &st) < 0 ||
	    (uint64_t)st.st_size >= s->start + s->len)
		return false;
	s->writing = false;
	pump_fail(p, s, src->t, 0, "the file was truncated during the copy");
	return true;
}

static void write_data(struct pump *p, struct slot *s, uint64_t from, uint64_t to)
{
	blkioq_write(p->dst.q, s->start + from, s->src + from, to - from, s, 0);
	p->dst.outstanding++;
	s->pending++;
}

/* What is a hole in the destination stays one. */
static void write_zeroes(struct pump *p, struct slot *s, uint64_t from, uint64_t to)
{
	p->result->zeroes += to - from;
	if (s->dst_zero)
		return;
	blkioq_write_zeroes(p->dst.q, s->start + from, to - from, s, 0);
	p->dst.outstanding++;
	s->pending++;
}

/* A device zeroes whole blocks only: what is left at the end of an image is data. */
static void write_zero_run(struct pump *p, struct slot *s, uint64_t from, uint64_t to)
{
	uint64_t end = to - (s->start + to) % p->plan->zero_align;

	if (end > from && end <= to)
		write_zeroes(p, s, from, end);
	else
		end = from;
	if (end < to)
		write_data(p, s, end, to);
}

static void write_run(struct pump *p, struct slot *s, uint64_t from, uint64_t to, bool zero)
{
	if (zero)
		write_zero_run(p, s, from, to);
	else
		write_data(p, s, from, to);
}

static bool piece_is_zero(const struct slot *s, uint64_t at)
{
	uint64_t left = s->len - at;

	return pump_is_zero(s->src + at, left < ZERO_GRANULARITY ? left : ZERO_GRANULARITY);
}

static void write_runs(struct pump *p, struct slot *s)
{
	uint64_t begin = 0;
	bool zero = piece_is_zero(s, 0);

	for (uint64_t at = ZERO_GRANULARITY; at < s->len; at += ZERO_GRANULARITY) {
		bool now = piece_is_zero(s, at);

		if (now != zero) {
			write_run(p, s, begin, at, zero);
			begin = at;
		}
		zero = now;
	}
	write_run(p, s, begin, s->len, zero);
}

void pump_write(struct pump *p, struct slot *s)
{
	s->writing = true;
	if ((s->src_zero || !s->src[s->len - 1]) && source_shrank(p, s))
		return;
	if (s->src_zero)
		write_zeroes(p, s, 0, s->len);
	else if (p->plan->find_zeroes)
		write_runs(p, s);
	else
		write_data(p, s, 0, s->len);
}

/*
 * While a block device is open exclusively, as guard.c and a device mapper keep it, Linux refuses
 * with EBUSY to zero a range that is dirty in the page cache (truncate_bdev_range() in
 * block/bdev.c). Another writer, or the data beside the zeroes, can make it so at any time.
 */
bool pump_rewrite(struct pump *p, struct slot *s)
{
	uint64_t left = s->len - s->rewritten;
	uint64_t len = left < p->plan->block ? left : p->plan->block;

	if (!left)
		return false;
	if (s->src_zero && !s->rewritten)
		memset(s->src, 0, len);
	blkioq_write(p->dst.q, s->start + s->rewritten, s->src, len, s, 0);
	p->dst.outstanding++;
	s->pending++;
	s->rewritten += len;
	return true;
}

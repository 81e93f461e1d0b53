/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * --skip-errors: what to do with a block that cannot be read. It is read again in pieces, one after
 * the other. What the medium has lost is skipped; a source that is gone must not be: its "zeroes"
 * would overwrite good data. The two often have the same errno value, EIO: the kernel's page cache
 * and a vhost-user server that has died report nothing else. So after each pass that left pieces
 * unread, the source has to prove that it is alive, by reading from somewhere else:
 *
 *   block fails -> probe -> read pieces -> probe -> read bad pieces again -> probe -> skip them
 *
 * The second read is for a source that was away in between, for a moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "pump_slot.h"
#include "tool.h"

#define SPREAD 16 /* probes, all over the source */
#define PASSES 2

/*
 * What a kernel (blk_errors[] in block/blk-core.c, file systems) or driver says of data that are
 * lost. All else is about the device, the way to it, or the request.
 */
static bool is_media_error(int error)
{
	switch (error) {
	case EIO:	/* anything, see above */
	case ENODATA:	/* the medium */
	case EILSEQ:	/* protection information, integrity */
	case EREMOTEIO: /* the target, of this request */
	case EBADMSG:	/* a file system's checksum */
	case EUCLEAN:	/* a file system's structures */
		return true;
	}
	return false;
}

static size_t piece_len(const struct pump *p, const struct slot *s)
{
	uint64_t left = s->len - s->rescue.at;

	return left < p->piece ? left : p->piece;
}

/* ---- Is the source alive? ----------------------------------------------------------------- */

/* Candidate 0 is what could be read before, the others are spread over the source. */
static uint64_t candidate_offset(const struct pump *p, unsigned candidate)
{
	uint64_t at = candidate ? p->plan->size / SPREAD * (candidate - 1) : p->good;

	return at - at % p->piece;
}

/* Memory is not the source: what is in the page cache proves nothing. */
static void drop_cache(const struct pump *p)
{
	int fd = p->plan->src.place->fd;

	if (fd >= 0)
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static void begin_probe(const struct pump *p, struct slot *s)
{
	s->rescue.step = RESCUE_PROBE;
	s->rescue.candidate = p->good == UINT64_MAX ? 1 : 0;
}

/* Into the block's own buffer, of which only what was read successfully matters. */
static void read_probe(struct pump *p, struct slot *s)
{
	uint64_t at = candidate_offset(p, s->rescue.candidate), left = p->plan->size - at;
	char *buf = s->src;

	for (size_t i = 0; s->rescue.pass && !s->rescue.bad[i]; i++)
		buf += p->piece;
	drop_cache(p);
	pump_read(&p->src, s, at, buf, left < p->piece ? left : p->piece);
}

static void probe_completed(struct pump *p, struct slot *s, int error)
{
	struct rescue *r = &s->rescue;

	if (!error) {
		p->good = candidate_offset(p, r->candidate);
		r->step = r->pass == PASSES ? RESCUE_DONE : RESCUE_READ;
		r->pass++;
		r->at = 0;
	} else if (!is_media_error(error) || r->candidate++ == SPREAD) {
		pump_fail(p, s, p->plan->src.t, error, "the source no longer responds");
	}
}

/* ---- Pieces ------------------------------------------------------------------------------- */

static void piece_completed(struct pump *p, struct slot *s, int error)
{
	struct rescue *r = &s->rescue;
	bool *bad = &r->bad[r->at / p->piece];

	if (error && !is_media_error(error)) {
		pump_fail(p, s, p->plan->src.t, error, NULL);
		return;
	}
	r->nr_bad += (error != 0) - *bad;
	*bad = error != 0;
	if (!error)
		p->good = s->start + r->at;
	r->at += piece_len(p, s);
}

static bool read_piece(struct pump *p, struct slot *s)
{
	struct rescue *r = &s->rescue;

	while (r->pass > 1 && r->at < s->len && !r->bad[r->at / p->piece])
		r->at += piece_len(p, s);
	if (r->at < s->len)
		pump_read(&p->src, s, s->start + r->at, s->src + r->at, piece_len(p, s));
	return r->at < s->len;
}

/* ---- The end ------------------------------------------------------------------------------ */

/* Into the list of ranges, joined with those that touch it. */
static void note_unreadable(struct pump_result *result, uint64_t start, uint64_t len)
{
	struct pump_range *r = result->unreadable;
	unsigned at = 0, n = result->nr_unreadable, end;

	while (at < n && r[at].start + r[at].len < start)
		at++;
	for (end = at; end < n && r[end].start <= start + len; end++) {
		len += r[end].len;
		start = r[end].start < start ? r[end].start : start;
	}
	r = tool_realloc(r, n + 1, sizeof(*r));
	memmove(&r[at + 1], &r[end], (n - end) * sizeof(*r));
	r[at] = (struct pump_range){ start, len };
	result->unreadable = r;
	result->nr_unreadable = n + 1 - (end - at);
}

static void skip_bad_pieces(struct pump *p, struct slot *s)
{
	struct rescue *r = &s->rescue;

	for (r->at = 0; r->at < s->len; r->at += piece_len(p, s)) {
		if (!r->bad[r->at / p->piece])
			continue;
		memset(s->src + r->at, 0, piece_len(p, s));
		note_unreadable(p->result, s->start + r->at, piece_len(p, s));
	}
}

static bool end(struct slot *s)
{
	s->rescue.step = RESCUE_NONE;
	free(s->rescue.bad);
	s->rescue.bad = NULL;
	return false;
}

static bool give_up(struct pump *p, struct slot *s)
{
	s->failed = true;
	if (s->start < p->undone)
		p->undone = s->start;
	return end(s);
}

/* ---- Public ------------------------------------------------------------------------------- */

bool rescue_begins(struct pump *p, struct slot *s, int error)
{
	if (!p->plan->skip_errors || s->writing || !is_media_error(error))
		return false;
	s->rescue = (struct rescue){ .bad = tool_alloc(s->len / p->piece + 1, sizeof(bool)) };
	begin_probe(p, s);
	return true;
}

void rescue_completed(struct pump *p, struct slot *s, const struct blkio_completion *c)
{
	if (s->rescue.step == RESCUE_PROBE)
		probe_completed(p, s, -c->ret);
	else
		piece_completed(p, s, -c->ret);
}

bool rescue_continues(struct pump *p, struct slot *s)
{
	struct rescue *r = &s->rescue;

	if (s->failed)
		return end(s);
	if (p->stopping)
		return give_up(p, s);
	if (r->step == RESCUE_READ) {
		if (read_piece(p, s))
			return true;
		if (r->nr_bad)
			begin_probe(p, s);
		else
			return end(s);
	}
	if (r->step == RESCUE_PROBE) {
		read_probe(p, s);
		return true;
	}
	skip_bad_pieces(p, s);
	return end(s);
}

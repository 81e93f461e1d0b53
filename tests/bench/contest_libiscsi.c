/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The same loop over libiscsi, with its tasks and callbacks, which read straight into our memory.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

/* clang-format off: the second needs the first */
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
/* clang-format on */

#include "contest.h"

enum { BLOCK = 512 };

struct slot {
	struct side *side;
	struct scsi_iovec iov;
	unsigned index;
};

struct side {
	struct iscsi_context *iscsi;
	int lun;
	char *buf;
	struct slot *slots;
	unsigned *free, nr_free; /* slots */
	unsigned done;
};

static void must(struct side *s, const char *what, bool ok)
{
	if (!ok)
		bench_die(what, iscsi_get_error(s->iscsi));
}

static void connect_to(struct side *s, const char *path)
{
	struct iscsi_url *url = iscsi_parse_full_url(s->iscsi, path);

	must(s, "uri", url);
	iscsi_set_targetname(s->iscsi, url->target);
	iscsi_set_session_type(s->iscsi, ISCSI_SESSION_NORMAL);
	iscsi_set_header_digest(s->iscsi, ISCSI_HEADER_DIGEST_NONE_CRC32C);
	s->lun = url->lun;
	must(s, "connect", !iscsi_full_connect_sync(s->iscsi, url->portal, url->lun));
	iscsi_destroy_url(url);
}

void *libiscsi_open(const struct workload *w, const struct contender *c)
{
	struct side *s = calloc(1, sizeof(*s));

	(void)c;
	if (!s || posix_memalign((void **)&s->buf, 4096, (size_t)w->len * w->depth))
		bench_die("memory", "none left");
	s->free = calloc(w->depth, sizeof(*s->free));
	s->slots = calloc(w->depth, sizeof(*s->slots));
	s->iscsi = iscsi_create_context("iqn.2021-01.io.gitlab.libblkio:bench-client");
	if (!s->free || !s->slots || !s->iscsi)
		bench_die("memory", "none left");
	for (unsigned i = 0; i < w->depth; i++) {
		s->slots[i] = (struct slot){ s, { 0 }, i };
		s->free[s->nr_free++] = i;
	}
	connect_to(s, w->path);
	return s;
}

static void read_is_done(struct iscsi_context *iscsi, int status, void *data, void *arg)
{
	struct slot *slot = arg;

	if (status != SCSI_STATUS_GOOD)
		bench_die("read", iscsi_get_error(iscsi));
	scsi_free_scsi_task(data);
	slot->side->free[slot->side->nr_free++] = slot->index;
	slot->side->done++;
}

static void prepare(struct side *s, const struct workload *w, uint32_t *seed)
{
	struct slot *slot = &s->slots[s->free[--s->nr_free]];

	slot->iov = (struct scsi_iovec){ s->buf + (size_t)slot->index * w->len, w->len };
	must(s, "read",
	     iscsi_read16_iov_task(s->iscsi, s->lun, next_offset(seed, w) / BLOCK, w->len, BLOCK, 0,
				   0, 0, 0, 0, read_is_done, slot, &slot->iov, 1));
}

static void wait(struct side *s)
{
	struct pollfd p = { .fd = iscsi_get_fd(s->iscsi),
			    .events = (short)iscsi_which_events(s->iscsi) };

	if (poll(&p, 1, -1) < 0)
		bench_die("poll", strerror(errno));
	must(s, "service", !iscsi_service(s->iscsi, p.revents));
}

void libiscsi_run(void *state, const struct workload *w, unsigned requests)
{
	struct side *s = state;
	unsigned queued = 0;
	uint32_t seed = 1;

	s->done = 0;
	while (s->done < requests) {
		for (; s->nr_free && queued < requests; queued++)
			prepare(s, w, &seed);
		wait(s);
	}
}

void libiscsi_close(void *state)
{
	struct side *s = state;

	iscsi_logout_sync(s->iscsi);
	iscsi_destroy_context(s->iscsi);
	free(s->slots);
	free(s->free);
	free(s->buf);
	free(s);
}

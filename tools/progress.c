/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See progress.h. */
#include <stdio.h>
#include <string.h>

#include "progress.h"
#include "tool.h"

#define INTERVAL_NS (NSEC_PER_SEC / 5)
#define BAR_WIDTH   24

void progress_start(struct progress *p, const char *what, uint64_t total, bool on)
{
	*p = (struct progress){ .what = what, .total = total, .on = on };
	p->start_ns = tool_now_ns();
	p->next_ns = p->start_ns;
}

static void draw(const struct progress *p, uint64_t done, int64_t now)
{
	double part = p->total ? (double)done / (double)p->total : 1;
	double seconds = (double)(now - p->start_ns) / NSEC_PER_SEC;
	double rate = seconds > 0 ? (double)done / seconds : 0;
	char bar[BAR_WIDTH + 1];

	memset(bar, ' ', BAR_WIDTH);
	memset(bar, '#', (size_t)(part * BAR_WIDTH));
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r%s %3d%% [%s] %s of %s, %s/s", p->what, (int)(part * 100), bar,
		tool_human_size((double)done).s, tool_human_size((double)p->total).s,
		tool_human_size(rate).s);
	if (rate > 0) {
		long left = (long)((double)(p->total - done) / rate);

		fprintf(stderr, ", %ld:%02ld left", left / 60, left % 60);
	}
	fputs("\033[K", stderr);
}

void progress_update(struct progress *p, uint64_t done)
{
	int64_t now;

	if (!p->on)
		return;
	now = tool_now_ns();
	if (now < p->next_ns)
		return;
	p->next_ns = now + INTERVAL_NS;
	draw(p, done, now);
}

void progress_clear(const struct progress *p)
{
	if (p->on)
		fputs("\r\033[K", stderr);
}

void progress_end(struct progress *p)
{
	progress_clear(p);
	p->on = false;
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See bench_report.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bench_report.h"
#include "json.h"
#include "tool.h"

static const double percentiles[] = { 1, 10, 50, 90, 95, 99, 99.9, 99.99, 99.999 };
static const char *const kinds[] = { "read", "write" };

/* ---- Running ------------------------------------------------------------------------------ */

static bool all_finished(const struct load_worker *w)
{
	for (unsigned i = 0; i < w->plan->threads; i++) {
		if (!__atomic_load_n(&w[i].finished, __ATOMIC_ACQUIRE))
			return false;
	}
	return true;
}

/* A line on the terminal, until the threads end. */
static void watch(const struct load_worker *w)
{
	const struct timespec pause = { .tv_nsec = NSEC_PER_SEC / 5 };
	int64_t start = tool_now_ns();
	uint64_t before = 0;

	while (!all_finished(w)) {
		uint64_t done = 0;

		nanosleep(&pause, NULL);
		for (unsigned i = 0; i < w->plan->threads; i++)
			done += __atomic_load_n(&w[i].done, __ATOMIC_RELAXED);
		fprintf(stderr, "\r%.1f s, %.0f requests per second\033[K",
			(double)(tool_now_ns() - start) / NSEC_PER_SEC,
			(double)(done - before) * 5);
		before = done;
	}
	fputs("\r\033[K", stderr);
}

static void check(const struct load_worker *w)
{
	const struct load_plan *plan = w->plan;

	for (unsigned i = 0; i < plan->threads; i++) {
		const struct load_result *r = &w[i].result;

		if (r->failure.error < 0)
			tool_die("%s: %s", plan->t->text, r->failure.msg);
		if (r->failure.error)
			tool_die("%s: %s error at offset %llu: %s%s%s", plan->t->text,
				 kinds[r->failure.is_write], (unsigned long long)r->failure.start,
				 strerror(r->failure.error), *r->failure.msg ? ": " : "",
				 r->failure.msg);
	}
}

static void sum_up(struct bench_report *r, const struct load_worker *w)
{
	for (unsigned i = 0; i < r->plan->threads; i++) {
		const struct load_result *one = &w[i].result;
		double seconds = (double)(one->end_ns - one->begin_ns) / NSEC_PER_SEC;

		r->seconds = seconds > r->seconds ? seconds : r->seconds;
		for (int kind = 0; kind < 2; kind++) {
			r->ios[kind] += one->ios[kind];
			if (seconds > 0)
				r->iops[kind] += (double)one->ios[kind] / seconds;
			histogram_merge(&r->latency[kind], &one->latency[kind]);
		}
	}
}

static double seconds_of(struct timeval tv)
{
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

void bench_report_run(struct bench_report *r, bool progress)
{
	struct rusage before, after;
	struct load_worker *workers;

	getrusage(RUSAGE_SELF, &before);
	workers = load_start(r->plan);
	if (progress)
		watch(workers);
	load_join(workers);
	getrusage(RUSAGE_SELF, &after);
	check(workers);
	sum_up(r, workers);
	r->user_cpu = seconds_of(after.ru_utime) - seconds_of(before.ru_utime);
	r->system_cpu = seconds_of(after.ru_stime) - seconds_of(before.ru_stime);
	r->switches = after.ru_nvcsw + after.ru_nivcsw - before.ru_nvcsw - before.ru_nivcsw;
	free(workers);
	if (tool_stop_signal)
		tool_warn("interrupted: the figures cover only the time until then");
}

/* ---- Text --------------------------------------------------------------------------------- */

static double mean(const struct histogram *h)
{
	return h->n ? (double)h->sum / (double)h->n : 0;
}

static void print_latency(const struct histogram *h)
{
	printf("  latency  mean %s, min %s, max %s\n", tool_human_time((int64_t)mean(h)).s,
	       tool_human_time((int64_t)h->min).s, tool_human_time((int64_t)h->max).s);
	for (size_t i = 0; i < ARRAY_LEN(percentiles); i++)
		printf("  %8g %% %12s\n", percentiles[i],
		       tool_human_time((int64_t)histogram_percentile(h, percentiles[i])).s);
}

void bench_report_text(const struct bench_report *r)
{
	const struct load_plan *plan = r->plan;

	printf("%s, %s, depth %u, %u thread%s, wait %s, %.2f s\n", r->rw,
	       tool_human_size((double)plan->block).s, plan->depth, plan->threads,
	       plan->threads > 1 ? "s" : "", r->wait, r->seconds);
	for (int kind = 0; kind < 2; kind++) {
		if (!r->ios[kind])
			continue;
		printf("%-5s %.0f IOPS, %s/s, %llu requests\n", kinds[kind], r->iops[kind],
		       tool_human_size(r->iops[kind] * (double)plan->block).s,
		       (unsigned long long)r->ios[kind]);
		if (plan->latency)
			print_latency(&r->latency[kind]);
	}
	printf("CPU   user %.2f s, system %.2f s, %ld context switches\n", r->user_cpu,
	       r->system_cpu, r->switches);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static void json_latency(const struct histogram *h)
{
	char name[16];

	json_open("latency_ns", '{');
	json_number("mean", mean(h));
	json_uint("min", h->min);
	json_uint("max", h->max);
	json_open("percentiles", '{');
	for (size_t i = 0; i < ARRAY_LEN(percentiles); i++) {
		snprintf(name, sizeof(name), "%g", percentiles[i]);
		json_uint(name, histogram_percentile(h, percentiles[i]));
	}
	json_close('}');
	json_open("histogram", '{'); /* the largest latency of a bucket: how many */
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		snprintf(name, sizeof(name), "%llu", (unsigned long long)histogram_top(i));
		if (h->count[i])
			json_uint(name, h->count[i]);
	}
	json_close('}');
	json_close('}');
}

static void json_plan(const struct bench_report *r)
{
	const struct load_plan *plan = r->plan;

	json_string("target", plan->t->text);
	json_string("rw", r->rw);
	json_uint("block_size", plan->block);
	json_uint("depth", plan->depth);
	json_uint("threads", plan->threads);
	json_string("wait", r->wait);
	json_uint("batch", (uint64_t)plan->batch);
	json_number("warm_up", (double)plan->warm_up_ns / NSEC_PER_SEC);
	json_uint("seed", plan->seed);
}

void bench_report_json(const struct bench_report *r)
{
	json_open(NULL, '{');
	json_plan(r);
	json_number("seconds", r->seconds);
	for (int kind = 0; kind < 2; kind++) {
		json_open(kinds[kind], '{');
		json_uint("ios", r->ios[kind]);
		json_number("iops", r->iops[kind]);
		json_number("bytes_per_second", r->iops[kind] * (double)r->plan->block);
		if (r->plan->latency)
			json_latency(&r->latency[kind]);
		json_close('}');
	}
	json_open("cpu", '{');
	json_number("user", r->user_cpu);
	json_number("system", r->system_cpu);
	json_uint("context_switches", (uint64_t)r->switches);
	json_close('}');
	json_close('}');
}

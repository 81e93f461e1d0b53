/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The output of blkio-bench, during the run and afterwards. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "load.h"

struct bench_report {
	const struct load_plan *plan;
	const char *rw, *wait; /* as on the command line */
	uint64_t ios[2];       /* reads, writes, of all threads */
	struct histogram latency[2];
	double iops[2];		     /* the sum of what each thread had */
	double seconds;		     /* the longest that a thread was measured */
	double user_cpu, system_cpu; /* seconds, of the whole load */
	long switches;
};

/* Run the load to its end; ends the tool if a request failed. */
void bench_report_run(struct bench_report *r, bool progress);
void bench_report_text(const struct bench_report *r);
void bench_report_json(const struct bench_report *r);

#endif

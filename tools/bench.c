/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* blkio-bench: measures a target without fio. Options and checks; see load.c and bench_report.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_report.h"
#include "guard.h"
#include "tool.h"

const char tool_name[] = "blkio-bench";
const char tool_help[] =
    "usage: blkio-bench [options] TARGET\n"
    "\n"
    "Puts a load on TARGET, DRIVER:PROPERTY=VALUE[,PROPERTY=VALUE]... or a path with a slash in\n"
    "it, and prints requests per second and latencies. Each thread has a queue of its own.\n"
    "\n"
    "  -w, --rw=WHAT         read, write, readwrite, randread, randwrite or randrw (randread)\n"
    "  -m, --mix=PERCENT     how many of the requests of (rand)rw are reads (50)\n"
    "  -b, --block-size=SIZE bytes per request (4K)\n"
    "  -d, --depth=N         requests in flight per thread (1)\n"
    "  -j, --threads=N       threads and queues (1)\n"
    "  -W, --wait=HOW        block: sleep in the library (default); eventfd: poll(2) on the\n"
    "                        completion fd; loop: never sleep; poll: poll queues\n"
    "  -B, --batch=N         completions to wait for at a time (1; block and poll)\n"
    "  -t, --time=SECONDS    how long to measure (5)\n"
    "  -u, --warm-up=SECONDS how long to run before that (0.5; 0 with --count)\n"
    "  -n, --count=N         end after this many requests per thread\n"
    "  -s, --size=SIZE       use only this much of TARGET, from its beginning\n"
    "  -L, --no-latency      do not measure latencies, for the least overhead\n"
    "  -S, --seed=N          the seed of the random choices (1)\n"
    "  -O, --overwrite       allow loads that write; they destroy the data on TARGET\n"
    "  -f, --force           with --overwrite: even if TARGET is in use\n"
    "  -J, --json            print JSON, with the histogram of latencies\n"
    "  -q, --quiet           show no progress on the terminal\n"
    "  -h, --help            this text\n"
    "  -V, --version         the version\n"
    "\n"
    "  blkio-bench --depth=32 io_uring:path=/dev/nvme0n1,direct=true\n"
    "  blkio-bench --wait=loop --json null\n";

struct options {
	struct load_plan plan;
	const char *rw;
	uint64_t size;
	unsigned mix;
	int64_t warm_up_ns; /* -1: not given */
	bool overwrite, force, json, quiet;
};

static const struct rw_kind {
	const char *name;
	bool random;
	bool reads, writes;
} rw_kinds[] = {
	{ "read", false, true, false },	    { "write", false, false, true },
	{ "readwrite", false, true, true }, { "randread", true, true, false },
	{ "randwrite", true, false, true }, { "randrw", true, true, true },
};

static const char *const wait_names[] = {
	[WAIT_BLOCK] = "block",
	[WAIT_EVENTFD] = "eventfd",
	[WAIT_LOOP] = "loop",
	[WAIT_POLL] = "poll",
};

/* ---- Command line ------------------------------------------------------------------------- */

static const struct option long_options[] = {
	{ "rw", required_argument, NULL, 'w' },
	{ "mix", required_argument, NULL, 'm' },
	{ "block-size", required_argument, NULL, 'b' },
	{ "depth", required_argument, NULL, 'd' },
	{ "threads", required_argument, NULL, 'j' },
	{ "wait", required_argument, NULL, 'W' },
	{ "batch", required_argument, NULL, 'B' },
	{ "time", required_argument, NULL, 't' },
	{ "warm-up", required_argument, NULL, 'u' },
	{ "count", required_argument, NULL, 'n' },
	{ "size", required_argument, NULL, 's' },
	{ "no-latency", no_argument, NULL, 'L' },
	{ "seed", required_argument, NULL, 'S' },
	{ "overwrite", no_argument, NULL, 'O' },
	{ "force", no_argument, NULL, 'f' },
	{ "json", no_argument, NULL, 'J' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

static void choose_rw(struct options *o, const char *text)
{
	const char *names[ARRAY_LEN(rw_kinds)];
	const struct rw_kind *kind;

	for (size_t i = 0; i < ARRAY_LEN(rw_kinds); i++)
		names[i] = rw_kinds[i].name;
	kind = &rw_kinds[tool_choice("--rw", text, names, ARRAY_LEN(names))];
	o->rw = kind->name;
	o->plan.random = kind->random;
	o->plan.write_percent = !kind->writes ? 0 : kind->reads ? 100 - o->mix : 100;
}

static unsigned number(const char *what, unsigned min, unsigned max)
{
	return (unsigned)tool_count(what, optarg, (struct tool_range){ min, max });
}

static void parse_flag(struct options *o, int c)
{
	switch (c) {
	case 'L':
		o->plan.latency = false;
		break;
	case 'O':
		o->overwrite = true;
		break;
	case 'f':
		o->force = true;
		break;
	case 'J':
		o->json = true;
		break;
	case 'q':
		o->quiet = true;
		break;
	}
}

static void parse_option(struct options *o, int c)
{
	struct load_plan *plan = &o->plan;

	switch (c) {
	case 'w':
		o->rw = optarg;
		break;
	case 'm':
		o->mix = number("--mix", 0, 100);
		break;
	case 'b':
		plan->block = tool_size("--block-size", optarg, (struct tool_range){ 1, 1 << 30 });
		break;
	case 'd':
		plan->depth = number("--depth", 1, 65536);
		break;
	case 'j':
		plan->threads = number("--threads", 1, 1024);
		break;
	case 'W':
		plan->wait = tool_choice("--wait", optarg, wait_names, ARRAY_LEN(wait_names));
		break;
	case 'B':
		plan->batch = (int)number("--batch", 1, 65536);
		break;
	case 't':
		plan->time_ns = tool_seconds("--time", optarg);
		break;
	case 'u':
		o->warm_up_ns = tool_seconds("--warm-up", optarg);
		break;
	case 'n':
		plan->count =
		    tool_count("--count", optarg, (struct tool_range){ 1, UINT64_MAX - 1 });
		break;
	case 's':
		o->size = tool_size("--size", optarg, (struct tool_range){ 1, INT64_MAX });
		break;
	case 'S':
		plan->seed = number("--seed", 0, UINT32_MAX);
		break;
	default:
		parse_flag(o, c);
	}
}

/* Buffers are used in full, so what memory cannot hold would only be killed later. */
static void check_memory(const struct load_plan *plan)
{
	uint64_t need = plan->block * plan->depth * plan->threads;
	uint64_t have = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	if (need > have)
		tool_die(
		    "--threads=%u, --depth=%u and --block-size=%llu need %llu bytes of buffers; "
		    "this machine has %llu: lower one of them",
		    plan->threads, plan->depth, (unsigned long long)plan->block,
		    (unsigned long long)need, (unsigned long long)have);
}

static void parse_options(struct options *o, int argc, char **argv)
{
	static const char shorts[] = "w:m:b:d:j:W:B:t:u:n:s:LS:OfJqhV";
	struct load_plan *plan = &o->plan;
	int c;

	while ((c = tool_getopt(argc, argv, shorts, long_options)) != -1)
		parse_option(o, c);
	if (argc - optind != 1)
		tool_usage("one TARGET is needed, got %d", argc - optind);
	choose_rw(o, o->rw);
	if (plan->count != UINT64_MAX && !plan->time_ns)
		plan->time_ns = INT64_MAX / 2;
	else if (!plan->time_ns)
		plan->time_ns = 5 * NSEC_PER_SEC;
	plan->warm_up_ns = o->warm_up_ns >= 0	       ? o->warm_up_ns
			   : plan->count == UINT64_MAX ? NSEC_PER_SEC / 2
						       : 0;
	check_memory(plan);
}

/* ---- The target --------------------------------------------------------------------------- */

static void check_block(const struct options *o)
{
	const struct load_plan *plan = &o->plan;
	uint64_t align = target_number(plan->t, "request-alignment");

	if (plan->block % align)
		tool_die("%s: the request size must be a multiple of %llu bytes "
			 "(request-alignment); --block-size is %llu",
			 plan->t->text, (unsigned long long)align, (unsigned long long)plan->block);
	if (!plan->blocks)
		tool_die("%s is smaller than one block of %llu bytes", plan->t->text,
			 (unsigned long long)plan->block);
}

static void prepare(struct options *o, struct target *t)
{
	struct load_plan *plan = &o->plan;
	bool poll_queues = plan->wait == WAIT_POLL, writes = plan->write_percent > 0;
	char threads[16];
	struct place place;
	uint64_t size;

	place_find(&place, t);
	if (writes && strcmp(t->driver, "null")) {
		if (!o->overwrite)
			tool_usage("--rw=%s destroys the data on %s: use --overwrite to allow that",
				   o->rw, t->text);
		guard_writable(&place, o->force);
	}
	plan->t = t;
	snprintf(threads, sizeof(threads), "%u", plan->threads);
	target_default(t, "read-only", writes ? "false" : "true");
	target_default(t, "num-queues", poll_queues ? "0" : threads);
	target_default(t, "num-poll-queues", poll_queues ? threads : "0");
	target_connect(t);
	place_connected(&place);
	if (writes && (target_bool(t, "read-only") || place_is_read_only(&place)))
		tool_die("%s is read-only", t->text);
	size = target_number(t, "capacity");
	if (o->size > size)
		tool_die("%s has only %llu bytes; --size is %llu", t->text,
			 (unsigned long long)size, (unsigned long long)o->size);
	plan->blocks = (o->size ? o->size : size) / plan->block;
	check_block(o);
	target_start(t);
	target_queue(t, poll_queues, plan->threads - 1);
}

/* A file that shrinks reads as zeroes past its end, which takes no time at all. */
static void check_still_there(const struct load_plan *plan)
{
	uint64_t used = plan->blocks * plan->block, now = target_number(plan->t, "capacity");

	if (now < used)
		tool_die("%s shrank from at least %llu to %llu bytes during the run: the figures "
			 "are meaningless",
			 plan->t->text, (unsigned long long)used, (unsigned long long)now);
}

int main(int argc, char **argv)
{
	struct options o = {
		.plan = { .threads = 1,
			  .depth = 1,
			  .batch = 1,
			  .block = 4096,
			  .latency = true,
			  .count = UINT64_MAX,
			  .seed = 1 },
		.rw = "randread",
		.mix = 50,
		.warm_up_ns = -1,
	};
	struct bench_report report = { .plan = &o.plan };
	struct target t;

	tool_begin();
	parse_options(&o, argc, argv);
	target_create(&t, argv[optind]);
	prepare(&o, &t);
	tool_catch_signals();
	report.rw = o.rw;
	report.wait = wait_names[o.plan.wait];
	bench_report_run(&report, !o.quiet && isatty(STDERR_FILENO));
	check_still_there(&o.plan);
	target_destroy(&t);
	if (o.json)
		bench_report_json(&report);
	else
		bench_report_text(&report);
	tool_close_stdout();
	return EXIT_SUCCESS;
}

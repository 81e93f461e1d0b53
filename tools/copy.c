/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* blkio-copy: copies one target to another, or compares two. Sees blkio.h only. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guard.h"
#include "pump.h"
#include "resize.h"
#include "tool.h"

const char tool_name[] = "blkio-copy";
const char tool_help[] =
    "usage: blkio-copy [options] SOURCE DESTINATION\n"
    "\n"
    "Copies everything on SOURCE to DESTINATION, which any two drivers may serve. Both are\n"
    "DRIVER:PROPERTY=VALUE[,PROPERTY=VALUE]... or a path with a slash in it, which driver\n"
    "io_uring opens, or posix where io_uring is not permitted. Their sizes must be equal, but\n"
    "see --resize and --larger. The copy is on stable storage when the tool ends with success.\n"
    "\n"
    "  -r, --resize          DESTINATION is a regular file: create it if there is none, and give\n"
    "                        it the size of SOURCE; zeroes become holes\n"
    "  -l, --larger          DESTINATION may be larger than SOURCE; the rest stays as it is\n"
    "  -v, --verify          read both back afterwards and compare them\n"
    "  -c, --compare         only compare; write nothing\n"
    "  -z, --no-zeroes       read holes and write zeroes like any other data; without it, holes\n"
    "                        are not read, and zeroes are written by requests that say so\n"
    "  -s, --skip-errors     continue after media errors of SOURCE: the copy has zeroes where\n"
    "                        SOURCE cannot be read, with a warning; the exit status is 1\n"
    "  -d, --depth=N         blocks in flight at a time (4M of them, but 2 to 32 blocks)\n"
    "  -b, --block-size=SIZE bytes per request (1M, less if a device has lower limits)\n"
    "  -f, --force           write to DESTINATION even if it is in use, overlaps SOURCE, or has\n"
    "                        too little space\n"
    "  -q, --quiet           print only errors\n"
    "  -P, --progress        show the progress bar, whether standard error is a terminal or not\n"
    "  -h, --help            this text\n"
    "  -V, --version         the version\n"
    "\n"
    "An error stops the copy, and the message gives the position. Ctrl-C stops it, too.\n"
    "\n"
    "  blkio-copy --resize virtio-blk-vhost-user:path=/run/vhost.sock ./backup.img\n"
    "  blkio-copy --verify ./disk.img nvme-io_uring:path=/dev/ng0n1\n";

#define BLOCK_DEFAULT (1 << 20)
#define BLOCK_MIN     4096
#define BLOCK_MAX     (64 << 20)
#define IN_FLIGHT     (4 << 20) /* bytes, without --depth */
#define LANES_MAX     2
#define LANES_SIZE    (32 << 20) /* smaller copies do not gain from a second lane */
#define ZEROES_MAX    (16 << 20)
#define EXTENT_ALIGN  4096

static struct {
	bool resize, larger, verify, compare, no_zeroes, skip_errors, force, quiet, progress;
	unsigned depth; /* 0: not given */
	size_t block;
} options = { .block = BLOCK_DEFAULT };

/* ---- Sizes -------------------------------------------------------------------------------- */

static void check_alignment(const struct target *t, uint64_t size)
{
	uint64_t align = target_number(t, "request-alignment");

	if (size % align)
		tool_die("%llu bytes are to be copied, but requests to %s must be multiples of "
			 "%llu",
			 (unsigned long long)size, t->text, (unsigned long long)align);
}

static void check_sizes(const struct target *src, const struct target *dst, uint64_t size)
{
	uint64_t room = target_number(dst, "capacity");

	if (!options.resize && (room < size || (room > size && !options.larger)))
		tool_die("%s has %llu bytes and %s has %llu; %s", src->text,
			 (unsigned long long)size, dst->text, (unsigned long long)room,
			 room > size ? "--larger allows a larger DESTINATION"
				     : "--resize gives a DESTINATION that is a file this size");
	check_alignment(src, size);
	check_alignment(dst, size);
}

/* A file that shrinks reads as zeroes: nothing else tells them from its data. */
static void check_still_there(const struct target *t, uint64_t size)
{
	uint64_t now = target_number(t, "capacity");

	if (now < size)
		tool_die("%s shrank from %llu to %llu bytes during the copy; the rest of its data "
			 "is lost",
			 t->text, (unsigned long long)size, (unsigned long long)now);
}

static void limit_block(size_t *block, const struct target *t, const char *property)
{
	uint64_t limit = target_number(t, property);

	if (limit && limit < *block)
		*block = limit;
}

static size_t block_size(const struct target *src, const struct target *dst)
{
	static const char *const limits[] = { "max-transfer", "max-segment-len",
					      "max-write-zeroes-len" };
	const struct target *const both[] = { src, dst };
	size_t block = options.block;

	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		for (size_t k = 0; k < ARRAY_LEN(limits); k++)
			limit_block(&block, both[i], limits[k]);
	}
	block -= block % BLOCK_MIN;
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		uint64_t align = target_number(both[i], "request-alignment");

		if (!block || block % align)
			tool_die("%s: blocks of %zu bytes are not a multiple of its "
				 "request-alignment, %llu",
				 both[i]->text, block, (unsigned long long)align);
	}
	return block;
}

static unsigned default_depth(size_t block)
{
	size_t depth = IN_FLIGHT / block;

	return depth < 2 ? 2 : depth > 32 ? 32 : (unsigned)depth;
}

/* Of a request that writes zeroes: long, but short enough to be interrupted soon. */
static uint64_t max_zeroes(const struct target *dst, uint64_t block)
{
	uint64_t limit = target_number(dst, "max-write-zeroes-len");

	limit = limit && limit < ZEROES_MAX ? limit : ZEROES_MAX;
	return limit - limit % block;
}

/* ---- Work --------------------------------------------------------------------------------- */

static _Noreturn void end_by_signal(const char *what, uint64_t done)
{
	tool_warn("interrupted: everything before offset %llu is %s", (unsigned long long)done,
		  what);
	/* As if the signal had ended us: the shell then stops as well. */
	signal(tool_stop_signal, SIG_DFL);
	raise(tool_stop_signal);
	exit(128 + tool_stop_signal);
}

static void report_failure(const struct pump_result *r, const char *past)
{
	const struct pump_failure *f = &r->failure;
	char before[64] = "it";

	/* Interrupted as well. */
	if (r->done < f->start)
		snprintf(before, sizeof(before), "offset %llu", (unsigned long long)r->done);
	tool_die("%s: %s error at offset %llu (%llu bytes): %s%s%s; everything before %s is %s",
		 f->target->text, f->what, (unsigned long long)f->start, (unsigned long long)f->len,
		 f->error ? strerror(f->error) : "", f->error && f->msg ? ": " : "",
		 f->msg ? f->msg : "", before, past);
}

static void report_unreadable(const struct target *src, const struct pump_result *result)
{
	for (unsigned i = 0; i < result->nr_unreadable; i++)
		tool_warn("%s: cannot read %llu bytes at offset %llu; the copy has zeroes there",
			  src->text, (unsigned long long)result->unreadable[i].len,
			  (unsigned long long)result->unreadable[i].start);
}

/* Ends the tool unless all went well. */
static void run(struct pump_plan *plan, const char *present, const char *past,
		struct pump_result *result)
{
	struct progress progress;

	progress_start(&progress, present, plan->size,
		       !options.quiet && (options.progress || isatty(STDERR_FILENO)));
	pump_run(plan, result, &progress);
	progress_end(&progress);
	report_unreadable(plan->src.t, result);
	if (result->failure.what)
		report_failure(result, past);
	check_still_there(plan->src.t, plan->size);
	check_still_there(plan->dst.t, plan->size);
	if (result->differs_at != UINT64_MAX)
		tool_die("%s and %s differ at offset %llu", plan->src.t->text, plan->dst.t->text,
			 (unsigned long long)result->differs_at);
	if (result->done < plan->size)
		end_by_signal(past, result->done);
}

static void flush(struct target *t)
{
	struct blkioq *q = blkio_get_queue(t->b, 0);
	struct blkio_completion c;

	blkioq_flush(q, NULL, 0);
	if (blkioq_do_io(q, &c, 1, 1, NULL) < 0)
		target_die(t, "cannot flush");
	if (c.ret < 0)
		tool_die("%s: cannot flush: %s%s%s", t->text, strerror(-c.ret),
			 c.error_msg ? ": " : "", c.error_msg ? c.error_msg : "");
}

static void report_copy(const struct pump_plan *plan, const struct pump_result *result,
			double seconds)
{
	uint64_t now = target_number(plan->src.t, "capacity");

	printf("%s copied in %.2f s (%s/s), %s of it zeroes\n",
	       tool_human_size((double)plan->size).s, seconds,
	       tool_human_size((double)plan->size / seconds).s,
	       tool_human_size((double)result->zeroes).s);
	if (now > plan->size)
		printf("%s grew by %llu bytes during the copy; those were not copied\n",
		       plan->src.t->text, (unsigned long long)(now - plan->size));
}

static void copy(struct pump_plan *plan)
{
	int64_t start = tool_now_ns();
	struct pump_result result;
	uint64_t lost = 0;

	run(plan, "copying", "copied", &result);
	flush(plan->dst.t);
	if (!options.quiet)
		report_copy(plan, &result, (double)(tool_now_ns() - start) / NSEC_PER_SEC);
	for (unsigned i = 0; i < result.nr_unreadable; i++)
		lost += result.unreadable[i].len;
	free(result.unreadable);
	if (lost)
		tool_die(
		    "%s: %llu bytes could not be read, in %u place%s; everything else was copied",
		    plan->src.t->text, (unsigned long long)lost, result.nr_unreadable,
		    result.nr_unreadable > 1 ? "s" : "");
}

static void compare(struct pump_plan *plan)
{
	struct pump_result result;

	plan->compare = true;
	plan->lanes = 1;
	run(plan, "comparing", "equal", &result);
	if (!options.quiet)
		printf("%s compared: equal\n", tool_human_size((double)plan->size).s);
}

/* A block device zeroes whole blocks only. */
static uint64_t zero_alignment(const struct pump_end *dst)
{
	uint64_t align = target_number(dst->t, "request-alignment");
	uint64_t block = target_number(dst->t, "optimal-io-alignment");

	if (!place_is_disk(dst->place))
		return align;
	return block > align ? block : align;
}

/* Forget what is known; ask both sides again from now on, unless nothing is to be known. */
static void find_extents(struct pump_plan *plan)
{
	struct pump_end *const both[] = { &plan->src, &plan->dst };
	uint64_t align = EXTENT_ALIGN;

	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		uint64_t needed = target_number(both[i]->t, "request-alignment");

		align = needed > align ? needed : align;
	}
	align = plan->zero_align > align ? plan->zero_align : align;
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		struct blkioq *q = blkio_get_queue(both[i]->t->b, 0);

		extents_init(&both[i]->extents, options.no_zeroes ? NULL : q, plan->size, align);
	}
}

/* Nothing has been changed so far, and every check has passed. */
static void resize(struct pump_plan *plan, struct place *dst)
{
	uint64_t old;

	if (!options.resize)
		return;
	resize_check_space(dst, plan->size, &plan->src.extents, options.force);
	if (tool_stop_signal)
		end_by_signal("copied", 0);
	old = resize_to(dst, plan->size);
	if (old < plan->size && !options.no_zeroes)
		plan->dst.extents.zero_from = old;
}

static void connect_both(struct pump_plan *plan, struct place *src, struct place *dst)
{
	target_connect(plan->src.t);
	place_connected(src);
	plan->size = target_number(plan->src.t, "capacity");
	if (options.resize && resize_prepare(dst))
		guard_distinct(src, dst, options.force);
	target_connect(plan->dst.t);
	place_connected(dst);
	if (!options.compare && (target_bool(plan->dst.t, "read-only") || place_is_read_only(dst)))
		tool_die("%s is read-only", plan->dst.t->text);
}

/* ---- Lanes -------------------------------------------------------------------------------- */

static bool is_cached_file(const struct pump_end *end)
{
	return place_is_file(end->place) && target_opens_files(end->t) &&
	       !target_bool(end->t, "direct");
}

static unsigned cpus(void)
{
	cpu_set_t set;

	/* More CPUs than fit: enough. */
	return sched_getaffinity(0, sizeof(set), &set) < 0 ? LANES_MAX : (unsigned)CPU_COUNT(&set);
}

/* To copy between files in the page cache is the work of CPUs: more than one does it faster. */
static unsigned choose_lanes(const struct pump_plan *plan)
{
	unsigned lanes = cpus() < LANES_MAX ? cpus() : LANES_MAX;

	if (options.compare || plan->skip_errors || plan->size < LANES_SIZE ||
	    !is_cached_file(&plan->src) || !is_cached_file(&plan->dst))
		return 1;
	return plan->depth < lanes ? plan->depth : lanes;
}

/* How many queues the target has then: what the user says counts. */
static unsigned set_queues(const struct target *t, unsigned n)
{
	if (target_setting(t, "num-queues"))
		return (unsigned)target_number(t, "num-queues");
	if (n > 1 && blkio_set_int(t->b, "num-queues", (int)n) < 0)
		target_die(t, "");
	return n;
}

static void set_lanes(struct pump_plan *plan)
{
	unsigned lanes = choose_lanes(plan);
	unsigned src = set_queues(plan->src.t, lanes), dst = set_queues(plan->dst.t, lanes);

	lanes = src < lanes ? src : lanes;
	plan->lanes = dst < lanes ? dst : lanes;
}

static void start(struct target *t)
{
	target_start(t);
	target_queue(t, false, 0);
}

static void work(struct pump_plan *plan, struct place *src, struct place *dst)
{
	connect_both(plan, src, dst);
	check_sizes(plan->src.t, plan->dst.t, plan->size);
	plan->block = block_size(plan->src.t, plan->dst.t);
	plan->depth = options.depth ? options.depth : default_depth(plan->block);
	plan->zero_align = zero_alignment(&plan->dst);
	plan->max_zeroes = max_zeroes(plan->dst.t, plan->block);
	set_lanes(plan);
	start(plan->src.t);
	start(plan->dst.t);
	find_extents(plan);
	resize(plan, dst);
	if (!options.compare)
		copy(plan);
	if (options.verify)
		find_extents(plan);
	if (options.compare || options.verify)
		compare(plan);
}

/* ---- Command line ------------------------------------------------------------------------- */

static const struct option long_options[] = {
	{ "resize", no_argument, NULL, 'r' },		{ "larger", no_argument, NULL, 'l' },
	{ "verify", no_argument, NULL, 'v' },		{ "compare", no_argument, NULL, 'c' },
	{ "no-zeroes", no_argument, NULL, 'z' },	{ "depth", required_argument, NULL, 'd' },
	{ "skip-errors", no_argument, NULL, 's' },	{ "force", no_argument, NULL, 'f' },
	{ "block-size", required_argument, NULL, 'b' }, { "quiet", no_argument, NULL, 'q' },
	{ "progress", no_argument, NULL, 'P' },		{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },		{ 0 },
};

static void parse_option(int c)
{
	bool *const flag = c == 'r'   ? &options.resize
			   : c == 'l' ? &options.larger
			   : c == 'v' ? &options.verify
			   : c == 'c' ? &options.compare
			   : c == 'z' ? &options.no_zeroes
			   : c == 's' ? &options.skip_errors
			   : c == 'f' ? &options.force
			   : c == 'q' ? &options.quiet
			   : c == 'P' ? &options.progress
				      : NULL;

	if (flag)
		*flag = true;
	else if (c == 'd')
		options.depth =
		    (unsigned)tool_count("--depth", optarg, (struct tool_range){ 1, 4096 });
	else
		options.block =
		    tool_size("--block-size", optarg, (struct tool_range){ BLOCK_MIN, BLOCK_MAX });
}

static void parse_options(int argc, char **argv)
{
	int c;

	while ((c = tool_getopt(argc, argv, "rlvczsd:b:fqPhV", long_options)) != -1)
		parse_option(c);
	if (argc - optind != 2)
		tool_usage("SOURCE and DESTINATION are needed, got %d targets", argc - optind);
	if (options.compare && (options.resize || options.verify || options.skip_errors))
		tool_usage("--compare writes nothing: it cannot be combined with --resize, "
			   "--verify or --skip-errors");
	if (options.verify && options.skip_errors)
		tool_usage(
		    "--skip-errors makes copies that differ: it cannot be combined with --verify");
	if (options.resize && options.larger)
		tool_usage("--resize makes the sizes equal: it cannot be combined with --larger");
	if (options.block % BLOCK_MIN)
		tool_usage("--block-size must be a multiple of %d, got %zu", BLOCK_MIN,
			   options.block);
}

int main(int argc, char **argv)
{
	struct target src, dst;
	struct place src_place, dst_place;
	struct pump_plan plan = {
		.src = { .t = &src, .place = &src_place },
		.dst = { .t = &dst, .place = &dst_place },
	};

	tool_begin();
	parse_options(argc, argv);
	plan.skip_errors = options.skip_errors;
	plan.find_zeroes = !options.no_zeroes;
	target_create(&src, argv[optind]);
	target_create(&dst, argv[optind + 1]);
	target_default(&src, "read-only", "true");
	target_default(&dst, "read-only", options.compare ? "true" : "false");
	target_default(&src, "single-issuer", "true");
	target_default(&dst, "single-issuer", "true");
	place_find(&src_place, &src);
	place_find(&dst_place, &dst);
	if (options.compare) {
		guard_not_same(&src_place, &dst_place);
	} else {
		guard_distinct(&src_place, &dst_place, options.force);
		guard_writable(&dst_place, options.force);
	}
	tool_catch_signals();
	work(&plan, &src_place, &dst_place);
	target_destroy(&src);
	target_destroy(&dst);
	tool_close_stdout();
	return EXIT_SUCCESS;
}

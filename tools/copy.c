/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* blkio-copy: copies one target to another, or compares two. Sees blkio.h only. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard.h"
#include "pump.h"
#include "tool.h"

const char tool_name[] = "blkio-copy";
const char tool_help[] =
    "usage: blkio-copy [options] SOURCE DESTINATION\n"
    "\n"
    "Copies everything on SOURCE to DESTINATION, which any two drivers may serve. Both are\n"
    "DRIVER:PROPERTY=VALUE[,PROPERTY=VALUE]... or a path with a slash in it, which driver\n"
    "io_uring opens. Their sizes must be equal, but see --resize and --larger. The copy is on\n"
    "stable storage when the tool ends with success.\n"
    "\n"
    "  -r, --resize          DESTINATION is a regular file: create it if there is none, empty it\n"
    "                        and give it the size of SOURCE; zeroes become holes\n"
    "  -l, --larger          DESTINATION may be larger than SOURCE; the rest stays as it is\n"
    "  -v, --verify          read both back afterwards and compare them\n"
    "  -c, --compare         only compare; write nothing\n"
    "  -z, --no-zeroes       write zeroes like data; without it they are written as such, which\n"
    "                        takes no time or space where the device knows how\n"
    "  -s, --skip-errors     go on after read errors: what cannot be read is zeroes in the copy,\n"
    "                        and a warning\n"
    "  -d, --depth=N         blocks under way at a time (16)\n"
    "  -b, --block-size=SIZE bytes per request (1M, less if a device has lower limits)\n"
    "  -f, --force           write to DESTINATION even if it is in use\n"
    "  -q, --quiet           say nothing but errors\n"
    "  -P, --progress        show the progress bar, whether standard error is a terminal or not\n"
    "  -h, --help            this text\n"
    "  -V, --version         the version\n"
    "\n"
    "An error stops the copy and names its position. So does Ctrl-C, after what is under way.\n"
    "\n"
    "  blkio-copy --resize virtio-blk-vhost-user:path=/run/vhost.sock ./backup.img\n"
    "  blkio-copy --verify ./disk.img nvme-io_uring:path=/dev/ng0n1\n";

#define BLOCK_DEFAULT (1 << 20)
#define BLOCK_MIN     4096
#define BLOCK_MAX     (64 << 20)

static struct {
	bool resize, larger, verify, compare, no_zeroes, skip_errors, force, quiet, progress;
	unsigned depth;
	size_t block;
} options = { .depth = 16, .block = BLOCK_DEFAULT };

/* ---- Sizes -------------------------------------------------------------------------------- */

/* Empty the destination's file, or make it, and give it this size. */
static void resize_file(const struct target *dst, uint64_t size)
{
	const char *path = target_setting(dst, "path");
	struct stat st;
	int fd;

	if (strcmp(dst->driver, "io_uring") || !path)
		tool_usage("--resize needs a DESTINATION that is a file, not %s", dst->text);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
	if (fd < 0 || fstat(fd, &st) < 0)
		tool_die("cannot open or create %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		tool_usage("--resize needs a DESTINATION that is a regular file; %s is none", path);
	if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)size) < 0)
		tool_die("cannot give %s a size of %llu bytes: %s", path, (unsigned long long)size,
			 strerror(errno));
	close(fd);
}

static void check_sizes(const struct target *src, const struct target *dst, uint64_t size)
{
	uint64_t room = target_number(dst, "capacity");
	const struct target *const both[] = { src, dst };

	if (room < size || (room > size && !options.larger))
		tool_die("%s has %llu bytes and %s has %llu; %s", src->text,
			 (unsigned long long)size, dst->text, (unsigned long long)room,
			 room > size ? "--larger allows a larger DESTINATION"
				     : "--resize gives a DESTINATION that is a file this size");
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		uint64_t align = target_number(both[i], "request-alignment");

		if (size % align)
			tool_die("%llu bytes are to be copied, but requests to %s must be "
				 "multiples of %llu",
				 (unsigned long long)size, both[i]->text,
				 (unsigned long long)align);
	}
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
			tool_die("%s: blocks of %zu bytes do not suit it: request-alignment is "
				 "%llu",
				 both[i]->text, block, (unsigned long long)align);
	}
	return block;
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

	tool_die("%s: %s error at offset %llu (%llu bytes): %s%s%s; everything before it is %s",
		 f->target->text, f->what, (unsigned long long)f->start, (unsigned long long)f->len,
		 strerror(f->error), f->msg ? ": " : "", f->msg ? f->msg : "", past);
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
	if (result->failure.what)
		report_failure(result, past);
	if (result->differs_at != UINT64_MAX)
		tool_die("%s and %s differ at offset %llu", plan->src->text, plan->dst->text,
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

static void copy(struct pump_plan *plan)
{
	int64_t start = tool_now_ns();
	struct pump_result result;
	double seconds;

	run(plan, "copying", "copied", &result);
	flush(plan->dst);
	seconds = (double)(tool_now_ns() - start) / NSEC_PER_SEC;
	if (!options.quiet)
		printf("%s copied in %.2f s (%s/s), %s of it zeroes\n",
		       tool_human_size((double)plan->size).s, seconds,
		       tool_human_size((double)plan->size / seconds).s,
		       tool_human_size((double)result.zeroes).s);
	if (result.unreadable)
		tool_die("%s: %llu bytes could not be read", plan->src->text,
			 (unsigned long long)result.unreadable);
}

static void compare(struct pump_plan *plan)
{
	struct pump_result result;

	plan->compare = true;
	run(plan, "comparing", "equal", &result);
	if (!options.quiet)
		printf("%s compared: equal\n", tool_human_size((double)plan->size).s);
}

static void work(struct target *src, struct target *dst)
{
	struct pump_plan plan = {
		.src = src,
		.dst = dst,
		.depth = options.depth,
		.skip_errors = options.skip_errors,
		.find_zeroes = !options.no_zeroes,
		.skip_zeroes = options.resize && !options.no_zeroes,
	};

	target_connect(src);
	plan.size = target_number(src, "capacity");
	if (options.resize)
		resize_file(dst, plan.size);
	target_connect(dst);
	if (!options.compare && target_bool(dst, "read-only"))
		tool_die("%s is read-only", dst->text);
	check_sizes(src, dst, plan.size);
	plan.block = block_size(src, dst);
	target_start(src);
	target_start(dst);
	if (!options.compare)
		copy(&plan);
	if (options.compare || options.verify)
		compare(&plan);
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
		tool_usage("--compare writes nothing: it excludes --resize, --verify and "
			   "--skip-errors");
	if (options.verify && options.skip_errors)
		tool_usage("--skip-errors makes copies that differ: it excludes --verify");
	if (options.resize && options.larger)
		tool_usage("--resize makes the sizes equal: it excludes --larger");
	if (options.block % BLOCK_MIN)
		tool_usage("--block-size must be a multiple of %d, got %zu", BLOCK_MIN,
			   options.block);
}

int main(int argc, char **argv)
{
	struct target src, dst;

	parse_options(argc, argv);
	target_create(&src, argv[optind]);
	target_create(&dst, argv[optind + 1]);
	target_default(&src, "read-only", "true");
	target_default(&dst, "read-only", options.compare ? "true" : "false");
	target_default(&src, "single-issuer", "true");
	target_default(&dst, "single-issuer", "true");
	guard_distinct(&src, &dst);
	if (!options.compare)
		guard_writable(&dst, options.force);
	tool_catch_signals();
	work(&src, &dst);
	target_destroy(&src);
	target_destroy(&dst);
	tool_close_stdout();
	return EXIT_SUCCESS;
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The probe: prints what a libblkio does, for tests/diff/compare to set side by side with what
 * another one does. See probe.h; --help for use by hand.
 */
#include <dlfcn.h>
#include <getopt.h>
#include <limits.h>

#include "probe.h"

struct target target = { .kind = NO_DEVICE };

static const struct {
	const char *name;
	void (*run)(void);
	enum target_kind from, to; /* the kinds that it is for */
} groups[] = {
	{ "create", group_create, NO_DEVICE, NO_DEVICE },
	{ "null", group_null, NO_DEVICE, NO_DEVICE },
	{ "messages", group_messages, FILE_DEVICE, SERVER_DEVICE },
	{ "lifecycle", group_lifecycle, FILE_DEVICE, SERVER_DEVICE },
	{ "connect", group_connect, DRIVER_ONLY, SERVER_DEVICE },
	{ "properties", group_properties, DRIVER_ONLY, SERVER_DEVICE },
	{ "values", group_values, FILE_DEVICE, SERVER_DEVICE },
	{ "queues", group_queues, FILE_DEVICE, SERVER_DEVICE },
	{ "regions", group_regions, FILE_DEVICE, SERVER_DEVICE },
	{ "mapping", group_mapping, FILE_DEVICE, SERVER_DEVICE },
	{ "data", group_data, FILE_DEVICE, SERVER_DEVICE },
	{ "edges", group_edges, FILE_DEVICE, SERVER_DEVICE },
	{ "flags", group_flags, FILE_DEVICE, SERVER_DEVICE },
	{ "do_io", group_do_io, FILE_DEVICE, SERVER_DEVICE },
	{ "events", group_events, FILE_DEVICE, SERVER_DEVICE },
	{ "stalled", group_stalled, SERVER_DEVICE, SERVER_DEVICE },
};

static void usage(FILE *to)
{
	fputs(
	    "usage: probe [--kind driver|file|block|server --driver NAME --path P --backing FILE\n"
	    "              --scratch FOLDER [--server PID] [--direct]] [--library FILE] "
	    "[GROUP...]\n"
	    "\n"
	    "Prints what the libblkio in LD_LIBRARY_PATH does with a device, or without any when\n"
	    "no kind is given; kind driver has none to connect to. tests/diff/compare makes "
	    "devices\n"
	    "and runs this for two libraries.\n"
	    "\n"
	    "  --backing FILE   1 MiB that is the device's data; overwritten\n"
	    "  --server PID     who serves it, to be stopped and continued\n"
	    "  --library FILE   fail when another library was loaded\n"
	    "\n"
	    "groups:",
	    to);
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		fprintf(to, " %s", groups[i].name);
	fputs("\n", to);
}

static enum target_kind kind_of(const char *name)
{
	static const char *const names[] = { "driver", "file", "block", "server" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(name, names[i]))
			return DRIVER_ONLY + i;
	fprintf(stderr, "probe: unknown kind '%s'\n", name);
	exit(2);
}

/* A comparison of a library with itself would always succeed. */
static void check_library(const char *wanted)
{
	char loaded[PATH_MAX], real[PATH_MAX];
	Dl_info info;

	if (!dladdr((void *)blkio_create, &info) || !realpath(info.dli_fname, loaded) ||
	    !realpath(wanted, real) || strcmp(loaded, real)) {
		fprintf(stderr, "probe: loaded %s, not %s\n", info.dli_fname, wanted);
		exit(2);
	}
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "kind", required_argument, NULL, 'k' },
		{ "driver", required_argument, NULL, 'd' },
		{ "path", required_argument, NULL, 'p' },
		{ "backing", required_argument, NULL, 'b' },
		{ "scratch", required_argument, NULL, 's' },
		{ "server", required_argument, NULL, 'S' },
		{ "direct", no_argument, NULL, 'D' },
		{ "library", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'k':
			target.kind = kind_of(optarg);
			break;
		case 'd':
			target.driver = optarg;
			break;
		case 'p':
			target.path = optarg;
			break;
		case 'b':
			target.backing = optarg;
			break;
		case 's':
			target.scratch = optarg;
			break;
		case 'S':
			target.server = atoi(optarg);
			break;
		case 'D':
			target.direct = true;
			break;
		case 'l':
			check_library(optarg);
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (target.kind != NO_DEVICE &&
	    !(target.driver && target.path && target.backing && target.scratch)) {
		usage(stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0); /* what a step printed before it crashed counts */
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		bool wanted = optind == argc;

		for (int a = optind; a < argc; a++)
			wanted |= !strcmp(argv[a], groups[i].name);
		if (wanted && groups[i].from <= target.kind && target.kind <= groups[i].to) {
			group(groups[i].name);
			groups[i].run();
		}
	}
	return 0;
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* blkio-info: the drivers, their properties, and what a device can do. Sees blkio.h only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "target.h"
#include "tool.h"

const char tool_name[] = "blkio-info";
const char tool_help[] =
    "usage: blkio-info [--properties] [--json]\n"
    "       blkio-info [--properties] [--json] DRIVER\n"
    "       blkio-info [--properties] [--json] TARGET [PROPERTY=VALUE]...\n"
    "       blkio-info --list [--json] TARGET [PROPERTY=VALUE]...\n"
    "\n"
    "Without arguments: list the drivers. With a driver's name: list its properties. With a\n"
    "target: connect to the device and print the value of every property, including its\n"
    "limits. Nothing is written, and the device is not started.\n"
    "\n"
    "  TARGET            DRIVER:PROPERTY=VALUE[,PROPERTY=VALUE]... or a path with a slash in it,\n"
    "                    which driver io_uring opens, or posix where io_uring is not permitted\n"
    "  -p, --properties  say what each property means, its type, and in which states it can be\n"
    "                    read (r) and set (w): created, connected, started\n"
    "  -l, --list        list what the server of TARGET offers: names of exports, sizes in bytes,\n"
    "                    descriptions; of an NVMe controller, its namespaces; of an NVMe/TCP\n"
    "                    discovery service, the subsystems\n"
    "      --discover    the same\n"
    "  -j, --json        print JSON\n"
    "  -h, --help        this text\n"
    "  -V, --version     the version\n"
    "\n"
    "  blkio-info io_uring:path=/dev/nvme0n1,direct=true\n"
    "  blkio-info virtio-blk-vhost-user path=/run/vhost.sock\n"
    "  blkio-info --list nvme-vfio-pci:path=0000:01:00.0\n"
    "  blkio-info --properties --json | jq '.[].name'\n";

static const char *const type_names[] = {
	[BLKIO_TYPE_BOOL] = "bool",
	[BLKIO_TYPE_INT] = "int",
	[BLKIO_TYPE_UINT64] = "uint64",
	[BLKIO_TYPE_STR] = "str",
};

static const struct state {
	const char *name;
	uint32_t bit;
} states[] = {
	{ "created", BLKIO_STATE_CREATED },
	{ "connected", BLKIO_STATE_CONNECTED },
	{ "started", BLKIO_STATE_STARTED },
};

static struct {
	bool properties, json, list;
} options;

static bool failed; /* to read a property */

static const char *access_in(const struct blkio_property_info *info, uint32_t state)
{
	static const char *const words[] = { "-", "r", "w", "rw" };

	return words[(info->readable & state ? 1 : 0) + (info->writable & state ? 2 : 0)];
}

/* ---- Text --------------------------------------------------------------------------------- */

static void print_wrapped(const char *text)
{
	int column = 0;

	while (*text) {
		int len = (int)strcspn(text, " ");

		if (column && column + 1 + len > 80) {
			putchar('\n');
			column = 0;
		}
		printf("%*s%.*s", column ? 1 : 6, "", len, text);
		column += len + 1;
		text += len + (text[len] == ' ');
	}
	putchar('\n');
}

static void print_property(const struct blkio_property_info *info, const char *value)
{
	if (value)
		printf("  %-26s %s\n", info->name, value);
	else if (options.properties)
		printf("  %s\n", info->name);
	else
		printf("  %-26s %-7s %s\n", info->name, type_names[info->type],
		       info->writable ? "can be set" : "");
	if (!options.properties)
		return;
	printf("      %s;", type_names[info->type]);
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		printf(" %s: %s%s", states[i].name, access_in(info, states[i].bit),
		       i + 1 < ARRAY_LEN(states) ? "," : "\n");
	print_wrapped(info->doc);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static void print_states(const char *key, uint32_t mask)
{
	json_open(key, '[');
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		if (mask & states[i].bit)
			json_string(NULL, states[i].name);
	}
	json_close(']');
}

static void print_property_json(const struct blkio_property_info *info, const char *value)
{
	json_open(info->name, '{');
	if (value && info->type == BLKIO_TYPE_STR)
		json_string("value", value);
	else if (value)
		json_raw("value", value);
	json_string("type", type_names[info->type]);
	print_states("readable", info->readable);
	print_states("writable", info->writable);
	json_string("doc", info->doc);
	json_close('}');
}

/* ---- Drivers ------------------------------------------------------------------------------ */

/* b: connected, or NULL where no values are wanted. */
static void print_properties(const char *driver, struct blkio *b)
{
	struct blkio_property_info info;

	for (int i = 0; !blkio_get_property_info(driver, i, &info, sizeof(info)); i++) {
		char *value = NULL;

		if (b && blkio_get_str(b, info.name, &value) < 0) {
			tool_warn("%s: %s", info.name, blkio_get_error_msg());
			failed = true;
		}
		if (options.json)
			print_property_json(&info, value);
		else
			print_property(&info, value);
		free(value);
	}
}

static void print_driver(const char *driver, struct blkio *b)
{
	if (!options.json) {
		puts(driver);
		print_properties(driver, b);
		return;
	}
	json_open(NULL, '{');
	json_string("name", driver);
	json_open("properties", '{');
	print_properties(driver, b);
	json_close('}');
	json_close('}');
}

static void print_drivers(void)
{
	const char *name;

	if (options.json)
		json_open(NULL, '[');
	for (int i = 0; (name = blkio_get_driver_name(i)); i++) {
		if (options.json || options.properties)
			print_driver(name, NULL);
		else
			puts(name);
	}
	if (options.json)
		json_close(']');
}

static void print_target(struct target *t)
{
	target_default(t, "auto-read-only", "true");
	target_connect(t);
	print_driver(t->driver, t->b);
}

/* ---- Exports ------------------------------------------------------------------------------ */

/* Names are the server's: what would garble a terminal is a question mark. */
static void print_name(const char *name)
{
	int width = 0;

	fputs("  ", stdout);
	for (; *name; name++, width++)
		putchar((unsigned char)*name < ' ' || *name == 0x7f ? '?' : *name);
	printf("%*s", width < 26 ? 26 - width : 0, "");
}

static void print_export(const struct blkio_export *e)
{
	char size[32] = "-";

	if (e->size != UINT64_MAX)
		snprintf(size, sizeof(size), "%llu", (unsigned long long)e->size);
	if (*e->name)
		print_name(e->name);
	else
		printf("  %-26s", "\"\"");
	printf(" %s%s%s\n", size, *e->description ? "  " : "", e->description);
}

static void print_export_json(const struct blkio_export *e)
{
	json_open(NULL, '{');
	json_string("name", e->name);
	if (e->size == UINT64_MAX)
		json_string("size", NULL);
	else
		json_uint("size", e->size);
	json_string("description", e->description);
	json_close('}');
}

static void print_exports(struct target *t)
{
	struct blkio_export *exports;
	int n;

	target_select(t);
	n = blkio_list_exports(t->b, &exports);
	if (n < 0)
		target_die(t, "cannot list exports");
	if (options.json)
		json_open(NULL, '[');
	for (int i = 0; i < n; i++) {
		if (options.json)
			print_export_json(&exports[i]);
		else
			print_export(&exports[i]);
	}
	if (options.json)
		json_close(']');
	free(exports);
}

/* ---- Command line ------------------------------------------------------------------------- */

static void parse_options(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "properties", no_argument, NULL, 'p' },
		{ "json", no_argument, NULL, 'j' },
		{ "list", no_argument, NULL, 'l' },
		{ "discover", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int c;

	while ((c = tool_getopt(argc, argv, "pjlhV", longs)) != -1) {
		if (c == 'p')
			options.properties = true;
		else if (c == 'l')
			options.list = true;
		else
			options.json = true;
	}
	if (options.list && (options.properties || optind == argc))
		tool_usage(options.properties ? "--list and --properties cannot be combined"
					      : "--list needs a TARGET");
}

int main(int argc, char **argv)
{
	tool_begin();
	parse_options(argc, argv);
	if (optind == argc) {
		print_drivers();
	} else {
		struct target t;

		target_create(&t, argv[optind]);
		for (int i = optind + 1; i < argc; i++)
			target_add(&t, argv[i]);
		/* null is connected by its name alone. */
		if (options.list)
			print_exports(&t);
		else if (t.nr_settings || !strcmp(t.driver, "null"))
			print_target(&t);
		else
			print_driver(t.driver, NULL);
		target_destroy(&t);
	}
	tool_close_stdout();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Every property in every state by every accessor, and the values that may be given to them. */
#include "probe.h"

static const char *const names[] = {
	"buf-alignment",
	"can-add-queues",
	"can-grow",
	"capacity",
	"direct",
	"discard-alignment",
	"discard-alignment-offset",
	"driver",
	"fd",
	"flush-needed",
	"max-discard-len",
	"max-mem-regions",
	"max-queue-size",
	"max-queues",
	"max-segment-len",
	"max-segments",
	"max-transfer",
	"max-write-zeroes-len",
	"may-pin-mem-regions",
	"mem-region-alignment",
	"needs-mem-region-fd",
	"needs-mem-regions",
	"num-entries",
	"num-poll-queues",
	"num-queues",
	"optimal-buf-alignment",
	"optimal-io-alignment",
	"optimal-io-size",
	"path",
	"queue-size",
	"read-only",
	"request-alignment",
	"supports-fua-natively",
	"supports-poll-queues",
	"zoned",
	"no-such-property",
	"",
};

static const struct {
	const char *name;
	struct blkio *(*make)(void);
} states[] = {
	{ "created", device_created },
	{ "connected", device_connected },
	{ "started", device_started },
};

/* Descriptors and paths are this run's own. */
static const char *same_for_all(const char *name, const char *value)
{
	if (!strcmp(name, "path") && !strcmp(value, target.path))
		return "(path)";
	if (!strcmp(name, "fd") && value[0] != '-')
		return "(fd)";
	return value;
}

static void show_value(struct blkio *b, const char *name)
{
	char *s = NULL;
	int ret = blkio_get_str(b, name, &s);

	show_text("get_str", "%s", ret ? result_name(ret) : same_for_all(name, s));
	free(s);
}

/* One that the property has no other type for says ENOTTY; the value is known from get_str. */
static void show_getters(struct blkio *b, const char *name)
{
	uint64_t u = 77;
	bool t = true;
	int i = 77;
	int ret;

	ret = blkio_get_bool(b, name, &t);
	show_text("get_bool", "%s%s", result_name(ret), ret && t ? ", value kept" : "");
	ret = blkio_get_int(b, name, &i);
	show_text("get_int", "%s%s", result_name(ret), ret && i ? ", value kept" : "");
	ret = blkio_get_uint64(b, name, &u);
	show_text("get_uint64", "%s%s", result_name(ret), ret && u ? ", value kept" : "");
	show_value(b, name);
}

/* With the value that it has, so that only access is tried. */
static void show_setters(struct blkio *b, const char *name)
{
	uint64_t u = 0;
	bool t = false;
	char *s = NULL;
	int i = 0;

	blkio_get_bool(b, name, &t);
	show("set_bool", blkio_set_bool(b, name, t));
	blkio_get_int(b, name, &i);
	show("set_int", blkio_set_int(b, name, i));
	blkio_get_uint64(b, name, &u);
	show("set_uint64", blkio_set_uint64(b, name, u));
	blkio_get_str(b, name, &s);
	show("set_str", blkio_set_str(b, name, s ? s : "1"));
	show("set_str of junk", strcmp(name, "path") ? blkio_set_str(b, name, "\x01junk") : 0);
	free(s);
	show_value(b, name);
}

void group_properties(void)
{
	size_t nr_states = target.kind == DRIVER_ONLY ? 1 : ARRAY_LEN(states);
	char step[128];

	for (size_t n = 0; n < ARRAY_LEN(names); n++) {
		for (size_t s = 0; s < nr_states; s++) {
			snprintf(step, sizeof(step), "%s, %s", names[n], states[s].name);
			STEP(step) {
				struct blkio *b = states[s].make();

				show_getters(b, names[n]);
				show_setters(b, names[n]);
			}
		}
	}
}

/* ---- Values ------------------------------------------------------------------------------- */

static const char *quoted(const char *value)
{
	static char text[64];
	char *to = text;

	*to++ = '"';
	for (; *value; value++)
		to += sprintf(to, *value >= ' ' && *value <= '~' ? "%c" : "\\x%02x",
			      (unsigned char)*value);
	strcpy(to, "\"");
	return text;
}

static void try_strings(const char *name, struct blkio *(*make)(void))
{
	static const char *const values[] = {
		"true", "false", "True",       "1",	     "0",	    "",
		" 1",	"1 ",	 "+8",	       "-8",	     "-0",	    "008",
		"0x8",	"8.0",	 "2147483647", "2147483648", "-2147483648", "99999999999999999999",
		"yes",	"8\n",	 "\xff",
	};
	STEP(name) {
		struct blkio *b = make();

		for (size_t i = 0; i < ARRAY_LEN(values); i++) {
			show(quoted(values[i]), blkio_set_str(b, name, values[i]));
			show_value(b, name);
		}
	}
}

/* Each value is tried as a setting, and then as a start with it. */
static void try_numbers(const char *name, const int *values, size_t nr, bool start)
{
	char step[64];

	for (size_t i = 0; i < nr; i++) {
		snprintf(step, sizeof(step), "%s = %d", name, values[i]);
		STEP(step) {
			struct blkio *b = device_connected();

			show("set", blkio_set_int(b, name, values[i]));
			show_value(b, name);
			if (start)
				SHOW(blkio_start(b));
			show_value(b, name);
		}
	}
}

#define TRY_NUMBERS(name, start, ...)                                                              \
	try_numbers(name, (const int[]){ __VA_ARGS__ }, ARRAY_LEN(((const int[]){ __VA_ARGS__ })), \
		    start)

void group_values(void)
{
	try_strings("read-only", device_created);
	try_strings("num-queues", device_connected);
	if (target.kind != SERVER_DEVICE)
		try_strings("direct", device_created);
	try_strings("fd", device_created);
	try_strings("capacity", device_connected);

	TRY_NUMBERS("num-queues", true, INT32_MIN, -1, 0, 1, 2, 4, 5, 16);
	TRY_NUMBERS("num-queues", false, INT32_MAX);
	TRY_NUMBERS("num-poll-queues", true, -1, 0, 1, 2, 5);
	TRY_NUMBERS("num-entries", true, INT32_MIN, -1, 0, 1, 2, 3, 100, 4096, 32768, 32769, 65536,
		    INT32_MAX);
	TRY_NUMBERS("queue-size", true, INT32_MIN, -1, 0, 1, 2, 4, 100, 128, 256, 1024, 32768,
		    32769, 65536, INT32_MAX);
}

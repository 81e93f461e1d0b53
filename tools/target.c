/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See target.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target.h"
#include "tool.h"

struct setting {
	char *name, *value;
	uint32_t writable; /* BLKIO_STATE_* */
};

void target_die(const struct target *t, const char *what)
{
	tool_die("%s: %s%s%s", t->text, what, *what ? ": " : "", blkio_get_error_msg());
}

/* ---- Settings ----------------------------------------------------------------------------- */

static bool find_property(const struct target *t, const char *name,
			  struct blkio_property_info *info)
{
	for (int i = 0; !blkio_get_property_info(t->driver, i, info, sizeof(*info)); i++) {
		if (!strcmp(info->name, name))
			return true;
	}
	return false;
}

/* 64K is 65536, where the property is a number. */
static char *plain_value(const struct blkio_property_info *info, char *value)
{
	uint64_t n;
	char *s;

	if ((info->type != BLKIO_TYPE_INT && info->type != BLKIO_TYPE_UINT64) ||
	    !tool_parse_size(value, &n))
		return value;
	if (asprintf(&s, "%" PRIu64, n) < 0)
		tool_die("out of memory");
	free(value);
	return s;
}

static void add(struct target *t, const struct blkio_property_info *info, char *value)
{
	t->settings = tool_realloc(t->settings, t->nr_settings + 1, sizeof(*t->settings));
	t->settings[t->nr_settings++] = (struct setting){
		.name = strdup(info->name),
		.value = plain_value(info, value),
		.writable = info->writable,
	};
}

void target_add(struct target *t, const char *setting)
{
	struct blkio_property_info info;
	const char *equals = strchr(setting, '=');
	char name[64];

	if (!equals || equals == setting)
		tool_usage("%s: \"%s\" is not of the form PROPERTY=VALUE", t->text, setting);
	snprintf(name, sizeof(name), "%.*s", (int)(equals - setting), setting);
	if (!find_property(t, name, &info))
		tool_usage("%s: driver %s has no property \"%s\"; \"blkio-info --properties %s\" "
			   "lists those it has",
			   t->text, t->driver, name, t->driver);
	if (!info.writable)
		tool_usage("%s: property \"%s\" cannot be set: it comes from the device", t->text,
			   name);
	add(t, &info, strdup(equals + 1));
}

char *target_setting(const struct target *t, const char *name)
{
	for (int i = t->nr_settings; i-- > 0;) {
		if (!strcmp(t->settings[i].name, name))
			return t->settings[i].value;
	}
	return NULL;
}

void target_default(struct target *t, const char *name, const char *value)
{
	struct blkio_property_info info;

	if (!target_setting(t, name) && find_property(t, name, &info))
		add(t, &info, strdup(value));
}

static void apply(struct target *t, uint32_t state)
{
	for (int i = 0; i < t->nr_settings; i++) {
		const struct setting *s = &t->settings[i];

		if ((s->writable & state) && blkio_set_str(t->b, s->name, s->value) < 0)
			target_die(t, "");
	}
}

/* ---- Parsing ------------------------------------------------------------------------------ */

/* The text up to a single comma, which is left behind; ",," gives ",". */
static char *take_part(const char **text)
{
	char *part = tool_alloc(strlen(*text) + 1, 1), *out = part;
	const char *s = *text;

	while (*s && (*s != ',' || s[1] == ',')) {
		s += *s == ',';
		*out++ = *s++;
	}
	*text = *s ? s + 1 : s;
	return part;
}

static void parse_settings(struct target *t, const char *text)
{
	while (*text) {
		char *part = take_part(&text);

		target_add(t, part);
		free(part);
	}
}

static bool is_path(const char *text)
{
	size_t before_colon = strcspn(text, ":");

	return memchr(text, '/', before_colon) != NULL;
}

static _Noreturn void unknown_driver(const struct target *t)
{
	const char *name;

	fprintf(stderr, "%s: %s: unknown driver \"%s\". The drivers are:", tool_name, t->text,
		t->driver);
	for (int i = 0; (name = blkio_get_driver_name(i)); i++)
		fprintf(stderr, "%s %s", i ? "," : "", name);
	fprintf(stderr, ".\nTo name a file, put a slash in its path: ./%s\n", t->text);
	exit(EXIT_USAGE);
}

/* For files and block devices. Says so, once, if it is not the usual one. */
static const char *file_driver(void)
{
	static bool said;
	const char *name = blkio_get_file_driver();

	if (strcmp(name, "io_uring") && !said)
		tool_warn("io_uring is not permitted here: using driver %s", name);
	said = true;
	return name;
}

void target_create(struct target *t, const char *text)
{
	struct blkio_property_info path = { .name = "path" };
	size_t len = strcspn(text, ":");

	*t = (struct target){ .text = text };
	t->driver = is_path(text) ? strdup(file_driver()) : strndup(text, len);
	if (!t->driver)
		tool_die("out of memory");
	if (blkio_create(t->driver, &t->b) < 0)
		unknown_driver(t);
	if (!is_path(text))
		parse_settings(t, text + len + (text[len] == ':'));
	else if (find_property(t, "path", &path))
		add(t, &path, strdup(text));
}

/* ---- States ------------------------------------------------------------------------------- */

void target_select(struct target *t)
{
	apply(t, BLKIO_STATE_CREATED);
}

void target_connect(struct target *t)
{
	target_select(t);
	if (blkio_connect(t->b) < 0)
		target_die(t, "cannot connect");
	apply(t, BLKIO_STATE_CONNECTED);
}

void target_start(struct target *t)
{
	if (blkio_start(t->b) < 0)
		target_die(t, "cannot start");
}

struct blkioq *target_queue(const struct target *t, bool poll, unsigned index)
{
	struct blkioq *q =
	    poll ? blkio_get_poll_queue(t->b, (int)index) : blkio_get_queue(t->b, (int)index);

	if (!q)
		tool_die("%s: queue %u does not exist: %s is too low", t->text, index,
			 poll ? "num-poll-queues" : "num-queues");
	return q;
}

void target_destroy(struct target *t)
{
	blkio_destroy(&t->b);
	for (int i = 0; i < t->nr_settings; i++) {
		free(t->settings[i].name);
		free(t->settings[i].value);
	}
	free(t->settings);
	free(t->driver);
}

/* ---- Properties --------------------------------------------------------------------------- */

bool target_opens_files(const struct target *t)
{
	return !strcmp(t->driver, "io_uring") || !strcmp(t->driver, "posix");
}

char *target_text(const struct target *t, const char *name)
{
	char *text;
	int ret = blkio_get_str(t->b, name, &text);

	if (ret < 0 && ret != -ENOENT)
		target_die(t, name);
	return text;
}

uint64_t target_number(const struct target *t, const char *name)
{
	char *text = target_text(t, name);
	uint64_t value = text ? strtoull(text, NULL, 10) : 0;

	free(text);
	return value;
}

bool target_bool(const struct target *t, const char *name)
{
	char *text = target_text(t, name);
	bool value = text && !strcmp(text, "true");

	free(text);
	return value;
}

/* ---- Memory ------------------------------------------------------------------------------- */

static uint64_t alignment(const struct target *t)
{
	return t ? target_number(t, "mem-region-alignment") : 1;
}

static void map(struct target *t, const struct blkio_mem_region *region)
{
	if (t && blkio_map_mem_region(t->b, region) < 0)
		target_die(t, "cannot map memory");
}

struct blkio_mem_region target_memory(struct target *t, struct target *other, size_t len)
{
	uint64_t align = alignment(t) > alignment(other) ? alignment(t) : alignment(other);
	struct blkio_mem_region region;

	if (blkio_alloc_mem_region(t->b, &region, (len + align - 1) / align * align) < 0)
		target_die(t, "cannot allocate memory");
	map(t, &region);
	map(other, &region);
	return region;
}

void target_free_memory(struct target *t, struct target *other, struct blkio_mem_region *region)
{
	if (other)
		blkio_unmap_mem_region(other->b, region);
	blkio_free_mem_region(t->b, region);
}

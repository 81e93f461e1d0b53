/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Property access: lookup, the order of checks, conversion from and to strings. The properties
 * themselves are tables: props_common.c and one per driver.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core.h"

static const char *const type_names[] = { "bool", "int", "uint64", "str" };

/* ---- Lookup ------------------------------------------------------------------------------- */

static const struct bk_prop *table_find(const struct bk_prop *table, const char *name)
{
	for (const struct bk_prop *p = table; p && p->name; p++) {
		if (!strcmp(p->name, name))
			return p;
	}
	return NULL;
}

static int find_prop(struct blkio *b, const char *name, const void *value,
		     const struct bk_prop **out)
{
	const struct bk_prop *p;

	if (!b || !name || !value)
		return bk_err(EINVAL, "%s must not be NULL",
			      !b      ? "b"
			      : !name ? "property name"
				      : "property value");
	if (bk_control_check(b) < 0)
		return -EBUSY;
	p = table_find(b->drv->props, name);
	if (!p)
		p = table_find(bk_common_props, name);
	if (!p)
		return bk_err(ENOENT, "driver %s has no property \"%s\"", b->drv->name, name);
	*out = p;
	return 0;
}

static int find_typed(struct blkio *b, const char *name, const void *value, enum bk_type type,
		      const struct bk_prop **out)
{
	int ret = find_prop(b, name, value, out);

	if (!ret && (*out)->type != type)
		return bk_err(ENOTTY, "property \"%s\" is a %s, not a %s", name,
			      type_names[(*out)->type], type_names[type]);
	return ret;
}

/* ---- Fields ------------------------------------------------------------------------------- */

static void *field(struct blkio *b, const struct bk_prop *p)
{
	return (char *)b + p->offset;
}

enum bk_state bk_prop_readable_from(const struct bk_driver *drv, const struct bk_prop *p)
{
	switch (p->readable) {
	case BK_GET_ALWAYS:
		return BK_CREATED;
	case BK_GET_LIMIT:
		return drv->limits_from;
	case BK_GET_TOPOLOGY:
		return drv->topology_from;
	case BK_GET_CONNECTED:
		break;
	}
	return BK_CONNECTED;
}

static int get(struct blkio *b, const struct bk_prop *p, union bk_val *val)
{
	if (b->state < bk_prop_readable_from(b->drv, p))
		return bk_err(ENODEV, "property \"%s\" cannot be read before blkio_connect()",
			      p->name);
	if (p->get)
		return p->get(b, val);

	switch (p->type) {
	case BK_BOOL:
		val->b = *(bool *)field(b, p);
		break;
	case BK_INT:
		val->i = *(int *)field(b, p);
		break;
	case BK_UINT64:
		val->u = *(uint64_t *)field(b, p);
		break;
	case BK_STR:
		val->s = *(char **)field(b, p);
		break;
	}
	return 0;
}

static int set_str_field(char **dst, const char *s)
{
	char *copy = NULL;

	if (s && *s) {
		copy = strdup(s);
		if (!copy)
			return bk_err(ENOMEM, "out of memory");
	}
	free(*dst);
	*dst = copy;
	return 0;
}

static int check_writable(const struct blkio *b, const struct bk_prop *p)
{
	enum bk_state when = p->writable == BK_SET_CREATED ? BK_CREATED : BK_CONNECTED;

	if (p->writable == BK_SET_NEVER)
		return bk_err(EACCES, "property \"%s\" is read-only", p->name);
	if (b->state < when)
		return bk_err(ENODEV, "property \"%s\" cannot be set before blkio_connect()",
			      p->name);
	if (b->state > when)
		return bk_err(EBUSY, "property \"%s\" cannot be set after %s()", p->name,
			      when == BK_CREATED ? "blkio_connect" : "blkio_start");
	return 0;
}

static int check_range(const struct bk_prop *p, int val)
{
	if ((!p->min && !p->max) || (val >= p->min && val <= p->max))
		return 0;
	if (p->max != INT_MAX)
		return bk_err(EINVAL, "property \"%s\" must be from %d to %d, got %d", p->name,
			      p->min, p->max, val);
	return bk_err(EINVAL, "property \"%s\" must be at least %d, got %d", p->name, p->min, val);
}

static int set(struct blkio *b, const struct bk_prop *p, const union bk_val *val)
{
	int ret = check_writable(b, p);

	if (!ret && p->type == BK_INT)
		ret = check_range(p, val->i);
	if (!ret && p->check)
		ret = p->check(b, p, val);
	if (ret < 0)
		return ret;

	/* A string may be a secret. */
	if (p->type == BK_STR)
		bk_debug("instance %p: set %s", (void *)b, p->name);
	else
		bk_debug("instance %p: set %s to %llu", (void *)b, p->name,
			 p->type == BK_BOOL  ? (unsigned long long)val->b
			 : p->type == BK_INT ? (unsigned long long)val->i
					     : (unsigned long long)val->u);
	switch (p->type) {
	case BK_BOOL:
		*(bool *)field(b, p) = val->b;
		break;
	case BK_INT:
		*(int *)field(b, p) = val->i;
		break;
	case BK_UINT64:
		*(uint64_t *)field(b, p) = val->u;
		break;
	case BK_STR:
		return set_str_field(field(b, p), val->s);
	}
	return 0;
}

static void free_strings(struct blkio *b, const struct bk_prop *p)
{
	for (; p && p->name; p++) {
		if (p->type == BK_STR && (!p->get || p->writable != BK_SET_NEVER))
			free(*(char **)field(b, p));
	}
}

void bk_free_props(struct blkio *b)
{
	free_strings(b, b->drv->props);
}

/* ---- Strings ------------------------------------------------------------------------------ */

/* How many bytes the UTF-8 sequence at s has; 0 when it is none (RFC 3629). */
static unsigned utf8_len(const unsigned char *s)
{
	unsigned len;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		len = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		len = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		len = 4;
	else
		return 0;

	for (unsigned i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	/* overlong forms, surrogates, beyond U+10FFFF */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

bool bk_is_utf8(const char *str)
{
	const unsigned char *s = (const unsigned char *)str;

	while (*s) {
		unsigned len = utf8_len(s);

		if (!len)
			return false;
		s += len;
	}
	return true;
}

/* Decimal digits and nothing else; *end is where they stop. */
static bool parse_digits(const char *s, uint64_t *val)
{
	uint64_t v = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return false;
	}
	*val = v;
	return true;
}

static bool parse_int(const char *s, int *val)
{
	bool negative = *s == '-';
	uint64_t v;

	if (!parse_digits(s + (*s == '-' || *s == '+'), &v) || v > (uint64_t)INT32_MAX + negative)
		return false;
	*val = negative ? (int)-(int64_t)v : (int)v;
	return true;
}

static bool parse_bool(const char *s, bool *val)
{
	*val = !strcmp(s, "true");
	return *val || !strcmp(s, "false");
}

static int parse(const struct bk_prop *p, const char *s, union bk_val *val)
{
	bool ok = false;

	switch (p->type) {
	case BK_BOOL:
		ok = parse_bool(s, &val->b);
		break;
	case BK_INT:
		ok = parse_int(s, &val->i);
		break;
	case BK_UINT64:
		ok = parse_digits(s + (*s == '+'), &val->u);
		break;
	case BK_STR:
		ok = bk_is_utf8(s);
		val->s = s;
		break;
	}
	if (!ok)
		return bk_err(EINVAL, "property \"%s\" is a %s, and \"%.100s\" is not a valid %s",
			      p->name, type_names[p->type], bk_is_utf8(s) ? s : "(not UTF-8)",
			      type_names[p->type]);
	return 0;
}

static char *format(enum bk_type type, const union bk_val *val)
{
	char *s = NULL;
	int n = -1;

	switch (type) {
	case BK_BOOL:
		return strdup(val->b ? "true" : "false");
	case BK_STR:
		return strdup(val->s ? val->s : "");
	case BK_INT:
		n = asprintf(&s, "%d", val->i);
		break;
	case BK_UINT64:
		n = asprintf(&s, "%" PRIu64, val->u);
		break;
	}
	return n < 0 ? NULL : s;
}

/* ---- Public ------------------------------------------------------------------------------- */

int blkio_get_str(struct blkio *b, const char *name, char **value)
{
	const struct bk_prop *p;
	union bk_val val;
	int ret;

	if (value)
		*value = NULL;
	ret = find_prop(b, name, value, &p);
	if (!ret)
		ret = get(b, p, &val);
	if (ret < 0)
		return ret;
	*value = format(p->type, &val);
	return *value ? 0 : bk_err(ENOMEM, "out of memory");
}

int blkio_set_str(struct blkio *b, const char *name, const char *value)
{
	const struct bk_prop *p;
	union bk_val val;
	int ret = find_prop(b, name, value, &p);

	if (!ret)
		ret = parse(p, value, &val);
	return ret < 0 ? ret : set(b, p, &val);
}

#define DEFINE_ACCESSORS(suffix, ctype, bktype, member)                                            \
	int blkio_get_##suffix(struct blkio *b, const char *name, ctype *value)                    \
	{                                                                                          \
		const struct bk_prop *p;                                                           \
		union bk_val val;                                                                  \
		int ret;                                                                           \
                                                                                                   \
		if (value)                                                                         \
			*value = 0;                                                                \
		ret = find_typed(b, name, value, bktype, &p);                                      \
		if (!ret)                                                                          \
			ret = get(b, p, &val);                                                     \
		if (!ret)                                                                          \
			*value = val.member;                                                       \
		return ret;                                                                        \
	}                                                                                          \
                                                                                                   \
	int blkio_set_##suffix(struct blkio *b, const char *name, ctype value)                     \
	{                                                                                          \
		const struct bk_prop *p;                                                           \
		union bk_val val = { .member = value };                                            \
		int ret = find_typed(b, name, &value, bktype, &p);                                 \
                                                                                                   \
		return ret < 0 ? ret : set(b, p, &val);                                            \
	}

DEFINE_ACCESSORS(bool, bool, BK_BOOL, b)
DEFINE_ACCESSORS(int, int, BK_INT, i)
DEFINE_ACCESSORS(uint64, uint64_t, BK_UINT64, u)

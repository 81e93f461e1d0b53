/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The list of what a server offers: collected while the driver talks to the server, then handed to
 * the caller as one block of memory. How much there can be is limited here.
 */
#include <stdlib.h>

#include "core.h"

#define EXPORTS_MAX 10000
#define TEXT_MAX    (4U << 20) /* bytes, of all names and descriptions */

/* Without what would garble a terminal. */
static char *copy_text(const char *text, size_t len)
{
	char *copy = malloc(len + 1);

	if (!copy)
		return NULL;
	for (size_t i = 0; i < len; i++)
		copy[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
	copy[len] = 0;
	return bk_is_utf8(copy) ? copy : strcpy(copy, "");
}

static int grow(struct bk_exports *x)
{
	struct blkio_export *e = realloc(x->e, (x->n + 1) * sizeof(*e));

	if (!e)
		return bk_err(ENOMEM, "out of memory");
	x->e = e;
	return 0;
}

int bk_export_add(struct bk_exports *x, const char *name, size_t name_len, const char *text,
		  size_t text_len)
{
	struct blkio_export e = { .size = UINT64_MAX };
	int ret;

	x->bytes += name_len + text_len + 2;
	if (x->n == EXPORTS_MAX || x->bytes > TEXT_MAX)
		return bk_err(EPROTO, "the server lists more than %d exports, or %u bytes of names",
			      EXPORTS_MAX, TEXT_MAX);
	ret = grow(x);
	if (ret < 0)
		return ret;
	e.name = strndup(name, name_len);
	e.description = copy_text(text, text_len);
	x->e[x->n++] = e;
	if (!e.name || !e.description)
		return bk_err(ENOMEM, "out of memory");
	if (strlen(e.name) != name_len || !bk_is_utf8(e.name))
		return bk_err(EPROTO, "the server lists an export whose name is not valid UTF-8");
	return 0;
}

static void free_exports(struct bk_exports *x)
{
	for (int i = 0; i < x->n; i++) {
		free((char *)x->e[i].name);
		free((char *)x->e[i].description);
	}
	free(x->e);
}

/* Copy it, with its end. */
static const char *put_text(char **at, const char *text)
{
	char *copy = *at;

	*at = stpcpy(copy, text) + 1;
	return copy;
}

static int to_one_block(const struct bk_exports *x, struct blkio_export **exports)
{
	struct blkio_export *all = malloc(x->n * sizeof(*all) + x->bytes + 1);
	char *text;

	if (!all)
		return bk_err(ENOMEM, "out of memory");
	text = (char *)(all + x->n);
	for (int i = 0; i < x->n; i++) {
		all[i] = x->e[i];
		all[i].name = put_text(&text, x->e[i].name);
		all[i].description = put_text(&text, x->e[i].description);
	}
	*exports = all;
	return x->n;
}

static int list_call(struct blkio *b, const union bk_call_args *args)
{
	if (!b->drv->list)
		return bk_err(ENOTSUP, "driver %s cannot list what there is to connect to",
			      b->drv->name);
	return b->drv->list(b, args->exports);
}

int blkio_list_exports(struct blkio *b, struct blkio_export **exports)
{
	struct bk_exports x = { 0 };
	int ret;

	if (!exports)
		return bk_err(EINVAL, "exports must not be NULL");
	*exports = NULL;
	ret = bk_control_call(b, list_call, &(union bk_call_args){ .exports = &x });
	if (!ret)
		ret = to_one_block(&x, exports);
	free_exports(&x);
	return ret;
}

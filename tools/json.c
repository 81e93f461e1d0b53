/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See json.h. */
#include <inttypes.h>
#include <stdio.h>

#include "json.h"

static int depth;
static bool is_first = true;

static void quoted(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			printf("\\u%04x", *s);
		else
			putchar(*s);
	}
	putchar('"');
}

static void begin(const char *key)
{
	if (depth)
		printf("%s\n%*s", is_first ? "" : ",", 2 * depth, "");
	is_first = false;
	if (key) {
		quoted(key);
		printf(": ");
	}
}

void json_open(const char *key, char bracket)
{
	begin(key);
	putchar(bracket);
	depth++;
	is_first = true;
}

void json_close(char bracket)
{
	depth--;
	if (!is_first)
		printf("\n%*s", 2 * depth, "");
	putchar(bracket);
	is_first = false;
	if (!depth)
		putchar('\n');
}

void json_raw(const char *key, const char *value)
{
	begin(key);
	fputs(value, stdout);
}

void json_string(const char *key, const char *value)
{
	begin(key);
	if (value)
		quoted(value);
	else
		fputs("null", stdout);
}

void json_number(const char *key, double value)
{
	begin(key);
	printf("%.17g", value);
}

void json_uint(const char *key, uint64_t value)
{
	begin(key);
	printf("%" PRIu64, value);
}

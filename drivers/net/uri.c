/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See uri.h. */
#include "net/uri.h"

#include <stdlib.h>
#include <string.h>

char *net_uri_cut(char *s, char c)
{
	char *at = strchr(s, c);

	if (!at)
		return NULL;
	*at = 0;
	return at + 1;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool net_uri_decode(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (*s == '%') {
			int high = hex_digit(s[1]), low = high < 0 ? -1 : hex_digit(s[2]);

			if (low < 0 || !(high | low))
				return false;
			*out++ = (char)(high << 4 | low);
			s += 2;
		} else {
			*out++ = *s;
		}
	}
	*out = 0;
	return true;
}

static bool parse_port(const char *s, int *port)
{
	char *end;
	long n = strtol(s, &end, 10);

	if (*end || *s < '0' || *s > '9' || n < 1 || n > 65535)
		return false;
	*port = (int)n;
	return true;
}

const char *net_uri_authority(char *s, struct net_address *a)
{
	char *port = NULL;

	if (*s == '[') {
		char *rest = net_uri_cut(++s, ']');

		if (!rest || (*rest && *rest != ':'))
			return "the address is not valid";
		if (*rest)
			port = rest + 1;
	} else {
		port = net_uri_cut(s, ':');
	}
	a->host = *s ? s : "localhost";
	return !port || !*port || parse_port(port, &a->port) ? NULL
							     : "the port must be from 1 to 65535";
}

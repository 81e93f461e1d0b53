/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Writes JSON to standard output, indented. key is NULL within arrays and at the top. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stdint.h>

void json_open(const char *key, char bracket);	      /* '{' or '[' */
void json_close(char bracket);			      /* '}' or ']' */
void json_string(const char *key, const char *value); /* NULL: null */
void json_number(const char *key, double value);
void json_uint(const char *key, uint64_t value);
/* Text that is a JSON value already. */
void json_raw(const char *key, const char *value);

#endif

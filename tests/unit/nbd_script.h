/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What an NBD server says in the handshake, put together in advance. */
#ifndef UNIT_NBD_SCRIPT_H
#define UNIT_NBD_SCRIPT_H

#include "nbd/nbd_proto.h"

static uint8_t script[16384];
static size_t used;

static void put(uint64_t value, size_t size)
{
	for (size_t i = size; i-- > 0;)
		script[used++] = i < sizeof(value) ? value >> 8 * i & 0xff : 0;
}

static void greet(unsigned flags)
{
	used = 0;
	put(NBD_MAGIC, 8);
	put(NBD_OPTION_MAGIC, 8);
	put(flags, 2);
}

static void reply(unsigned option, uint32_t type, uint32_t len)
{
	put(NBD_OPTION_REPLY_MAGIC, 8);
	put(option, 4);
	put(type, 4);
	put(len, 4);
}

#endif

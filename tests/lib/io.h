/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One request at a time, and buffers whose every byte tells where it belongs. */
#ifndef TEST_IO_H
#define TEST_IO_H

#include <stdint.h>

#include "blkio.h"

/*
 * Queue a request, wait for it and return its result. They insist that exactly this request comes
 * back, once, with reserved bytes zeroed; io_msg() is the message that came with the last one.
 */
int io_read(struct blkioq *q, uint64_t start, void *buf, size_t len, uint32_t flags);
int io_write(struct blkioq *q, uint64_t start, const void *buf, size_t len, uint32_t flags);
int io_readv(struct blkioq *q, uint64_t start, const struct iovec *iov, int n, uint32_t flags);
int io_writev(struct blkioq *q, uint64_t start, struct iovec *iov, int n, uint32_t flags);
int io_zeroes(struct blkioq *q, uint64_t start, uint64_t len, uint32_t flags);
int io_discard(struct blkioq *q, uint64_t start, uint64_t len, uint32_t flags);
int io_flush(struct blkioq *q, uint32_t flags);
/* For requests queued by hand with this user_data, when nothing else is outstanding. */
int io_finish(struct blkioq *q, void *user_data);
const char *io_msg(void); /* "" when there was none */

/* What CHECK_ERR() is for calls: the result of one of the above, and its message, if any must be.
 */
#define CHECK_IO_ERR(request, errnum, text)                                                        \
	do {                                                                                       \
		CHECK_EQ(request, -(errnum));                                                      \
		if (!strstr(io_msg(), text))                                                       \
			FAIL("%s: the message \"%s\" does not contain \"%s\"", #request, io_msg(), \
			     text);                                                                \
	} while (0)

/* Page-aligned, of any length, and where the device under test can reach it. */
void *buffer(size_t len);
void buffer_free(void *buf);
/* Bytes that depend on seed and on the position on the device. */
void pattern(void *buf, uint64_t start, size_t len, uint32_t seed);
void check_pattern(const void *buf, uint64_t start, size_t len, uint32_t seed);
void check_all(const void *buf, size_t len, unsigned char byte);

/*
 * What just keeps to the properties is done: segments of the least length at the least aligned
 * addresses, also across pages, as many as may be, and buffers as long as may be. buf: ALIGNED_LEN
 * bytes. Writes to the first bytes of the device.
 */
enum { ALIGNED_LEN = 2 << 20 };
void check_limits(struct blkio *b, struct blkioq *q, char *buf);

#endif

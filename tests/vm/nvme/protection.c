/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See protection.h. */
#include "protection.h"

#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <nvme/types.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "test.h"

#define MIB (1u << 20)

static void transfer(const char *node, uint8_t opcode, uint64_t nr, size_t block, uint8_t *metadata)
{
	int fd = (int)SYS(open(node, O_RDWR | O_CLOEXEC));
	void *data = calloc(1, block);
	struct nvme_passthru_cmd cmd = {
		.opcode = opcode,
		.nsid = (uint32_t)SYS(ioctl(fd, NVME_IOCTL_ID)),
		.addr = (uintptr_t)data,
		.data_len = (uint32_t)block,
		.metadata = (uintptr_t)metadata,
		.metadata_len = 8,
		.cdw10 = (uint32_t)nr,
		.cdw11 = (uint32_t)(nr >> 32),
	};

	CHECK_EQ(ioctl(fd, NVME_IOCTL_IO_CMD, &cmd), 0);
	free(data);
	close(fd);
}

void protection_read(const char *node, uint64_t nr, size_t block, uint8_t metadata[8])
{
	transfer(node, nvme_cmd_read, nr, block, metadata);
}

void protection_write(const char *node, uint64_t nr, size_t block, const uint8_t metadata[8])
{
	uint8_t copy[8];

	memcpy(copy, metadata, sizeof(copy));
	transfer(node, nvme_cmd_write, nr, block, copy);
}

static void check_data(struct blkioq *q, size_t block, char *buf)
{
	struct iovec iov[] = { { buf + MIB, block }, { buf, block } };

	const size_t lens[] = { block, 5 * block, MIB };

	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		size_t len = lens[i];

		pattern(buf, 8 * block, len, len);
		CHECK_EQ(io_write(q, 8 * block, buf, len, i % 2 ? BLKIO_REQ_FUA : 0), 0);
		memset(buf, 0, len);
		CHECK_EQ(io_read(q, 8 * block, buf, len, 0), 0);
		check_pattern(buf, 8 * block, len, len);
	}
	pattern(iov[0].iov_base, 0, block, 1);
	pattern(iov[1].iov_base, block, block, 1);
	CHECK_EQ(io_writev(q, 8 * block, iov, 2, 0), 0);
	CHECK_EQ(io_read(q, 8 * block, buf, 2 * block, 0), 0);
	check_pattern(buf, 0, 2 * block, 1);
	CHECK_EQ(io_zeroes(q, 8 * block, 16 * block, 0), 0);
	CHECK_EQ(io_discard(q, 16 * block, 16 * block, 0), 0);
	CHECK_EQ(io_flush(q, 0), 0);
	CHECK_EQ(io_read(q, 8 * block, buf, 16 * block, 0), 0);
	check_all(buf, 8 * block, 0);
}

void check_protection(struct blkio *b, const char *node, int type, char *buf)
{
	static const uint8_t bad_guard[8] = { 0x12, 0x34, [7] = 9 }, bad_tag[8] = { [6] = 7 };
	struct blkioq *q = blkio_get_queue(b, 0);
	size_t block = (size_t)get_int(b, "request-alignment");
	uint8_t metadata[8];

	CHECK_EQ(get_int(b, "protection-information"), type);
	check_data(q, block, buf);

	/* The controller knows the guard of what it was given. */
	memset(buf, 0x5a, 2 * block);
	CHECK_EQ(io_write(q, 9 * block, buf, 2 * block, 0), 0);
	protection_read(node, 9, block, metadata);
	CHECK(metadata[0] | metadata[1]);
	CHECK_EQ(metadata[7], type == 3 ? 0 : 9);

	protection_write(node, 9, block, bad_guard);
	CHECK_IO_ERR(io_read(q, 9 * block, buf, block, 0), EILSEQ, "guard");
	CHECK_IO_ERR(io_read(q, 8 * block, buf, 4 * block, 0), EILSEQ, "guard");
	CHECK_EQ(io_read(q, 10 * block, buf, block, 0), 0);
	check_all(buf, block, 0x5a);
	protection_write(node, 9, block, bad_tag);
	if (type == 3)
		CHECK_EQ(io_read(q, 9 * block, buf, block, 0), 0);
	else
		CHECK_IO_ERR(io_read(q, 9 * block, buf, block, 0), EILSEQ, "reference tag");
	CHECK_EQ(io_write(q, 9 * block, buf, block, 0), 0);
	CHECK_EQ(io_read(q, 9 * block, buf, block, 0), 0);
}

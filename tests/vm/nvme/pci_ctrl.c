/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See pci_ctrl.h. */
#include "pci_ctrl.h"

const char *env(const char *name)
{
	const char *value = getenv(name);

	if (!value || !*value)
		FAIL("set %s", name);
	return value;
}

struct blkio *connect_to(const char *path, int nsid)
{
	struct blkio *b;

	CHECK_OK(blkio_create("nvme-vfio-pci", &b));
	CHECK_OK(blkio_set_str(b, "path", path));
	CHECK_OK(blkio_set_int(b, "nsid", nsid));
	CHECK_OK(blkio_connect(b));
	CHECK(nsid == 0 || get_int(b, "nsid") == nsid);
	return b;
}

struct blkio *start(struct blkio *b, size_t len, char **buf)
{
	struct blkio_mem_region r;

	CHECK_OK(blkio_start(b));
	CHECK_OK(blkio_alloc_mem_region(b, &r, len));
	CHECK_OK(blkio_map_mem_region(b, &r));
	*buf = r.addr;
	return b;
}

struct blkio *start_namespace(int nsid, size_t len, char **buf)
{
	return start(connect_to(env("VM_VFIO_NVME"), nsid), len, buf);
}

void any_request(struct blkio *b, char *buf)
{
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t block = get_int(b, "request-alignment");
	struct iovec odd[] = { { buf + 512, 4 },
			       { buf + 8196, block - 4 },
			       { buf + 20000, 3 * block },
			       { buf + 40960, 8192 } };
	struct iovec into = { buf + 2 * MIB, 4 * block + 8192 };
	size_t len = 4 * block + 8192, at = 0;

	pattern(buf + 4, 0, 1500 * KIB, 1);
	CHECK_EQ(io_write(q, block, buf + 4, 1500 * KIB, 0), 0);
	memset(buf, 0, 1600 * KIB);
	CHECK_EQ(io_read(q, block, buf + 8, 1500 * KIB, 0), 0);
	check_pattern(buf + 8, 0, 1500 * KIB, 1);

	for (int i = 0; i < 4; i++) {
		pattern(odd[i].iov_base, at, odd[i].iov_len, 2);
		at += odd[i].iov_len;
	}
	CHECK_EQ(io_writev(q, 2 * MIB, odd, 4, BLKIO_REQ_FUA), 0);
	CHECK_EQ(io_readv(q, 2 * MIB, &into, 1, 0), 0);
	check_pattern(buf + 2 * MIB, 0, len, 2);
	memset(buf, 0, MIB);
	CHECK_EQ(io_readv(q, 2 * MIB, odd, 4, 0), 0);
	at = 0;
	for (int i = 0; i < 4; i++) {
		check_pattern(odd[i].iov_base, at, odd[i].iov_len, 2);
		at += odd[i].iov_len;
	}
	CHECK_EQ(io_zeroes(q, 2 * MIB, block, 0), 0);
	CHECK_EQ(io_discard(q, 3 * MIB, 8192, 0), 0);
	CHECK_EQ(io_flush(q, 0), 0);
	CHECK_EQ(io_read(q, 2 * MIB, buf, block, 0), 0);
	check_all(buf, block, 0);
}

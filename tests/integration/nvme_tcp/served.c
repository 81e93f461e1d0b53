/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See served.h. */
#include "served.h"

#include <fcntl.h>
#include <unistd.h>

#include "sys.h"
#include "test.h"

struct nvme_target target;

void target_serve(void)
{
	static char path[4096];
	int fd;

	if (!target.file) {
		snprintf(path, sizeof(path), "%s/disk", test_dir());
		target.file = path;
		fd = (int)SYS(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
		SYS(ftruncate(fd, DEVICE_SIZE));
		close(fd);
	}
	nvme_target_start(&target);
}

struct blkio *target_host(const char *digests)
{
	struct blkio *b;

	CHECK_OK(blkio_create("nvme-tcp", &b));
	CHECK_OK(blkio_set_str(b, "uri", nvme_target_uri(&target)));
	if (digests)
		CHECK_OK(blkio_set_str(b, "digests", digests));
	return b;
}

struct blkio *target_start(const char *digests)
{
	struct blkio *b;

	target_serve();
	b = target_host(digests);
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	return b;
}

void target_end(struct blkio *b)
{
	blkio_destroy(&b);
	nvme_target_kill(&target);
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A device without an IOMMU: it takes physical addresses and reaches all memory of the machine with
 * them, so a mistake, of the device or of ours, overwrites anything. For those who opt in.
 *
 * A region must be contiguous in physical memory and stay where it is. The kernel promises the
 * latter for registered buffers of io_uring, so a ring that is good for nothing else holds each
 * region. But the kernel closes the files of a process that dies in an order of its own: for a
 * moment, until VFIO resets it, the device may write to memory that is free.
 */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vfio/vfio.h"

#define PIN_LEN_MAX    (1ULL << 30) /* of a registered buffer */
#define PINS_MAX       16	    /* buffers of a ring, so 16 GiB of a region */
#define ENTRY_PRESENT  (1ULL << 63) /* of pagemap */
#define ENTRY_PFN_MASK ((1ULL << 55) - 1)

struct vfio_pin {
	struct vfio_pin *next;
	uint64_t iova;
	int ring;
};

static int physical_open(struct vfio_device *d)
{
	struct sysfs_name number = vfio_read_link(d, "iommu_group");
	char node[80];
	int ret;

	if (!number.s[0])
		return bk_err(ENODEV,
			      "PCI device %s is not behind an IOMMU: set VFIO's parameter "
			      "enable_unsafe_noiommu_mode before you bind the device to vfio-pci",
			      d->address);
	snprintf(node, sizeof(node), "noiommu-%s", number.s);
	d->page = page_size();
	d->max_mappings = UINT64_MAX;
	ret = vfio_open_group(d, node, VFIO_NOIOMMU_IOMMU);
	return ret < 0 ? ret : vfio_open_group_device(d);
}

/* ---- Holding memory where it is ----------------------------------------------------------- */

static int register_buffers(int ring, const struct bk_region *r)
{
	struct iovec iov[PINS_MAX];
	unsigned n = 0;

	for (uint64_t at = 0; at < r->len; at += iov[n++].iov_len) {
		if (n == PINS_MAX) {
			errno = EFBIG;
			return -1;
		}
		iov[n].iov_base = (void *)(r->addr + at);
		iov[n].iov_len = min_u64(r->len - at, PIN_LEN_MAX);
	}
	return syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, iov, n);
}

/* Until this fd is closed the region stays where it is. */
static int pin(const struct bk_region *r)
{
	struct io_uring_params params = { 0 };
	int ring = syscall(SYS_io_uring_setup, 1, &params), ret;

	if (ring < 0)
		return bk_err(errno, "cannot pin memory: without an IOMMU, the library pins it "
				     "through io_uring: io_uring_setup: %m");
	if (register_buffers(ring, r) < 0) {
		ret = bk_err(errno,
			     "cannot pin %llu bytes of memory: %m; is RLIMIT_MEMLOCK (\"ulimit "
			     "-l\") too low?",
			     (unsigned long long)r->len);
		close(ring);
		return ret;
	}
	return ring;
}

/* ---- Where it is -------------------------------------------------------------------------- */

static int not_contiguous(const struct bk_region *r, uint64_t at)
{
	return bk_err(EINVAL,
		      "memory at %p, %llu bytes, is contiguous in physical memory for %llu bytes "
		      "only. Without an IOMMU all of it must be: use regions of at most one huge "
		      "page, raise default_hugepagesz, or use fewer or smaller queues",
		      (void *)r->addr, (unsigned long long)r->len, (unsigned long long)at);
}

/* Follow the region through the page table; sets r->iova. */
static int follow(int pagemap, struct bk_region *r)
{
	uint64_t entries[512], at = 0, page = page_size(), pfn;

	while (at < r->len) {
		size_t n = min_u64(ARRAY_SIZE(entries), (r->len - at) / page);
		ssize_t len = n * sizeof(entries[0]);

		if (pread(pagemap, entries, len, (r->addr + at) / page * sizeof(entries[0])) != len)
			return bk_err(EIO, "cannot read /proc/self/pagemap");
		for (size_t i = 0; i < n; i++, at += page) {
			pfn = entries[i] & ENTRY_PFN_MASK;
			if (!(entries[i] & ENTRY_PRESENT) || !pfn)
				return bk_err(EPERM, "/proc/self/pagemap does not show physical "
						     "addresses: that requires CAP_SYS_ADMIN");
			if (!at)
				r->iova = pfn * page;
			else if (pfn * page != r->iova + at)
				return not_contiguous(r, at);
		}
	}
	return 0;
}

static int find_physical(struct bk_region *r)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return bk_err(errno, "/proc/self/pagemap: %m");
	ret = follow(fd, r);
	close(fd);
	return ret;
}

/* ---- The backend -------------------------------------------------------------------------- */

static int physical_map(struct vfio_device *d, struct bk_region *r)
{
	struct vfio_pin *p = malloc(sizeof(*p));
	int ret;

	if (!p)
		return bk_err(ENOMEM, "out of memory");
	ret = pin(r);
	if (ret < 0)
		goto free_pin;
	p->ring = ret;
	ret = find_physical(r);
	if (ret < 0)
		goto close_ring;
	p->iova = r->iova;
	p->next = d->pins;
	d->pins = p;
	return 0;

close_ring:
	close(p->ring);
free_pin:
	free(p);
	return ret;
}

static void physical_unmap(struct vfio_device *d, const struct bk_region *r)
{
	for (struct vfio_pin **p = &d->pins; *p; p = &(*p)->next) {
		struct vfio_pin *found = *p;

		if (found->iova != r->iova)
			continue;
		*p = found->next;
		close(found->ring);
		free(found);
		return;
	}
}

const struct vfio_backend vfio_physical_backend = {
	.open = physical_open,
	.map = physical_map,
	.unmap = physical_unmap,
};

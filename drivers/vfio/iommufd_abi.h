/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The part of the kernel's interface for iommufd (/dev/iommu, Linux 6.2) and for VFIO's character
 * devices (6.6) that we use. Newer than the headers that this builds with.
 */
#ifndef BK_VFIO_IOMMUFD_ABI_H
#define BK_VFIO_IOMMUFD_ABI_H

#include <linux/vfio.h>

/* Each begins with its own size. */
struct iommufd_ioas_alloc {
	__u32 size, flags;
	__u32 out_ioas;
};

struct iommufd_ioas_ranges {
	__u32 size, ioas;
	__u32 nr_ranges, reserved; /* in: room; out: how many there are */
	__aligned_u64 ranges;	   /* struct iova_range * */
	__aligned_u64 out_alignment;
};

struct iommufd_ioas_map {
	__u32 size, flags;
	__u32 ioas, reserved;
	__aligned_u64 addr, len, iova;
};

struct iommufd_ioas_unmap {
	__u32 size, ioas;
	__aligned_u64 iova, len;
};

struct iommufd_vfio_bind {
	__u32 argsz, flags;
	__s32 iommufd;
	__u32 out_devid;
};

struct iommufd_vfio_attach {
	__u32 argsz, flags;
	__u32 ioas; /* out: the page table */
};

#define IOMMUFD_IOAS_ALLOC  _IO(VFIO_TYPE, 0x81)
#define IOMMUFD_IOAS_RANGES _IO(VFIO_TYPE, 0x84)
#define IOMMUFD_IOAS_MAP    _IO(VFIO_TYPE, 0x85)
#define IOMMUFD_IOAS_UNMAP  _IO(VFIO_TYPE, 0x86)
#define IOMMUFD_VFIO_BIND   _IO(VFIO_TYPE, VFIO_BASE + 18)
#define IOMMUFD_VFIO_ATTACH _IO(VFIO_TYPE, VFIO_BASE + 19)

#define IOMMUFD_MAP_FIXED (1 << 0)
#define IOMMUFD_MAP_WRITE (1 << 1)
#define IOMMUFD_MAP_READ  (1 << 2)

#endif

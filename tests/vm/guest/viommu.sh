# SPDX-License-Identifier: MIT OR Apache-2.0

modprobe -a vfio_iommu_type1 vfio-pci
bind_vfio VM_VFIO_VIRTIO_BLK 0x010000
bind_vfio VM_VFIO_NVME 0x010802 "" 1c.0

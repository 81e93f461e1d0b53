# SPDX-License-Identifier: MIT OR Apache-2.0
#
# VFIO without an IOMMU; memory for it comes in huge pages.

modprobe vfio enable_unsafe_noiommu_mode=1
modprobe vfio-pci
echo 128 >/proc/sys/vm/nr_hugepages
bind_vfio VM_VFIO_VIRTIO_BLK 0x010000 noiommu-
bind_vfio VM_VFIO_NVME 0x010802 noiommu-

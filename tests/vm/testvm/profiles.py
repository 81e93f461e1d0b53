# SPDX-License-Identifier: MIT OR Apache-2.0
"""The devices a guest can have: one profile per table entry.

A profile is QEMU's side (here) and the guest's side: guest/NAME.sh, which loads the modules and
waits for the device nodes. Profiles can be combined, so their ids must differ; they are set up in
the order of the table: viommu before the nvme driver takes all NVMe there is, nvmet when nvme0 is
already taken.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True)
class Profile:
    summary: str
    devices: tuple[str, ...] = ()  # QEMU arguments; {disk:NAME} is the path of a disk below
    disks: dict[str, int] = field(default_factory=dict)  # sparse image files: name -> bytes
    machine: str = ""  # appended to -machine
    append: str = ""  # appended to the kernel's command line
    kernel: str = ""  # the only one that can drive it


def _file(node: str, disk: str) -> tuple[str, str]:
    return ("-blockdev", f"driver=file,node-name={node},filename={{disk:{disk}}},discard=unmap")


PROFILES: dict[str, Profile] = {
    "plain": Profile("no devices, only the host's files"),
    "viommu": Profile(
        "virtio-blk ($VM_VFIO_VIRTIO_BLK) and NVMe ($VM_VFIO_NVME) behind an IOMMU, bound to "
        "vfio-pci",
        devices=(
            "-device", "intel-iommu,intremap=on,caching-mode=on,aw-bits=48",
            "-device", "pcie-root-port,id=port1,chassis=1,slot=1",
            *_file("vfio1", "vfio1"),
            "-device", "virtio-blk-pci,id=blk1,bus=port1,drive=vfio1,num-queues=4,disable-legacy=on,"
                       "iommu_platform=on,packed=on",
            "-device", "pcie-root-port,id=port2,chassis=2,slot=2,addr=1c.0",
            # A second controller of the same namespaces, for the kernel.
            "-device", "nvme-subsys,id=shared,nqn=shared",
            "-device", "nvme,bus=port2,subsys=shared,serial=vm-vfio,max_ioqpairs=4,msix_qsize=5,"
                       "mdts=7",
            "-device", "pcie-root-port,id=port4,chassis=4,slot=4",
            "-device", "nvme,id=kernel,bus=port4,subsys=shared,serial=vm-vfio",
            *_file("vfio2", "vfio2"),
            "-device", "nvme-ns,bus=kernel,drive=vfio2,nsid=1",
            *_file("vfio3", "vfio3"),
            "-device", "nvme-ns,bus=kernel,drive=vfio3,nsid=2",
            *_file("vfio4", "vfio4"),
            "-device", "nvme-ns,bus=kernel,drive=vfio4,nsid=3,logical_block_size=4096,"
                       "physical_block_size=4096",
            *_file("vfio5", "vfio5"),
            "-device", "nvme-ns,bus=kernel,drive=vfio5,nsid=4,zoned=on,zoned.zone_size=1M,"
                       "zoned.zone_capacity=1M,zoned.max_open=8,zoned.max_active=8",
            *_file("vfio6", "vfio6"),
            "-device", "nvme-ns,bus=kernel,drive=vfio6,nsid=5,ms=8",
        ),
        disks={"vfio1": 256 * MIB, "vfio2": 4 * MIB, "vfio3": 256 * MIB,
               **{f"vfio{n}": 64 * MIB for n in (4, 5, 6)}},
        machine=",kernel-irqchip=split",
        append="intel_iommu=on",
    ),
    "noiommu": Profile(
        "virtio-blk ($VM_VFIO_VIRTIO_BLK) and NVMe ($VM_VFIO_NVME, namespace 2) bound to vfio-pci, "
        "with no IOMMU before them; needs --kernel custom",
        devices=(
            "-device", "pcie-root-port,id=port3,chassis=3,slot=3",
            *_file("noiommu", "noiommu"),
            "-device", "virtio-blk-pci,bus=port3,drive=noiommu,num-queues=4,disable-legacy=on,"
                       "packed=on",
            "-device", "pcie-root-port,id=port7,chassis=7,slot=7",
            *_file("noiommu2", "noiommu2"),
            "-device", "nvme,id=noiommu-nvme,bus=port7,serial=vm-noiommu,max_ioqpairs=4,"
                       "msix_qsize=5,mdts=7",
            "-device", "nvme-ns,bus=noiommu-nvme,drive=noiommu2,nsid=2",
        ),
        disks={"noiommu": 256 * MIB, "noiommu2": 256 * MIB},
        kernel="custom",
    ),
    "nvme": Profile(
        "NVMe with poll queues: /dev/nvme0n1 512 B blocks, n2 4 KiB, n3 zoned (64 x 4 MiB), "
        "n4 512 B + 8 B metadata; also /dev/ng0n1..4",
        devices=(
            "-device", "nvme,id=nvme,serial=vm-nvme,max_ioqpairs=8,msix_qsize=9,mdts=7",
            *_file("nvme1", "nvme1"),
            "-device", "nvme-ns,bus=nvme,drive=nvme1,nsid=1",
            *_file("nvme2", "nvme2"),
            "-device", "nvme-ns,bus=nvme,drive=nvme2,nsid=2,logical_block_size=4096,"
                       "physical_block_size=4096",
            *_file("nvme3", "nvme3"),
            "-device", "nvme-ns,bus=nvme,drive=nvme3,nsid=3,zoned=on,zoned.zone_size=4M,"
                       "zoned.zone_capacity=4M,zoned.max_open=8,zoned.max_active=8",
            *_file("nvme4", "nvme4"),
            "-device", "nvme-ns,bus=nvme,drive=nvme4,nsid=4,ms=8,mset=1",
        ),
        disks={f"nvme{n}": 256 * MIB for n in (1, 2, 3, 4)},
        append="nvme.poll_queues=2",
    ),
    "sata": Profile(
        "a SATA disk with SMART: /dev/sda",
        devices=(*_file("sata1", "sata1"),
                 "-device", "ide-hd,bus=ide.0,drive=sata1,serial=vm-sata"),
        disks={"sata1": 64 * MIB},
    ),
    "nullblk": Profile(
        "null_blk with poll queues: /dev/nullb0 no storage, for speed; nullb1 512 B and nullb2 "
        "4 KiB with storage, discard and a write cache; nullb3 zoned; nullb4 takes 50 ms unless "
        "polled"),
    "vdpa": Profile("the vDPA simulator: /dev/vhost-vdpa-0 (128 MiB, one queue)"),
    "vduse": Profile(
        "a VDUSE export of qemu-storage-daemon inside the guest: /dev/vhost-vdpa-0 (2 queues), "
        "its data in /run/vduse.img"),
    "nvmet": Profile(
        "an NVMe/TCP target on 127.0.0.1:4420 (nqn.2024-01.vm:target), connected as /dev/nvme*n1 "
        "with poll queues ($VM_NVMET_DEVICE)",
        # Without: the disk would hide behind a multipath one.
        append="nvme_core.multipath=N"),
}

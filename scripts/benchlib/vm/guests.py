# SPDX-License-Identifier: MIT OR Apache-2.0
"""What can be compared in the test VM: which guest to boot, which disk it has, who shall use it."""

from __future__ import annotations

from dataclasses import dataclass

WAITS = ("block", "eventfd", "loop", "poll")


@dataclass(frozen=True)
class Guest:
    summary: str
    profile: str  # of tests/vm/run
    disk: str
    timed: tuple[str, ...] = ()  # modes to compare by time; none: not worth it
    # Modes to compare by instructions; none: another thread takes part in its I/O, of QEMU or of the
    # guest, which has one CPU then. So no mode that is busy, either.
    counted: tuple[str, ...] = ()
    append: str = ""  # to the kernel's command line
    prepare: str = ""  # shell, in the guest, before the comparison
    buffered: bool = False


def _with_prefix(prefix: str) -> tuple[str, ...]:
    return tuple(prefix + wait for wait in WAITS)


_COUNTED = ("native", "native-fixed", "block", "eventfd")

# The kernel's driver gets what it can use, too: poll queues, and no IOMMU mapping for each of its
# requests (iommu=pt), which would favour us.
GUESTS: dict[str, Guest] = {
    "vfio": Guest(
        "one virtio-blk device, driven by the kernel and through VFIO, in turns", "viommu",
        "/dev/vda", ("native", "native-poll", *_with_prefix("vfio-")),
        append="iommu=pt virtio_blk.poll_queues=1",
        prepare='modprobe virtio_blk && scripts/vfio-bind unbind "$VM_VFIO_VIRTIO_BLK"'),
    "nvme": Guest(
        "an NVMe namespace, through the block layer and past it", "nvme", "/dev/nvme0n1",
        ("native", "native-poll", "native-cmd", "native-cmd-poll", "block", "poll",
         *_with_prefix("nvme-"))),
    # Another controller has the same namespaces: without multipath the disks are apart.
    "nvme-vfio": Guest(
        "one NVMe controller, driven by the kernel and through VFIO, in turns", "viommu",
        "/dev/nvme1n2", ("native", "native-poll", "native-cmd", "native-cmd-poll",
                         *_with_prefix("pci-")),
        append="iommu=pt nvme.poll_queues=1 nvme_core.multipath=N",
        prepare='modprobe nvme && scripts/vfio-bind unbind "$VM_VFIO_NVME" && '
                "until [ -b /dev/nvme1n2 ]; do sleep 0.1; done"),
    "nvme-tcp": Guest(
        "a namespace of the kernel's NVMe/TCP target, through its host and through nvme-tcp", "nvmet",
        "/dev/nvme0n1", ("native", "native-poll", *_with_prefix("tcp-"))),
    "null_blk": Guest(
        "a disk that does nothing, with poll queues", "nullblk", "/dev/nullb0",
        ("native", "native-poll", *WAITS), _COUNTED),
    "page-cache": Guest(
        "a cached file", "plain", "/dev/shm/page-cache", counted=_COUNTED,
        prepare="dd if=/dev/zero of=/dev/shm/page-cache bs=1M count=64 2>/dev/null", buffered=True),
}

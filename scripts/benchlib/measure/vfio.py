# SPDX-License-Identifier: MIT OR Apache-2.0
"""VFIO: the virtio-blk device or NVMe controller is unbound from its driver for one fio process, and
bound again. The comparison thus uses one device, driven by the kernel and by libblkio in turn.

vfio_bind does it, which refuses a device that is in use; it is done only when asked for.
The device comes back with its queue settings (scheduler and so on) as after a boot.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

from ..errors import BenchError
from ..machine import vfio_bind
from ..machine.blockdev import read_text
from .targets import Target
from .transport import DryRun, Transport, blkio_path

BACK_SECONDS = 30
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")

Find = Callable[[Target], "Path | None"]


def _has_driver(folder: Path, driver: str) -> bool:
    return os.path.basename(os.path.realpath(folder / "driver")) == driver


def _whole_disk(target: Target) -> Path | None:
    """Its folder in sysfs; None for a partition, or what is no block device."""
    if target.device is None or target.kind != "block-device" or \
            target.device.node != target.device.disk:
        return None
    return target.device.disk


def pci_folder(target: Target) -> Path | None:
    """The sysfs folder of the PCI function that is the target's virtio-blk disk."""
    disk = _whole_disk(target)
    if disk is None or not (disk / "device").exists() or \
            not _has_driver(disk / "device", "virtio_blk"):
        return None
    function = (disk / "device").resolve().parent
    return function if _ADDRESS.fullmatch(function.name) else None


def controller_folder(target: Target) -> Path | None:
    """The same of the NVMe controller whose namespace the target is; not where it has several."""
    disk = _whole_disk(target)
    if disk is None or not (disk / "device").exists():
        return None
    function = (disk / "device").resolve().parent.parent
    return function if _ADDRESS.fullmatch(function.name) and _has_driver(function, "nvme") else None


def _nothing(_target: Target) -> list[str]:
    return []


def _namespace(target: Target) -> list[str]:
    assert target.device is not None
    return ["--libblkio_pre_connect_props=nsid=" + read_text(target.device.disk / "nsid")]


def _transport(what: str, find: Find, options: Callable[[Target], list[str]]) -> Transport:
    def obstacle(target: Target) -> str:
        folder = find(target)
        if folder is None:
            return f"not a whole {what} on PCI"
        if not (folder / "iommu_group").exists():
            return f"{folder.name} is not behind an IOMMU"
        return "" if os.geteuid() == 0 else "taking a device from the kernel needs root"

    def address_of(target: Target) -> str:
        folder = find(target)
        if folder is None:
            raise BenchError(f"{target.path} is not a {what} on PCI")
        return folder.name

    @contextmanager
    def borrow(target: Target) -> Iterator[list[str]]:
        address, more = address_of(target), options(target)
        _do(vfio_bind.bind, address)
        try:
            yield blkio_path(address) + more
        finally:
            _do(vfio_bind.unbind, address)
            _wait_for(target.path)

    def dry_run(target: Target) -> DryRun:
        address = address_of(target)
        return DryRun(blkio_path(address) + options(target), [f"scripts/vfio-bind bind {address}"],
                      [f"scripts/vfio-bind unbind {address}"])

    return Transport(borrow, dry_run, obstacle, usual=lambda _target: False)


def _do(what: Callable[[vfio_bind.PciDevice], object], address: str) -> None:
    try:
        what(vfio_bind.PciDevice(address))
    except vfio_bind.Refused as error:
        raise BenchError(str(error), f"What has the device: scripts/vfio-bind status {address}") \
            from error


def _wait_for(path: str) -> None:
    """The kernel creates the node again, some time later."""
    deadline = time.monotonic() + BACK_SECONDS
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise BenchError(f"{path} did not come back from VFIO within {BACK_SECONDS} s")
        time.sleep(0.02)


TRANSPORT = _transport("virtio-blk disk", pci_folder, _nothing)
NVME = _transport("NVMe disk", controller_folder, _namespace)

# SPDX-License-Identifier: MIT OR Apache-2.0
"""The way past the kernel: the virtio-blk device is taken from its driver for one fio process, and
given back. So what is compared is one and the same device, driven by the kernel and by us.

scripts/vfio-bind does it, which refuses a device that is in use; it is done only when asked for.
The device comes back with its queue settings (scheduler and so on) as after a boot.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from .errors import BenchError
from .prepare import ROOT
from .reach import Rehearsal, Way, blkio_path
from .targets import Target

BIND = ROOT / "scripts" / "vfio-bind"
BACK_SECONDS = 30
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


def pci_folder(target: Target) -> Path | None:
    """The sysfs folder of the PCI function that is the target's virtio-blk disk."""
    if target.device is None or target.kind != "block-device" or \
            target.device.node != target.device.disk:  # a partition
        return None
    virtio = target.device.disk / "device"
    if not virtio.exists() or os.path.basename(os.path.realpath(virtio / "driver")) != "virtio_blk":
        return None
    function = virtio.resolve().parent
    return function if _ADDRESS.fullmatch(function.name) else None


def _obstacle(target: Target) -> str:
    folder = pci_folder(target)
    if folder is None:
        return "no whole virtio-blk disk on PCI"
    if not (folder / "iommu_group").exists():
        return f"{folder.name} is behind no IOMMU"
    return "" if os.geteuid() == 0 else "taking a device from the kernel needs root"


def _address(target: Target) -> str:
    folder = pci_folder(target)
    if folder is None:
        raise BenchError(f"{target.path} is no virtio-blk disk on PCI")
    return folder.name


@contextmanager
def _borrow(target: Target) -> Iterator[list[str]]:
    address = _address(target)
    _run("bind", address)
    try:
        yield blkio_path(address)
    finally:
        _run("unbind", address)
        _wait_for(target.path)


def _run(verb: str, address: str) -> None:
    done = subprocess.run([BIND, verb, address], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    if done.returncode:
        raise BenchError(done.stderr.strip().removeprefix("vfio-bind: "),
                         f"What has the device: scripts/vfio-bind status {address}")


def _wait_for(path: str) -> None:
    """The kernel makes the node anew, in its own time."""
    deadline = time.monotonic() + BACK_SECONDS
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise BenchError(f"{path} did not come back from VFIO within {BACK_SECONDS} s")
        time.sleep(0.02)


def _rehearse(target: Target) -> Rehearsal:
    address = _address(target)
    return Rehearsal(blkio_path(address), [f"scripts/vfio-bind bind {address}"],
                     [f"scripts/vfio-bind unbind {address}"])


WAY = Way(_borrow, _rehearse, _obstacle, usual=lambda _target: False)

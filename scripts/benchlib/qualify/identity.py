# SPDX-License-Identifier: MIT OR Apache-2.0
"""Which device is it? From sysfs, and for NVMe from the controller itself. The same answer decides
what --destroy must name, and whether a run may be resumed.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..errors import BenchError, refuse
from ..machine.blockdev import BlockDevice, block_device, read_text
from ..measure import targets
from . import nvme_admin
from .model import Device

KINDS = (("loop", "loop"), ("nvme", "nvme"), ("vd", "virtio"), ("sd", "scsi"))


def identify(path: str, created: bool = False) -> Device:
    """All that can be said about the file or block device."""
    mode = targets.status_of(path).st_mode
    disk = block_device(path)
    if not stat.S_ISBLK(mode):
        return _file(path, path, targets.size_of(path), created)
    if disk is None:
        raise refuse(f"{path}: the kernel shows no such disk under /sys")
    kind = next((kind for prefix, kind in KINDS if disk.name.startswith(prefix)), "block")
    model, serial, firmware, unknown = _names(path, disk, kind)
    pci = pci_function(disk)
    return Device(
        path=os.path.realpath(path), kind=kind, created=False, name=disk.node.name,
        medium=_medium(path, disk), model=model, serial=serial, firmware=firmware,
        size=targets.size_of(path), logical_block=disk.logical_block_size(),
        physical_block=int(disk.setting("physical_block_size") or 0),
        pci_address=pci.name if pci else "", link=link(pci) if pci else "",
        numa_node=int(read_text(pci / "numa_node") or -1) if pci else -1,
        queue=disk.settings(), unknown=unknown)


def _medium(path: str, disk: BlockDevice) -> str:
    """The disk in words; of a loop device, what its file lies on."""
    words, backing = targets.medium(path, disk), read_text(disk.disk / "loop" / "backing_file")
    if not os.path.exists(backing):
        return words
    return f"{words}, a file on {targets.medium(backing, block_device(backing))}"


def _file(path: str, place: str, length: int, created: bool) -> Device:
    """A file; `place` is what tells the disk under it."""
    disk = block_device(place)
    return Device(
        path=os.path.realpath(path), kind="file", created=created, name=os.path.basename(path),
        medium=targets.medium(place, disk), model="", serial="", firmware="", size=length,
        logical_block=disk.logical_block_size() if disk else 1,
        physical_block=int(disk.setting("physical_block_size") or 0) if disk else 0,
        pci_address="", link="", numa_node=-1, queue=disk.settings() if disk else {},
        unknown=["model, serial and firmware: a file has none; its disk is named as the medium"])


def to_be_made(path: str, folder: str, length: int) -> Device:
    """The file that will be at `path`, in this folder."""
    return _file(path, folder, length, created=True)


def word_to_destroy(device: Device) -> str:
    """What --destroy must say for this device: its serial, or its name when it has none."""
    return device.serial or device.name


def differences(was: Device, now: Device) -> list[str]:
    """Why `now` is not the device it was, one line each."""
    return [f"{field} was {getattr(was, field) or 'none'}, is {getattr(now, field) or 'none'}"
            for field in ("kind", "model", "serial", "firmware", "size", "logical_block")
            if getattr(was, field) != getattr(now, field)]


def gone(device: Device) -> str:
    """Why the device is no longer what it was, or ""."""
    try:
        now = identify(device.path, device.created)
    except (BenchError, OSError, ValueError) as error:
        return str(error)
    return "; ".join(differences(device, now))


def pci_function(disk: BlockDevice) -> Path | None:
    """The PCI function that the disk hangs on."""
    for place in (disk.disk / "device").resolve().parents:
        if (place / "vendor").exists() and (place / "class").exists() and ":" in place.name:
            return place
    return None


def link(pci: Path) -> str:
    """Its PCI link as it is, and as it could be when that is more."""
    now, most = link_state(pci, "current"), link_state(pci, "max")
    return now if now == most or not most else f"{now} of {most}"


def link_state(pci: Path, which: str) -> str:
    """8.0 GT/s x4; "" without a physical link, as in a virtual machine."""
    speed = read_text(pci / f"{which}_link_speed").removesuffix(" PCIe")
    width = read_text(pci / f"{which}_link_width")
    real = speed and "Unknown" not in speed and width not in ("", "0", "255")
    return f"{speed} x{width}" if real else ""


def _names(path: str, disk: BlockDevice, kind: str) -> tuple[str, str, str, list[str]]:
    """Model, serial, firmware, and what is missing of these."""
    unknown = []
    if kind == "nvme":
        try:
            found = nvme_admin.identify(path)
            return found.model, found.serial, found.firmware, []
        except OSError as error:
            unknown.append(f"Identify Controller: {error.strerror} (from sysfs instead)")
    model, serial, firmware = _names_from_sysfs(disk)
    unknown += [f"{word}: the kernel shows none for {disk.name}"
                for word, value in (("model", model), ("serial", serial), ("firmware", firmware))
                if not value]
    return model, serial, firmware, unknown


def _names_from_sysfs(disk: BlockDevice) -> tuple[str, str, str]:
    device = disk.disk / "device"
    vendor = read_text(device / "vendor")
    words = ["" if vendor.startswith("0x") else vendor, read_text(device / "model")]
    page = device / "vpd_pg80"  # SCSI's unit serial number, after four bytes of header
    serial = (read_text(device / "serial") or read_text(disk.disk / "serial")
              or (page.read_bytes()[4:].decode("ascii", "replace") if page.exists() else ""))
    firmware = read_text(device / "firmware_rev") or read_text(device / "rev")
    return " ".join(filter(None, words)), serial.strip(" \0"), firmware

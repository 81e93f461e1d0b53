# SPDX-License-Identifier: MIT OR Apache-2.0
"""Who else uses a file or block device? Asked before anything is written to it."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from ..errors import refuse
from .blockdev import SYS, BlockDevice, block_device, mounts, read_text


def users(path: str) -> list[str]:
    """What uses `path`, in words; empty when nobody does as far as can be seen."""
    if stat.S_ISBLK(os.stat(path).st_mode):
        return _block_users(path)
    return _swap_users(path) + _loop_users(path) + _writers(path)


@contextmanager
def claim(path: str, writes: bool) -> Iterator[None]:
    """Be seen as a user of `path` for as long as this is entered, so that nobody mounts it or
    writes to it meanwhile; refused when somebody already does."""
    block = stat.S_ISBLK(os.stat(path).st_mode)
    how = os.O_RDONLY | os.O_EXCL if block else os.O_RDWR  # as users() sees it
    try:
        held = os.open(path, (how if writes else os.O_RDONLY) | os.O_CLOEXEC)
    except OSError as error:
        raise refuse(f"cannot claim {path}: {error.strerror}",
                     "Unmount or stop what uses it.") from error
    try:
        yield
    finally:
        os.close(held)


def _block_users(path: str) -> list[str]:
    device = block_device(path)
    found = _swap_users(path)
    if device:
        found += _mounted_at(device) + [f"used by {name}" for name in device.holders()]
    for node in [path, *(device.partitions() if device else [])]:
        found += _loop_users(node) + exports(node)
    if not found and _claimed(path):
        found.append("claimed by the kernel or by another program (O_EXCL open: busy)")
    return found


def _mounted_at(device: BlockDevice) -> list[str]:
    numbers = device.numbers()
    found = [f"mounted at {mount.point}" for mount in mounts() if mount.number in numbers]
    return list(dict.fromkeys(found))


def _claimed(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def _swap_users(path: str) -> list[str]:
    names = [line.split()[0] for line in read_text(Path("/proc/swaps")).splitlines()[1:]]
    return ["used as swap"] if any(_same_file(path, name) for name in names) else []


def _loop_users(path: str) -> list[str]:
    return [f"backing file of {loop.parent.parent.name}"
            for loop in SYS.glob("block/loop*/loop/backing_file")
            if _same_file(path, read_text(loop))]


def exports(path: str) -> list[str]:
    """The kernel's NVMe target claims neither disks nor controllers."""
    return [f"exported by NVMe target {subsystem.name}"
            for subsystem in SYS.glob("kernel/config/nvmet/subsystems/*")
            for export in (*subsystem.glob("namespaces/*"), subsystem / "passthru")
            if read_text(export / "enable") == "1"
            and _same_file(path, read_text(export / "device_path"))]


def _writers(path: str) -> list[str]:
    """Processes with the file open for writing (those of other users only when root)."""
    found = []
    for link in _descriptors():
        try:
            if not _same_file(path, str(link)):
                continue
            info = (link.parent.parent / "fdinfo" / link.name).read_text()
            process = read_text(link.parent.parent / "comm")
        except OSError:
            continue  # closed or ended meanwhile
        flags = next(int(line.split()[1], 8) for line in info.splitlines()
                     if line.startswith("flags:"))
        if flags & os.O_ACCMODE != os.O_RDONLY:
            found.append(f"open for writing in {process} (process {link.parent.parent.name})")
    return sorted(set(found))


def processes() -> list[str]:
    """The numbers of all processes that can be seen."""
    return [name for name in os.listdir("/proc") if name.isdigit()]


def _descriptors() -> Iterator[Path]:
    """Every /proc/PID/fd/N that may be looked at. Processes end meanwhile, which glob() minds."""
    for process in processes():
        try:
            yield from list(Path("/proc", process, "fd").iterdir())
        except OSError:
            continue


def _same_file(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False

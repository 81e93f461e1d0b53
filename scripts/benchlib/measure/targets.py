# SPDX-License-Identifier: MIT OR Apache-2.0
"""Where the I/O goes: scratch files made for the run, or a file or device the user names.

A Target is ready to use and says all that an engine must know about it. The scratch targets
(SCRATCH, one entry each) are the defaults:

    page-cache   buffered reads of a cached file: no device at all, so the software's own cost
    tmpfs        O_DIRECT on tmpfs: still no device, but a worker thread of the kernel for who does
                 not ask it to try at once
    disk         O_DIRECT on the filesystem of the build folder: a real device with its own noise
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import stat
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterable, Sequence

from ..errors import BenchError, refuse
from ..machine import inuse, pagecache
from ..machine.blockdev import SYS, BlockDevice, block_device, mount_of, mounts, read_text
from ..result.model import Skip, TargetInfo

CHUNK = 1 << 20
PREFIX = "bench-scratch-"
KEEP_FREE = 256 << 20  # leave this much on a filesystem, and in memory
MOST_SHOWN = 12  # names in a suggestion


@dataclass(frozen=True)
class Target:
    name: str
    label: str
    kind: str
    path: str
    direct: bool
    size: int
    device: BlockDevice | None
    scratch: bool
    written: bool = False  # the user allows it

    def info(self) -> TargetInfo:
        return TargetInfo(self.name, self.label, self.kind, self.direct, self.size,
                          medium(self.path, self.device), "" if self.scratch else self.path,
                          self.device.settings() if self.device else {})

    def cached(self) -> bool:
        return not self.direct

    def warm_up(self) -> None:
        """Have the page cache hold a buffered target, as its runs assume."""
        if self.cached() and not pagecache.holds(self.path):
            with open(self.path, "rb", buffering=0) as file:
                while file.read(CHUNK):
                    pass


def medium(path: str, device: BlockDevice | None) -> str:
    """What holds the data, in words, without naming the path."""
    if stat.S_ISBLK(os.stat(path).st_mode):
        return device.describe() if device else "block device"
    mount = mount_of(path)
    fstype = mount.fstype if mount else "unknown filesystem"
    return f"{fstype} on {device.describe()}" if device else fstype


def memory_available() -> int:
    for line in read_text(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


# ---- Scratch files ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Scratch:
    """How to make one default target."""

    name: str
    label: str
    kind: str
    direct: bool
    folder: Callable[[Path], Path | None]  # given the build folder
    in_memory: bool  # its data take memory, not disk space


def _tmpfs_folder(_build: Path) -> Path | None:
    points = [mount.point for mount in mounts() if mount.fstype == "tmpfs" and mount.writable]
    points = [point for point in points if os.access(point, os.W_OK)]
    return Path(max(points, key=_free_space)) if points else None


def _build_folder(build: Path) -> Path:
    return build


SCRATCH: dict[str, Scratch] = {scratch.name: scratch for scratch in (
    Scratch("page-cache", "page cache (buffered file)", "page-cache", False, _build_folder, True),
    Scratch("tmpfs", "tmpfs file, O_DIRECT", "direct-file", True, _tmpfs_folder, True),
    Scratch("disk", "file on disk, O_DIRECT", "direct-file", True, _build_folder, False),
)}


def plan_scratch(name: str, build: Path, size: int) -> Target | Skip:
    """The scratch target `name`, to be made by make_scratch(); or why there can be none."""
    spec = SCRATCH[name]
    folder = spec.folder(build)
    if folder is None:
        return Skip(name, "", "no writable tmpfs is mounted")
    place = _existing(folder)
    lack = _lacking(spec, place, size) or _unfit(spec, place)
    if lack:
        return Skip(name, "", lack)
    device = block_device(str(place))
    path = folder / f"{PREFIX}{name}-{os.getpid()}"
    return Target(name, spec.label, spec.kind, os.path.abspath(path), spec.direct, size, device,
                  scratch=True)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there: the build may be still to come."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents)
                if place.is_dir())


def make_scratch(target: Target, stack: ExitStack, keep: bool) -> None:
    """Write the scratch file; it goes when `stack` is left, unless it is to be kept."""
    path = Path(target.path)
    if not keep:
        stack.callback(path.unlink, missing_ok=True)
    try:
        _fill(path, target.size)
    except OSError as error:
        raise BenchError(f"cannot write the scratch file {path}: {error.strerror}",
                         "Make room, use a smaller --size, or name a --target.") from error


def _free_space(folder: str | Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _lacking(spec: Scratch, folder: Path, size: int) -> str:
    """What there is too little of for a scratch file, or ""."""
    needed = size + KEEP_FREE
    if _free_space(folder) < needed:
        return (f"{_free_space(folder) >> 20} MiB free in {folder}, {needed >> 20} MiB needed "
                "(smaller: --size)")
    if spec.in_memory and memory_available() < needed:
        return (f"{memory_available() >> 20} MiB of memory available, {needed >> 20} MiB needed "
                "(smaller: --size)")
    return ""


def _unfit(spec: Scratch, folder: Path) -> str:
    """Why a file in the folder would not do, tried with an empty one; or ""."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=PREFIX) as trial:
            if spec.direct and not _opens_direct(trial.name):
                return f"{medium(str(folder), block_device(str(folder)))} refuses O_DIRECT"
    except OSError as error:
        return f"cannot write to {folder}: {error.strerror}"
    return ""


def _fill(path: Path, size: int) -> None:
    """Random data, really written: neither holes nor zeroes that a device could shortcut."""
    with open(path, "xb", buffering=0) as file:
        for offset in range(0, size, CHUNK):
            file.write(os.urandom(min(CHUNK, size - offset)))
        os.fsync(file.fileno())


def _opens_direct(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC))
    except OSError:
        return False
    return True


# ---- What the user names ---------------------------------------------------------------------

DEV, DEV_SHM = Path("/dev"), Path("/dev/shm")
KINDS_OF_FILE = ((stat.S_ISDIR, "a directory"), (stat.S_ISSOCK, "a socket"),
                 (stat.S_ISFIFO, "a FIFO"), (stat.S_ISCHR, "a character device"))


def status_of(path: str, names: Iterable[str] = ()) -> os.stat_result:
    """Of the file or block device at `path`; refused when something else is there, or nothing.
    `names` are what else the user may have meant."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise refuse(f"{path}: {error.strerror}", _similar(path, names)) from error
    if stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode):
        return status
    if stat.S_ISCHR(status.st_mode) and re.fullmatch(r"ng\d+n\d+", os.path.basename(path)):
        raise refuse(f"{path} is the passthrough node of a namespace",
                     f"Name its block device: {path.replace('/ng', '/nvme')}")
    kind = next((words for is_kind, words in KINDS_OF_FILE if is_kind(status.st_mode)), "special")
    raise refuse(f"{path} is {kind}, neither a file nor a block device", _similar(path))


def folder_for_new(path: str) -> str | None:
    """The folder that a file at `path` is to be made in; None when something is there already.
    Refused when it could not be made there, or when the path looks like a mistyped device."""
    if os.path.exists(path):
        return None
    full = Path(os.path.realpath(path))
    if full.is_relative_to(DEV) and not full.is_relative_to(DEV_SHM):
        raise refuse(f"{path}: there is no such device", _similar(path))
    if "/" not in path and (DEV / path).is_block_device():
        raise refuse(f"{path}: there is no such file", _similar(path))
    if path.endswith("/") or not full.parent.is_dir():
        missing = path if path.endswith("/") else full.parent
        raise refuse(f"{path}: there is no folder {missing}", _similar(str(missing)))
    if not os.access(full.parent, os.W_OK | os.X_OK):
        raise refuse(f"{path}: this user cannot make a file in {full.parent}",
                     "Name a folder that can be written to.")
    return str(full.parent)


def check_named(names: Sequence[str]) -> None:
    """Refuse a target that is not there before anything is installed or built for it."""
    for name in names:
        if name not in SCRATCH:
            status_of(name, SCRATCH)


def check_new_or_named(path: str) -> None:
    """The same for what may also be a file to make."""
    if folder_for_new(path) is None:
        status_of(path)


def _similar(path: str, others: Iterable[str] = ()) -> str:
    """What there is of nearly the same name; in /dev, devices, all of them when none is similar."""
    place = Path(path.rstrip("/") or "/")
    if "/" not in path and (DEV / path).is_block_device():
        return f"There is: {DEV / path}"
    there = difflib.get_close_matches(path, list(others), n=1)
    with contextlib.suppress(OSError):
        names = [entry.name for entry in place.parent.iterdir()
                 if place.parent != DEV or _has_medium(entry)]
        close = difflib.get_close_matches(place.name, names, n=4, cutoff=0.7)
        if not close and place.parent == DEV:
            close = sorted(names)[:MOST_SHOWN]
        there += [str(place.parent / name) for name in close if name != place.name]
    return f"There is: {', '.join(there)}" if there else ""


def _has_medium(entry: Path) -> bool:
    """A block device, and not an empty one such as a loop device without a file."""
    return entry.is_block_device() and read_text(SYS / "class/block" / entry.name / "size") != "0"


def user_target(path: str, *, buffered: bool, writes: bool, destructive: bool,
                warn: Callable[[str], None]) -> Target:
    """The target at `path`, checked; refused rather than harmed."""
    status = status_of(path)
    _check_use(path, writes, destructive, warn)
    device = block_device(path)
    size = size_of(path)
    is_block = stat.S_ISBLK(status.st_mode)
    if size == 0:
        raise refuse(f"{path} is empty", "Name a file or device with data to read.")
    if not is_block and status.st_blocks * 512 < size * 0.9:
        warn(f"{path} is sparse: holes are read without touching the device")
    if not buffered and not _opens_direct(path):
        raise refuse(f"{path} cannot be opened with O_DIRECT",
                     "Measure through the page cache with --buffered.")
    if buffered and memory_available() < size + KEEP_FREE:
        raise refuse(f"{path} ({size >> 20} MiB) does not fit the page cache "
                     f"({memory_available() >> 20} MiB available)", "Leave --buffered out.")
    kind = "page-cache" if buffered else "block-device" if is_block else "direct-file"
    label = f"{os.path.basename(path)}, {'page cache' if buffered else 'O_DIRECT'}"
    return Target(os.path.basename(path), label, kind, os.path.realpath(path), not buffered, size,
                  device, scratch=False, written=writes)


def check_block_size(target: Target, block_size: int) -> None:
    """Refuse a block size that the target cannot do."""
    unit = target.device.logical_block_size() if target.direct and target.device else 1
    if block_size % unit:
        raise refuse(f"--bs {block_size}: {target.name} works in blocks of {unit} bytes",
                     f"Use a multiple: --bs {unit}")
    if block_size > target.size:
        raise refuse(f"--bs {block_size} is larger than {target.name} ({target.size} bytes)")


def size_of(path: str) -> int:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.seek(0, os.SEEK_END)
    except OSError as error:
        raise refuse(f"{path}: {error.strerror}",
                     "Run as a user who may read it, for a device usually root.") from error


def _check_use(path: str, writes: bool, destructive: bool, warn: Callable[[str], None]) -> None:
    users = inuse.users(path)
    if writes and not destructive:
        raise refuse(f"this workload overwrites {path}",
                     "Add --destructive if everything in it may be lost.")
    if writes and users:
        raise refuse(f"{path} is in use and will not be written to: {'; '.join(users)}",
                     "Unmount or stop what uses it, or name another target.")
    if users:
        warn(f"{path} is in use ({'; '.join(users)}): its other users disturb the figures")

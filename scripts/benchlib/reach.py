# SPDX-License-Identifier: MIT OR Apache-2.0
"""How fio gets at a target: what must be there meanwhile, and which of its options say where.

A Way is entered around one fio process. Most only name the target; others start a server
(storage_daemon.py), take another device node (nvme.py) or take the device from the kernel (vfio.py).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Callable, ContextManager, Iterator

from .targets import Target


@dataclass(frozen=True)
class Rehearsal:
    """The same by hand, for --dry-run: shell lines before and after fio, and fio's options."""

    options: list[str]
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


def none(_target: Target) -> str:
    """Nothing stands in the way."""
    return ""


def always(_target: Target) -> bool:
    return True


@dataclass(frozen=True)
class Way:
    reach: Callable[[Target], ContextManager[list[str]]]  # fio options that name the target
    rehearse: Callable[[Target], Rehearsal]
    obstacle: Callable[[Target], str] = none  # why it cannot be gone to a target, or ""
    usual: Callable[[Target], bool] = always  # is it gone there without being asked for?


def naming(options: Callable[[Target], list[str]], obstacle: Callable[[Target], str] = none,
           usual: Callable[[Target], bool] = always) -> Way:
    """The way that takes no more than fio options."""
    @contextmanager
    def reach(target: Target) -> Iterator[list[str]]:
        yield options(target)

    return Way(reach, lambda target: Rehearsal(options(target)), obstacle, usual)


def filename(path: str) -> list[str]:
    """The target's name for fio's own engines."""
    return ["--filename=" + path.replace(":", "\\:")]  # fio separates files by colons


def blkio_path(path: str) -> list[str]:
    """The target's name for libblkio's."""
    return ["--libblkio_path=" + path]


FILENAME = naming(lambda target: filename(target.path))
BLKIO_PATH = naming(lambda target: blkio_path(target.path))


def needs_polling_device(target: Target) -> str:
    """Why I/O on the target cannot be polled by the kernel's driver, from its sysfs queue."""
    if not target.direct:
        return "polling needs O_DIRECT"
    if target.device is None:
        return "no block device under it, so nothing to poll"
    if not target.device.polls():
        return (f"{target.device.name} has no poll queues (queue/io_poll is "
                f"{target.device.setting('io_poll') or 'absent'}; for NVMe boot with "
                "nvme.poll_queues=1)")
    return ""

# SPDX-License-Identifier: MIT OR Apache-2.0
"""How fio reaches a target: what must be set up meanwhile, and which fio options name the target.

A Transport is entered around one fio process. Most only name the target. Others start a server
(storage_daemon.py), use another device node (nvme.py) or unbind the device from the kernel
(vfio.py).
"""

from __future__ import annotations

import functools
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Callable, ContextManager, Iterator

from .targets import Target


@dataclass(frozen=True)
class DryRun:
    """What --dry-run prints: shell commands before and after fio, and fio's options."""

    options: list[str]
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


def none(_target: Target) -> str:
    """No obstacle."""
    return ""


def always(_target: Target) -> bool:
    return True


def never(_target: Target) -> bool:
    """Only for who asks for it."""
    return False


@dataclass(frozen=True)
class Transport:
    reach: Callable[[Target], ContextManager[list[str]]]  # fio options that name the target
    dry_run: Callable[[Target], DryRun]
    obstacle: Callable[[Target], str] = none  # why a target cannot be reached, or ""
    usual: Callable[[Target], bool] = always  # is it used there by default?


def naming(options: Callable[[Target], list[str]], obstacle: Callable[[Target], str] = none,
           usual: Callable[[Target], bool] = always) -> Transport:
    """A transport that consists of fio options only."""
    @contextmanager
    def reach(target: Target) -> Iterator[list[str]]:
        yield options(target)

    return Transport(reach, lambda target: DryRun(options(target)), obstacle, usual)


@functools.cache
def _engines_of_fio() -> frozenset[str]:
    try:
        done = subprocess.run(["fio", "--enghelp"], capture_output=True, text=True)
    except OSError:
        return frozenset()
    return frozenset(done.stdout.split())


def needs_engine(engine: str, library: str, way: Transport) -> Transport:
    """fio has such an engine only where the library was there when it was built."""
    def obstacle(target: Target) -> str:
        known = _engines_of_fio()  # none: the set-up is still to come
        lacking = f"this fio was built without {library}" if known and engine not in known else ""
        return way.obstacle(target) or lacking

    return replace(way, obstacle=obstacle)


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

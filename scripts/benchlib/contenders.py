# SPDX-License-Identifier: MIT OR Apache-2.0
"""Who does the I/O: fio's own engines, and libblkio's through its drivers and wait modes.

To add a libblkio driver, add one entry to DRIVERS, with its way to a target (reach.py). Its wait
modes come by themselves, named PREFIX + mode.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Callable

from . import nvme, storage_daemon, vfio
from .errors import refuse
from .reach import BLKIO_PATH, FILENAME, Rehearsal, Way, needs_polling_device, none
from .targets import Target

BASELINE = "native"


@dataclass(frozen=True)
class Contender:
    name: str
    label: str
    options: list[str]  # fio's, the engine first: it must come before its own options
    way: Way
    poll_obstacle: Callable[[Target], str] = none
    default: bool = True
    named: bool = False  # by the user

    def reach(self, target: Target) -> AbstractContextManager[list[str]]:
        """Entered around fio; gives the options that name the target."""
        return self.way.reach(target)

    def rehearse(self, target: Target) -> Rehearsal:
        return self.way.rehearse(target)

    def obstacle(self, target: Target) -> str:
        """Why it cannot run on a target, or ""."""
        return self.way.obstacle(target) or self.poll_obstacle(target)

    def wanted(self, target: Target) -> bool:
        """Does it belong on the target at all? Where it was not asked for, only where usual."""
        return self.named or self.way.usual(target)


@dataclass(frozen=True)
class Driver:
    name: str
    prefix: str  # of the mode names
    label: str
    way: Way
    poll_obstacle: Callable[[Target], str] = none
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class WaitMode:
    name: str
    label: str
    options: tuple[str, ...]
    polls: bool = False
    default: bool = True


_SHARED = ("--thread=1",)  # what can be opened but once, fio's jobs share as threads

DRIVERS = (
    Driver("io_uring", "", "libblkio", BLKIO_PATH, needs_polling_device),
    Driver("nvme-io_uring", "nvme-", "nvme-io_uring", nvme.BLKIO_PATH, needs_polling_device),
    Driver("virtio-blk-vhost-user", "vhost-", "vhost-user", storage_daemon.WAY, none, _SHARED),
    Driver("virtio-blk-vfio-pci", "vfio-", "vfio-pci", vfio.WAY, none, _SHARED),
)

WAIT_MODES = (
    WaitMode("block", "blocking", ("--libblkio_wait_mode=block",)),
    WaitMode("eventfd", "eventfd", ("--libblkio_wait_mode=eventfd",)),
    WaitMode("loop", "busy loop", ("--libblkio_wait_mode=loop",)),
    WaitMode("poll", "driver polling", ("--hipri=1",), polls=True),
    WaitMode("temporary", "mapped per I/O",
             ("--libblkio_wait_mode=block", "--libblkio_mapping=temporary"), default=False),
)

_COMMANDS = ["--ioengine=io_uring_cmd", "--cmd_type=nvme"]

NATIVE = (
    Contender(BASELINE, "fio's io_uring", ["--ioengine=io_uring"], FILENAME),
    Contender("native-poll", "fio's io_uring, polling", ["--ioengine=io_uring", "--hipri=1"],
              FILENAME, needs_polling_device),
    Contender("native-fixed", "fio's io_uring, fixed buffers and files",
              ["--ioengine=io_uring", "--fixedbufs=1", "--registerfiles=1"], FILENAME,
              default=False),
    Contender("native-cmd", "fio's io_uring_cmd", _COMMANDS, nvme.FILENAME),
    Contender("native-cmd-poll", "fio's io_uring_cmd, polling", [*_COMMANDS, "--hipri=1"],
              nvme.FILENAME, needs_polling_device),
)


def _libblkio(engine: str, driver: Driver, mode: WaitMode) -> Contender:
    options = [f"--ioengine=external:{engine}", f"--libblkio_driver={driver.name}", *driver.options,
               *mode.options]
    return Contender(driver.prefix + mode.name, f"{driver.label}, {mode.label}", options,
                     driver.way, driver.poll_obstacle if mode.polls else none, mode.default)


def all_contenders(engine: str) -> dict[str, Contender]:
    """Every contender by name; `engine` is the path of libblkio.so."""
    blkio = [_libblkio(engine, driver, mode) for driver in DRIVERS for mode in WAIT_MODES]
    return {contender.name: contender for contender in [*NATIVE, *blkio]}


def choose(names: list[str], engine: str, baseline: str = BASELINE) -> list[Contender]:
    """The contenders named, or all default ones for an empty list; and always the baseline."""
    known = all_contenders(engine)
    if baseline not in known:
        raise refuse(f"--baseline: no mode {baseline}", f"Choose from {', '.join(known)}.")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise refuse(f"--modes: no mode {', '.join(unknown)}",
                     f"Choose from {', '.join(known)}.")
    if not names:
        return [contender for name, contender in known.items()
                if contender.default or name == baseline]
    return [replace(contender, named=True) for name, contender in known.items()
            if name in {baseline, *names}]

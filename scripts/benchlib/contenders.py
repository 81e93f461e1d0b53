# SPDX-License-Identifier: MIT OR Apache-2.0
"""Who does the I/O: fio's own engine, and libblkio's through its drivers and wait modes.

To add a libblkio driver, add one entry to DRIVERS: how to reach a target through it (which may
start a server and stop it again: `reach` is a context manager) and what stands in its way. Its
wait modes come by themselves, named PREFIX + mode.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable, ContextManager, Iterator

from .errors import refuse
from .targets import Target

BASELINE = "native"


@dataclass(frozen=True)
class Contender:
    name: str
    label: str
    options: list[str]  # fio's, the engine first: it must come before its own options
    reach: Callable[[Target], ContextManager[list[str]]]  # fio options that name the target
    obstacle: Callable[[Target], str]  # why it cannot run on a target, or ""
    default: bool = True


@dataclass(frozen=True)
class Driver:
    name: str
    prefix: str  # of the mode names
    label: str
    reach: Callable[[Target], ContextManager[list[str]]]
    obstacle: Callable[[Target], str]
    poll_obstacle: Callable[[Target], str]


@dataclass(frozen=True)
class WaitMode:
    name: str
    label: str
    options: tuple[str, ...]
    polls: bool = False


def none(_target: Target) -> str:
    """Nothing stands in the way."""
    return ""


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


@contextmanager
def _as_filename(target: Target) -> Iterator[list[str]]:
    yield ["--filename=" + target.path.replace(":", "\\:")]  # fio separates files by colons


@contextmanager
def _as_blkio_path(target: Target) -> Iterator[list[str]]:
    yield ["--libblkio_path=" + target.path]


DRIVERS = (
    Driver("io_uring", "", "libblkio", _as_blkio_path, none, needs_polling_device),
)

WAIT_MODES = (
    WaitMode("block", "blocking", ("--libblkio_wait_mode=block",)),
    WaitMode("eventfd", "eventfd", ("--libblkio_wait_mode=eventfd",)),
    WaitMode("loop", "busy loop", ("--libblkio_wait_mode=loop",)),
    WaitMode("poll", "driver polling", ("--hipri=1",), polls=True),
)


def _native(name: str, label: str, *options: str, default: bool = True,
            obstacle: Callable[[Target], str] = none) -> Contender:
    return Contender(name, label, ["--ioengine=io_uring", *options], _as_filename, obstacle,
                     default)


def _libblkio(engine: str, driver: Driver, mode: WaitMode) -> Contender:
    def obstacle(target: Target) -> str:
        reason = driver.obstacle(target)
        return reason or (driver.poll_obstacle(target) if mode.polls else "")

    options = [f"--ioengine=external:{engine}", f"--libblkio_driver={driver.name}", *mode.options]
    return Contender(driver.prefix + mode.name, f"{driver.label}, {mode.label}", options,
                     driver.reach, obstacle)


def all_contenders(engine: str) -> dict[str, Contender]:
    """Every contender by name; `engine` is the path of libblkio.so."""
    native = [
        _native(BASELINE, "fio's io_uring"),
        _native("native-poll", "fio's io_uring, polling", "--hipri=1",
                obstacle=needs_polling_device),
        _native("native-fixed", "fio's io_uring, fixed buffers and files", "--fixedbufs=1",
                "--registerfiles=1", default=False),
    ]
    blkio = [_libblkio(engine, driver, mode) for driver in DRIVERS for mode in WAIT_MODES]
    return {contender.name: contender for contender in native + blkio}


def choose(names: list[str], engine: str) -> list[Contender]:
    """The contenders named, or all default ones for an empty list; the baseline always first."""
    known = all_contenders(engine)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise refuse(f"--modes: no mode {', '.join(unknown)}",
                     f"Choose from {', '.join(known)}.")
    wanted = set(names) or {name for name, contender in known.items() if contender.default}
    return [contender for name, contender in known.items() if name in wanted | {BASELINE}]

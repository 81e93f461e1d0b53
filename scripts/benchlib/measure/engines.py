# SPDX-License-Identifier: MIT OR Apache-2.0
"""Who does the I/O: fio's own engines, and libblkio's through its drivers and wait modes.

To add a libblkio driver, add one entry to DRIVERS, with its transport (transport.py). It gets all
wait modes, named PREFIX + mode.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Callable

from ..errors import refuse
from ..result.contents import NATIVE
from . import iscsi, nbd, nvme, nvme_tcp, older, storage_daemon, vfio
from .targets import Target
from .transport import BLKIO_PATH, FILENAME, DryRun, Transport, needs_polling_device, none


@dataclass(frozen=True)
class Engine:
    name: str
    label: str
    options: list[str]  # fio's, the engine first: it must come before its own options
    transport: Transport
    poll_obstacle: Callable[[Target], str] = none
    default: bool = True
    named: bool = False  # by the user
    reference: str = NATIVE  # what it is compared with unless the user says: the same, another way
    program: str = ""  # the fio that has it, when no other does

    def reach(self, target: Target) -> AbstractContextManager[list[str]]:
        """Entered around fio; gives the options that name the target."""
        return self.transport.reach(target)

    def dry_run(self, target: Target) -> DryRun:
        return self.transport.dry_run(target)

    def obstacle(self, target: Target) -> str:
        """Why it cannot run on a target, or ""."""
        return self.transport.obstacle(target) or self.poll_obstacle(target)

    def wanted(self, target: Target) -> bool:
        """Is it measured on the target? Unless the user named it, only where it is usual."""
        return self.named or self.transport.usual(target)


@dataclass(frozen=True)
class Driver:
    name: str
    prefix: str  # of the mode names
    label: str
    transport: Transport
    poll_obstacle: Callable[[Target], str] = none
    options: tuple[str, ...] = ()
    default: bool = True
    reference: str = NATIVE


@dataclass(frozen=True)
class WaitMode:
    name: str
    label: str
    options: tuple[str, ...]
    polls: bool = False
    default: bool = True


def _never_polls(_target: Target) -> str:
    return "the driver has no poll queues"


NATIVE_NBD, NATIVE_NBDKIT = "native-nbd", "native-nbdkit"
_SHARED = ("--thread=1",)  # what can be opened but once, fio's jobs share as threads

DRIVERS = (
    Driver("io_uring", "", "libblkio", BLKIO_PATH, needs_polling_device),
    Driver("posix", "posix-", "posix", BLKIO_PATH, _never_polls, default=False),
    Driver("nvme-io_uring", "nvme-", "nvme-io_uring", nvme.BLKIO_PATH, needs_polling_device),
    # a server is compared with the same server, not with who needs none
    Driver("virtio-blk-vhost-user", "vhost-", "vhost-user", storage_daemon.TRANSPORT, none,
           _SHARED, reference=NATIVE_NBD),
    Driver("nbd", "nbd-", "nbd", nbd.BLKIO, reference=NATIVE_NBD),
    Driver("nbd", "nbdkit-", "nbd, nbdkit", nbd.NBDKIT_BLKIO, reference=NATIVE_NBDKIT),
    Driver("iscsi", "iscsi-", "iscsi", iscsi.BLKIO, default=False, reference=NATIVE_NBD),
    Driver("virtio-blk-vfio-pci", "vfio-", "vfio-pci", vfio.TRANSPORT, none, _SHARED),
    Driver("nvme-tcp", "tcp-", "nvme-tcp", nvme_tcp.TRANSPORT),
    Driver("nvme-vfio-pci", "pci-", "nvme-vfio-pci", vfio.NVME, none, _SHARED),
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

FIO_ENGINES = (
    Engine(NATIVE, "fio's io_uring", ["--ioengine=io_uring"], FILENAME),
    Engine("native-poll", "fio's io_uring, polling", ["--ioengine=io_uring", "--hipri=1"],
           FILENAME, needs_polling_device),
    Engine("native-fixed", "fio's io_uring, fixed buffers and files",
           ["--ioengine=io_uring", "--fixedbufs=1", "--registerfiles=1"], FILENAME,
           default=False),
    Engine("native-cmd", "fio's io_uring_cmd", _COMMANDS, nvme.FILENAME),
    Engine("native-cmd-poll", "fio's io_uring_cmd, polling", [*_COMMANDS, "--hipri=1"],
           nvme.FILENAME, needs_polling_device),
    Engine(NATIVE_NBD, "fio's nbd", ["--ioengine=nbd"], nbd.NATIVE, reference=""),
    Engine(NATIVE_NBDKIT, "fio's nbd, nbdkit", ["--ioengine=nbd"], nbd.NBDKIT_NATIVE, reference=""),
    Engine("native-vhost", "libblkio 1.5, vhost-user",
           ["--ioengine=libblkio", "--libblkio_driver=virtio-blk-vhost-user", *_SHARED],
           older.VHOST_USER, reference=NATIVE_NBD, program=older.FIO),
    Engine("native-iscsi", "fio's libiscsi", ["--ioengine=libiscsi"], iscsi.NATIVE, default=False,
           reference=""),
    # what driver posix is measured against
    Engine("psync", "fio's psync", ["--ioengine=psync"], FILENAME, default=False),
    Engine("libaio", "fio's libaio", ["--ioengine=libaio"], FILENAME, default=False),
    Engine("posixaio", "fio's posixaio", ["--ioengine=posixaio"], FILENAME, default=False),
)


def _libblkio(library: str, driver: Driver, mode: WaitMode) -> Engine:
    options = [f"--ioengine=external:{library}", f"--libblkio_driver={driver.name}",
               *driver.options, *mode.options]
    return Engine(driver.prefix + mode.name, f"{driver.label}, {mode.label}", options,
                  driver.transport, driver.poll_obstacle if mode.polls else none,
                  driver.default and mode.default, reference=driver.reference)


def all_engines(library: str) -> dict[str, Engine]:
    """Every engine by name; `library` is the path of libblkio.so."""
    blkio = [_libblkio(library, driver, mode) for driver in DRIVERS for mode in WAIT_MODES]
    return {engine.name: engine for engine in [*FIO_ENGINES, *blkio]}


def choose(names: list[str], library: str, baseline: str = "") -> list[Engine]:
    """The engines named, or all default ones for an empty list; and always what they are compared
    with: the baseline, or the reference of each."""
    known = all_engines(library)
    if baseline and baseline not in known:
        raise refuse(f"--baseline: no mode {baseline}", f"Choose from {', '.join(known)}.")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise refuse(f"--modes: no mode {', '.join(unknown)}",
                     f"Choose from {', '.join(known)}.")
    if not names:
        return [engine for name, engine in known.items()
                if engine.default or name == baseline]
    wanted = {*names, *([baseline] if baseline else [known[name].reference for name in names])}
    return [replace(engine, named=True) for name, engine in known.items() if name in wanted]

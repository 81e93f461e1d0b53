# SPDX-License-Identifier: MIT OR Apache-2.0
"""A qemu-storage-daemon serves the target as a vhost-user-blk device.

Each fio process has a server of its own. The server runs on the CPUs that fio's job does not use,
and does its I/O by io_uring, where that is permitted. It is compared with the same server reached another way: over NBD, by
fio's own engine (nbd.py). Who opens the file itself needs no server and is no measure for one.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

from ..errors import BenchError
from ..machine import sockets
from ..machine.blockdev import mount_of
from . import rings
from .targets import Target
from .transport import DryRun, Transport, blkio_path, none

PROGRAM = "qemu-storage-daemon"
READY_SECONDS = 20
END_SECONDS = 5
UNIX_SOCKETS = Path("/proc/net/unix")
LISTENING = "00010000"  # among its flags: __SO_ACCEPTCON
QUEUES = 8  # at most one fio job each


def may_write(target: Target) -> bool:
    return target.scratch or target.written


def disk(target: Target) -> list[str]:
    """The beginning of a server's command line: the target as node "disk". tmpfs takes any alignment,
    from which QEMU concludes that O_DIRECT needs 4 KiB: reads of 512 bytes would become larger, and
    NBD would refuse them. There is no cache to go past, so it does without."""
    mount = mount_of(target.path)
    direct = target.direct and not (mount and mount.fstype == "tmpfs")
    file = {"driver": "host_device" if target.kind == "block-device" else "file",
            "node-name": "disk", "filename": target.path.replace(",", ",,"),
            "aio": "io_uring" if rings.permitted() else "threads",
            "cache.direct": switch(direct), "read-only": switch(not may_write(target)),
            "discard": "unmap"}
    return [PROGRAM, "--blockdev", joined(file)]


def command(target: Target, socket: str) -> list[str]:
    """The server of a target; it can write only where the workload may."""
    export = {"type": "vhost-user-blk", "id": "export", "node-name": "disk", "iothread": "thread",
              "num-queues": str(QUEUES), "writable": switch(may_write(target)),
              "addr.type": "unix", "addr.path": socket}
    return [*disk(target), "--object", "iothread,id=thread", "--export", joined(export)]


def switch(on: bool) -> str:
    return "on" if on else "off"


def joined(values: dict[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in values.items())


@contextmanager
def running(argv: list[str], socket: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server that listens on `socket` while this is entered, and writes to `log`."""
    try:
        with open(log, "wb") as output:
            server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                      start_new_session=True)  # Ctrl-C is for us alone
    except OSError as error:
        raise BenchError(f"cannot run {argv[0]}: {error.strerror}", "Run scripts/setup.") from error
    try:
        _wait(server, argv[0], socket, log)
        yield server
    finally:
        _end(server)


def _wait(server: subprocess.Popen[bytes], name: str, socket: Path, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not _listens(socket):
        if server.poll() is not None:
            words = " ".join(log.read_text(errors="replace").split())[-400:]
            raise BenchError(f"{name} ended at once: {words or server.returncode}")
        if time.monotonic() > deadline:
            raise BenchError(f"{name} made no socket within {READY_SECONDS} s")
        time.sleep(0.005)


def _listens(socket: Path) -> bool:
    """Not only is there a socket: until it listens, connecting is refused. We do not try, the server
    takes one client at a time."""
    entries = (line.split() for line in UNIX_SOCKETS.read_text().splitlines())
    return any(entry[-1] == str(socket) and entry[3] == LISTENING for entry in entries)


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def obstacle(program: str = PROGRAM) -> str:
    return "" if shutil.which(program) else f"there is no {program}: run scripts/setup"


def usual(target: Target) -> bool:
    """Where no device's own noise hides what the way costs."""
    return target.direct and target.device is None


def transport(server: Callable[[Target, str], list[str]], options: Callable[[str], list[str]],
              usual: Callable[[Target], bool],
              unfit: Callable[[Target], str] = none) -> Transport:
    """By a server, whose command line `server` gives for a target and a socket; `options` are fio's
    that name the socket; `unfit` says why it cannot serve a target."""
    @contextmanager
    def reach(target: Target) -> Iterator[list[str]]:
        with sockets.folder("bench-") as folder:
            socket, log = Path(folder, "socket"), Path(folder, "log")
            with running(server(target, str(socket)), socket, log):
                yield options(str(socket))

    def dry_run(target: Target) -> DryRun:
        start = shlex.join(server(target, "SOCKET")) + " & server=$!; sleep 1"
        return DryRun(options("SOCKET"), [start], ["kill $server"])

    return Transport(reach, dry_run,
                     lambda target: obstacle(server(target, "SOCKET")[0]) or unfit(target), usual)


TRANSPORT = transport(command, blkio_path, usual)

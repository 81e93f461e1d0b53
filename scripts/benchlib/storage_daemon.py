# SPDX-License-Identifier: MIT OR Apache-2.0
"""The way through a storage daemon: qemu-storage-daemon serves the target as a vhost-user-blk device.

One server for each fio process. It inherits our CPUs, which fio's job stays off. It does its own I/O
as well as it can, by io_uring in a thread of its own, so what is compared with fio's io_uring on the
same file is the hand-over to the server. It lives no longer than it is needed.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from .errors import BenchError
from .reach import Rehearsal, Way, blkio_path
from .targets import Target

PROGRAM = "qemu-storage-daemon"
READY_SECONDS = 20
END_SECONDS = 5
UNIX_SOCKETS = Path("/proc/net/unix")
LISTENING = "00010000"  # among its flags: __SO_ACCEPTCON
QUEUES = 8  # at most one fio job each


def command(target: Target, socket: str) -> list[str]:
    """The server of a target; it can write only where the workload may."""
    writes = target.scratch or target.written
    file = {"driver": "host_device" if target.kind == "block-device" else "file",
            "node-name": "disk", "filename": target.path.replace(",", ",,"), "aio": "io_uring",
            "cache.direct": _switch(target.direct), "read-only": _switch(not writes),
            "discard": "unmap"}
    export = {"type": "vhost-user-blk", "id": "export", "node-name": "disk", "iothread": "thread",
              "num-queues": str(QUEUES), "writable": _switch(writes), "addr.type": "unix", "addr.path": socket}
    return [PROGRAM, "--object", "iothread,id=thread", "--blockdev", _words(file),
            "--export", _words(export)]


def _switch(on: bool) -> str:
    return "on" if on else "off"


def _words(values: dict[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in values.items())


@contextmanager
def _serve(target: Target) -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        socket, log = Path(folder, "socket"), Path(folder, "log")
        with running(command(target, str(socket)), socket, log):
            yield blkio_path(str(socket))


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


def _rehearse(target: Target) -> Rehearsal:
    server = command(target, "SOCKET")
    return Rehearsal(blkio_path("SOCKET"), [shlex.join(server) + " & server=$!; sleep 1"],
                     ["kill $server"])


def _obstacle(_target: Target) -> str:
    return "" if shutil.which(PROGRAM) else f"there is no {PROGRAM}: run scripts/setup"


def _usual(target: Target) -> bool:
    """Where no device's own noise hides what the way costs."""
    return target.direct and target.device is None


WAY = Way(_serve, _rehearse, _obstacle, _usual)

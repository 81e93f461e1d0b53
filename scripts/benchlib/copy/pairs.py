# SPDX-License-Identifier: MIT OR Apache-2.0
"""What is copied and where to. Everything is made for the run, and removed after it."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator

from ..errors import BenchError
from ..machine import sockets
from ..measure import nbd, storage_daemon, targets
from ..result.model import Skip

CHUNK = 1 << 20
LOSETUP = "losetup"
SPARSE = 8  # one chunk in so many has data


@dataclass(frozen=True)
class Ends:
    """One pair, ready to be copied. What a program is told depends on what it knows."""

    source: str  # the file with the data, which a server may serve
    destination: str
    is_device: bool = False  # the destination; else it is a file to be made
    served: str = ""  # the socket of the server's NBD export; "": the file itself is the source
    device: str = ""  # the socket of its vhost-user device
    sessions: tuple[int, ...] = ()  # of the servers

    def prepare(self) -> None:
        """As it is to be before each run."""
        if not self.is_device:
            Path(self.destination).unlink(missing_ok=True)


def fill(path: Path, content: str, size: int) -> None:
    """A source: on stable storage, and in the page cache."""
    try:
        with open(path, "wb", buffering=0) as file:
            file.truncate(size)
            for number in range(size // CHUNK):
                if content == "zeroes":
                    file.write(bytes(CHUNK))
                elif content == "dense" or number % SPARSE == 0:
                    file.seek(number * CHUNK)
                    file.write(os.urandom(CHUNK))
            os.fsync(file.fileno())
    except OSError as error:
        raise BenchError(f"cannot write {path}: {error.strerror}",
                         "Make room, or use a smaller --size.") from error


# ---- Kinds of pairs --------------------------------------------------------------------------


def _files(source: Path, _stack: ExitStack, _size: int) -> Ends:
    return Ends(str(source), str(_destination(source)))


def _loop(source: Path, stack: ExitStack, size: int) -> Ends:
    backing = _destination(source)
    stack.callback(backing.unlink, missing_ok=True)
    with open(backing, "wb") as file:
        file.truncate(size)
    device = _losetup("--find", "--show", str(backing))
    stack.callback(_losetup, "--detach", device)
    return Ends(str(source), device, is_device=True)


def _losetup(*words: str) -> str:
    done = subprocess.run([LOSETUP, *words], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True)
    if done.returncode:
        raise BenchError(f"losetup {' '.join(words)} failed: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


def _nbd(source: Path, stack: ExitStack, size: int) -> Ends:
    socket, session = _server(nbd.command, source, stack, size)
    return Ends(str(source), str(_destination(source)), served=socket, sessions=(session,))


def _vhost_user(source: Path, stack: ExitStack, size: int) -> Ends:
    served = _nbd(source, stack, size)
    socket, session = _server(storage_daemon.command, source, stack, size)
    return Ends(str(source), served.destination, served=served.served, device=socket,
                sessions=(*served.sessions, session))


def _server(command: Callable[[targets.Target, str], list[str]], source: Path, stack: ExitStack,
            size: int) -> tuple[str, int]:
    """A server of the source: its socket and its session."""
    folder = Path(stack.enter_context(sockets.folder("bench-")))
    target = targets.Target(source.name, source.name, "direct-file", str(source), False, size, None,
                            scratch=False)
    socket = folder / "socket"
    server = stack.enter_context(storage_daemon.running(command(target, str(socket)), socket,
                                                        folder / "log"))
    return str(socket), server.pid


def _destination(source: Path) -> Path:
    return source.with_name(f"{source.name}-copy")


@dataclass(frozen=True)
class Pair:
    label: str
    place: str  # of targets.SCRATCH: the folder that the files are in
    make: Callable[[Path, ExitStack, int], Ends]
    obstacle: Callable[[], str] = lambda: ""


def _no_loop() -> str:
    if os.geteuid():
        return "loop devices take root"
    if not shutil.which(LOSETUP):
        return f"there is no {LOSETUP}: run scripts/setup"
    done = subprocess.run([LOSETUP, "--find"], stdin=subprocess.DEVNULL, capture_output=True)
    return "no loop device can be had" if done.returncode else ""


PAIRS: dict[str, Pair] = {
    "tmpfs": Pair("file to file, tmpfs", "tmpfs", _files),
    "disk": Pair("file to file, disk", "page-cache", _files),
    "loop": Pair("file to loop device", "tmpfs", _loop, _no_loop),
    "nbd": Pair("NBD server to file", "tmpfs", _nbd, storage_daemon.obstacle),
    "vhost-user": Pair("vhost-user to file", "tmpfs", _vhost_user, storage_daemon.obstacle),
}


def obstacle(name: str, build: Path, size: int) -> str:
    """Why a pair cannot be copied here; ""."""
    pair = PAIRS[name]
    place = targets.plan_scratch(pair.place, build, 2 * size)
    return place.reason if isinstance(place, Skip) else pair.obstacle()


@contextmanager
def made(name: str, content: str, build: Path, size: int) -> Iterator[Ends]:
    """A pair with a source of that content; without obstacle()."""
    pair = PAIRS[name]
    place = targets.plan_scratch(pair.place, build, 2 * size)
    if isinstance(place, Skip):
        raise BenchError(f"{name}: {place.reason}")
    with ExitStack() as stack:
        source = Path(f"{place.path}-{content}")
        stack.callback(source.unlink, missing_ok=True)
        stack.callback(_destination(source).unlink, missing_ok=True)
        fill(source, content, size)
        yield pair.make(source, stack, size)

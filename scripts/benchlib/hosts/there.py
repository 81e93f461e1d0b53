# SPDX-License-Identifier: MIT OR Apache-2.0
"""A host on which a device is qualified: its agent (agent.py) says what is there, and fio's server does
the I/O. There is what a session has in place of this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import select
import shlex
import subprocess
import threading
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Iterator, Sequence, TypeVar

import setuplib

from ..errors import BenchError
from ..measure import fio
from ..measure.engines import all_engines
from ..measure.targets import Target
from ..measure.transport import FILENAME
from ..qualify.model import Device, Health, Qualification
from ..qualify.place import Meter
from ..qualify.request import Request
from ..result import codec
from ..result.model import Environment
from . import job
from .agent import Seen
from .remote import CONNECT, end

PATIENCE = 120  # seconds for an answer: smartctl may have to wake the disk
START = """
import os, sys
if sys.version_info < (3, 10):
    sys.exit("python3 is %d.%d; 3.10 or later is needed" % sys.version_info[:2])
code = os.memfd_create("benchlib")
with os.fdopen(os.dup(code), "wb") as file:
    file.write(sys.stdin.buffer.read(SIZE))
sys.path.insert(0, "/proc/self/fd/%d" % code)
from benchlib.hosts.agent import serve
serve(sys.stdin, sys.stdout)
"""
NOT_SENT = ("limits", "resume", "ssh", "hosts", "output")  # options that mean nothing there
T = TypeVar("T")


class Connection:
    """To the agent of a host, one request at a time, from any thread."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._lock = threading.Lock()

    def ask(self, *request: Any) -> Any:
        with self._lock:
            line = self._answer(request)
        if not line:
            raise BenchError(self._why())
        answer = json.loads(line)
        if "error" in answer:
            raise BenchError(answer["error"], answer["remedy"])
        return answer["value"]

    def _answer(self, request: Any) -> bytes:
        """A line, or nothing."""
        process = self._process
        assert process.stdin and process.stdout
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
            return process.stdout.readline() if ready else b""
        except OSError:
            return b""

    def get(self, kind: type[T], *request: Any) -> T:
        return codec.decode(kind, self.ask(*request))

    def _why(self) -> str:
        """What ssh or python3 said before there was no answer."""
        assert self._process.stderr
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            return f"no answer within {PATIENCE} s"
        words = " ".join(self._process.stderr.read().decode(errors="replace").split())[-300:]
        return words or "the connection is lost"


@contextlib.contextmanager
def connect(ssh: Sequence[str], host: str) -> Iterator[Connection]:
    code = _code()
    start = ["python3", "-c", START.replace("SIZE", str(len(code)))]
    process = subprocess.Popen(
        [*ssh, *CONNECT, host, shlex.join(start)], bufsize=0,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True)
    try:
        assert process.stdin
        with contextlib.suppress(OSError):  # the first request says what is wrong
            view = memoryview(code)
            while view:
                view = view[process.stdin.write(view) or 0:]
        yield Connection(process)
    finally:
        end(process)


def _code() -> bytes:
    """benchlib and setuplib as an archive that Python imports from."""
    folder, made = setuplib.SETUP.parent, io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("benchlib", "setuplib"):
            for file in sorted((folder / name).rglob("*.py")):
                archive.write(file, file.relative_to(folder))
    return made.getvalue()


class _Load:
    def __init__(self, connection: Connection, session: int) -> None:
        self._connection = connection
        connection.ask("watch", session)

    def share(self) -> float:
        return float(self._connection.ask("load"))


@dataclass
class There:
    """The place of a session on another machine."""

    connection: Connection
    socket: Path  # of fio's server
    session: int  # of fio's server, on the host
    file: Path  # for jobs
    stop: threading.Event = field(default_factory=threading.Event)
    keeps_logs = False  # fio's client leaves them behind with names of its own

    def answer(self, argv: list[str], seconds: float) -> tuple[dict[str, Any], str]:
        if self.stop.is_set():
            raise KeyboardInterrupt
        self.file.write_text(job.text(argv[1:]))
        try:
            return fio.answer(["fio", *fio.OUTPUT_OPTIONS, f"--client=sock:{self.socket}",
                               str(self.file)], seconds)
        except BenchError:
            if self.stop.is_set():
                raise KeyboardInterrupt from None
            raise

    def meter(self) -> Meter:
        return _Load(self.connection, self.session)

    def temperature(self, _device: Device) -> float | None:
        found = self.connection.ask("temperature")
        return None if found is None else float(found)

    def health(self, device: Device) -> Health:
        try:
            return self.connection.get(Health, "health")
        except BenchError as error:
            return Health("", "none", f"{device.path}: {error.message}")

    def gone(self, _device: Device) -> str:
        try:
            return str(self.connection.ask("gone"))
        except BenchError as error:
            return error.message

    def environment(self) -> Environment:
        return self.connection.get(Environment, "environment")


def sent(options: argparse.Namespace) -> dict[str, Any]:
    """The options as the agent gets them."""
    return {**vars(options), **dict.fromkeys(NOT_SENT)}


def rebuilt(seen: Seen, library: str, earlier: Qualification | None) -> Request:
    """The request that a host was asked for, as a session takes it."""
    known = {name: job.as_loaded(engine, library) for name, engine in all_engines(library).items()}
    target = Target(
        name=seen.device.name, label=seen.device.name, kind="block-device", path=seen.device.path,
        direct=True, size=seen.plan.extent, device=None, scratch=seen.device.created,
        written=not seen.plan.read_only)
    engines = [replace(known[way.name], transport=known[way.name].transport if not way.obstacle
                       else FILENAME, poll_obstacle=lambda _target, why=way.obstacle: why)
               for way in seen.ways]
    return Request(seen.plan, seen.device, target, known[seen.plan.engine], engines, seen.specs,
                   seen.steps, earlier, seen.to_make)

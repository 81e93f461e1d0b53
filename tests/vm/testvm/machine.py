# SPDX-License-Identifier: MIT OR Apache-2.0
"""One boot of the guest: the QEMU process, its channels and its deadlines."""
from __future__ import annotations

import os
import re
import selectors
import signal
import socket
import subprocess
import time
from pathlib import Path

from .config import Config
from .qemu import CHANNELS, command_line


_SECONDS_TO_GO = 10.0


class BootFailed(Exception):
    """The guest did not come as far as the command."""

    def __init__(self, message: str, hung: bool):
        super().__init__(message)
        self.hung = hung


class Deadline(Exception):
    """The command did not finish in time."""


class GuestDied(Exception):
    """The guest went away without reporting an exit status."""


class Machine:
    """Use as a context manager: QEMU is gone when the block is left."""

    def __init__(self, config: Config, accel: str, work: Path):
        self._work = work
        self._local: dict[str, socket.socket] = {}
        remote: dict[str, socket.socket] = {}
        for name in (*CHANNELS, "monitor"):
            self._local[name], remote[name] = socket.socketpair()
        fds = {name: end.fileno() for name, end in remote.items()}
        self._stderr = open(work / "qemu.log", "w+b")
        self._control = b""
        self.started = time.monotonic()
        self.boot_seconds = 0.0
        self._process = subprocess.Popen(
            command_line(config, accel, work, fds), pass_fds=fds.values(), stdin=subprocess.DEVNULL,
            stdout=self._stderr, stderr=self._stderr, start_new_session=True)
        for end in remote.values():
            end.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for end in self._local.values():
            end.close()
        self._stderr.close()

    def boot(self, seconds: float) -> None:
        """Wait until the guest is about to run the command."""
        deadline = self.started + seconds
        message = self._control_line(deadline)
        if message is None:
            raise BootFailed(f"not up after {seconds:g} s", hung=True)
        if message != "ready":
            raise BootFailed(message or "QEMU ended: " + self.qemu_errors(), hung=False)
        self.boot_seconds = time.monotonic() - self.started

    def run(self, deadline: float) -> int:
        """Pass output on until the command ends; its exit status."""
        outputs = {self._local["stdout"]: 1, self._local["stderr"]: 2}
        message = None
        with selectors.DefaultSelector() as selector:
            for source in (*outputs, self._local["control"]):
                selector.register(source, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(_seconds_left(deadline))
                if time.monotonic() >= deadline:
                    break
                for key, _events in ready:
                    source = key.fileobj
                    if source in outputs:
                        if not _copy(source, outputs[source]):
                            selector.unregister(source)
                    else:
                        selector.unregister(source)
                        message = self._control_line(deadline)
                        # All output is under way; a guest that does not go now never will.
                        deadline = min(deadline, time.monotonic() + _SECONDS_TO_GO)
        if message is None:
            raise Deadline
        match = re.fullmatch(r"exit (\d+)", message)
        if not match:
            raise GuestDied
        return int(match[1])

    def tty(self) -> socket.socket:
        return self._local["tty"]

    def registers(self) -> str:
        """Where the guest's processors are, as QEMU's monitor shows it."""
        monitor = self._local["monitor"]
        monitor.settimeout(2)
        text = b""
        try:
            monitor.sendall(b"info registers -a\n")
            while text.count(b"(qemu)") < 2:
                data = monitor.recv(65536)
                if not data:
                    break
                text += data
        except OSError:
            pass
        wanted = re.compile(r"CPU#|[RE](?:AX|SI|IP|SP)|R8|R12|CS|CR0")
        return "\n".join(line for line in text.decode(errors="replace").splitlines()
                         if wanted.match(line))

    def console(self) -> str:
        try:
            return (self._work / "console").read_text(errors="replace")
        except OSError:
            return ""

    def kernel_log(self) -> str:
        """The complete log if the guest lived to write it, and what came on the console."""
        try:
            return (self._work / "job" / "dmesg").read_text(errors="replace")
        except OSError:
            return self.console()

    def qemu_errors(self) -> str:
        return (self._work / "qemu.log").read_text(errors="replace").strip()

    def _control_line(self, deadline: float) -> str | None:
        """The guest's next message: "" when it is gone, None when time is up."""
        control = self._local["control"]
        while b"\n" not in self._control:
            control.settimeout(_seconds_left(deadline))
            try:
                data = control.recv(4096)
            except TimeoutError:
                if time.monotonic() >= deadline:
                    return None
                continue
            if not data:
                return ""
            self._control += data
        line, _, self._control = self._control.partition(b"\n")
        return line.decode(errors="replace")


def _seconds_left(deadline: float) -> float:
    """To wait now: never 0, which means something else to sockets, and never for ever."""
    return min(max(0.001, deadline - time.monotonic()), 3600.0)


def _copy(source: socket.socket, fd: int) -> bool:
    """Pass on what is there; False at the end."""
    try:
        data = source.recv(65536)
    except ConnectionError:
        return False
    left = data
    while left:
        left = left[os.write(fd, left):]
    return bool(data)

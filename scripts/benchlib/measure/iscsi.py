# SPDX-License-Identifier: MIT OR Apache-2.0
"""A tgtd serves the target as a logical unit of an iSCSI target, on a TCP port of this machine.

fio's own engine for iSCSI, which is libiscsi, gets such a target as well, but Debian's fio is built
without it. tests/bench/run-iscsi compares the library with libiscsi itself.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from ..errors import BenchError
from ..machine import sockets
from ..machine.blockdev import mount_of
from .storage_daemon import END_SECONDS, READY_SECONDS, may_write
from .targets import Target
from .transport import DryRun, Transport, blkio_path, filename, needs_engine, never

PROGRAM = "tgtd"
NAME = "iqn.2021-01.io.gitlab.libblkio:bench"
HOST = "127.0.0.1"
PORT = 3260  # of --dry-run


def server(port: int) -> list[str]:
    return [PROGRAM, "-f", "--iscsi", f"portal={HOST}:{port}"]


def uri(port: int) -> str:
    return f"iscsi://{HOST}:{port}/{NAME}/1"


def commands(target: Target, path: str) -> list[list[str]]:
    """What tgtd is told of the target, which is at `path`; initiators are let in last."""
    mount = mount_of(target.path)
    past_cache = target.direct and not (mount and mount.fstype == "tmpfs")
    block = target.device.logical_block_size() if target.direct and target.device else 512
    unit = ["--mode", "logicalunit", "--tid", "1", "--lun", "1"]
    words = [["--op", "new", "--mode", "target", "--tid", "1", "--targetname", NAME],
             ["--op", "new", *unit, "--backing-store", path, "--blocksize", str(block),
              *(["--bsoflags", "direct"] if past_cache else [])],
             ["--op", "update", *unit, "--params",
              "thin_provisioning=1" if may_write(target) else "readonly=1"],
             ["--op", "bind", "--mode", "target", "--tid", "1", "--initiator-address", "ALL"]]
    return [["tgtadm", "--lld", "iscsi", *line] for line in words]


# ---- Running it ------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def _tell(command: list[str], environment: dict[str, str]) -> str:
    """What it says if it fails, or ""."""
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return " ".join(done.stdout.split())[-400:] or str(done.returncode) if done.returncode else ""


def _wait(daemon: subprocess.Popen[bytes], environment: dict[str, str], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while _tell(["tgtadm", "--lld", "iscsi", "--op", "show", "--mode", "sys"], environment):
        if daemon.poll() is not None:
            words = " ".join(log.read_text(errors="replace").split())[-400:]
            raise BenchError(f"{PROGRAM} ended at once: {words or daemon.returncode}")
        if time.monotonic() > deadline:
            raise BenchError(f"{PROGRAM} does not answer within {READY_SECONDS} s")
        time.sleep(0.005)


def _end(daemon: subprocess.Popen[bytes]) -> None:
    """It takes a SIGTERM only once no initiator is left."""
    daemon.kill()
    daemon.wait(END_SECONDS)


@contextmanager
def serving(target: Target) -> Iterator[int]:
    """The port on which tgtd serves the target while this is entered."""
    with sockets.folder("bench-") as folder:
        log, port = Path(folder, "log"), _free_port()
        name = Path(folder, "disk")  # commas mean something to tgtadm
        name.symlink_to(os.path.abspath(target.path))
        environment = {**os.environ, "TGT_IPC_SOCKET": str(Path(folder, "control"))}
        try:
            with open(log, "wb") as output:
                daemon = subprocess.Popen(server(port), env=environment, stdin=subprocess.DEVNULL,
                                          stdout=output, stderr=output, start_new_session=True)
        except OSError as error:
            raise BenchError(f"cannot run {PROGRAM}: {error.strerror}",
                             "Install the package tgt.") from error
        try:
            _wait(daemon, environment, log)
            for command in commands(target, str(name)):
                if words := _tell(command, environment):
                    raise BenchError(f"tgtadm failed: {words}")
            yield port
        finally:
            _end(daemon)


# ---- Ways to it ------------------------------------------------------------------------------


def _obstacle(_target: Target) -> str:
    return "" if shutil.which(PROGRAM) else f"there is no {PROGRAM}: install the package tgt"


def _blkio(port: int) -> list[str]:
    return blkio_path(uri(port))


def _native(port: int) -> list[str]:
    return filename(uri(port))


@contextmanager
def _reach_blkio(target: Target) -> Iterator[list[str]]:
    with serving(target) as port:
        yield _blkio(port)


@contextmanager
def _reach_native(target: Target) -> Iterator[list[str]]:
    with serving(target) as port:
        yield _native(port)


def _by_hand(target: Target, options: list[str]) -> DryRun:
    start = shlex.join(server(PORT)) + " & server=$!; sleep 1"
    return DryRun(options, [start, *map(shlex.join, commands(target, target.path))], ["kill -KILL $server"])


BLKIO = Transport(_reach_blkio, lambda target: _by_hand(target, _blkio(PORT)), _obstacle, never)
NATIVE = needs_engine("libiscsi", "libiscsi", Transport(
    _reach_native, lambda target: _by_hand(target, _native(PORT)), _obstacle, never))

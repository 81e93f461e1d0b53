# SPDX-License-Identifier: MIT OR Apache-2.0
"""The devices that libraries are compared on, each made from a scratch file and gone afterwards."""

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, ContextManager, Iterator

SIZE = 1 << 20  # DEVICE_SIZE of the probe
READY_SECONDS = 20

Device = list[str]  # the probe's arguments


class CannotMake(Exception):
    """Not on this machine; the text says why."""


@dataclass(frozen=True)
class Target:
    """A kind of device."""

    name: str
    device: Callable[[Path], ContextManager[Device]]
    driver: str = "io_uring"


def scratch_file(folder: Path) -> Path:
    path = folder / "data"
    path.write_bytes(bytes(SIZE))
    return path


def arguments(kind: str, driver: str, path: Path, backing: Path, folder: Path) -> Device:
    scratch = folder / "scratch"
    scratch.mkdir()
    return ["--kind", kind, "--driver", driver, "--path", str(path), "--backing", str(backing),
            "--scratch", str(scratch)]


@contextmanager
def nothing(_folder: Path) -> Iterator[Device]:
    yield []


def driver_alone(driver: str) -> Callable[[Path], ContextManager[Device]]:
    """A driver that has nothing to connect to here."""
    @contextmanager
    def device(folder: Path) -> Iterator[Device]:
        path = scratch_file(folder)
        yield arguments("driver", driver, folder / "nothing", path, folder)
    return device


@contextmanager
def buffered_file(folder: Path) -> Iterator[Device]:
    path = scratch_file(folder)
    yield arguments("file", "io_uring", path, path, folder)


@contextmanager
def direct_file(folder: Path) -> Iterator[Device]:
    path = scratch_file(folder)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_DIRECT))
    except OSError as error:
        raise CannotMake(f"the file system of the build folder has no O_DIRECT: {error}") from error
    yield arguments("file", "io_uring", path, path, folder) + ["--direct"]


@contextmanager
def loop_device(folder: Path) -> Iterator[Device]:
    if os.geteuid():
        raise CannotMake("loop devices need root")
    path = scratch_file(folder)
    made = subprocess.run(["losetup", "--find", "--show", str(path)], capture_output=True,
                          text=True, check=False)
    if made.returncode:
        raise CannotMake(f"losetup: {made.stderr.strip()}")
    device = Path(made.stdout.strip())
    try:
        yield arguments("block", "io_uring", device, device, folder) + ["--direct"]
    finally:
        subprocess.run(["losetup", "--detach", str(device)], check=False)


def wait_for_socket(path: Path, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket(socket.AF_UNIX) as sock:
            if sock.connect_ex(str(path)) == 0:
                return
        time.sleep(0.02)
    raise CannotMake(f"{server.args[0]} does not listen")


@contextmanager
def vhost_user(folder: Path) -> Iterator[Device]:
    program = shutil.which("qemu-storage-daemon")
    if not program:
        raise CannotMake("qemu-storage-daemon is not installed (scripts/setup installs it)")
    path = scratch_file(folder)
    sock = Path(os.environ.get("TMPDIR", "/tmp")) / f"{folder.name}.sock"  # at most 107 bytes
    server = subprocess.Popen(
        [program, "--blockdev", f"file,filename={path},node-name=d,discard=unmap", "--export",
         f"vhost-user-blk,id=e,node-name=d,addr.type=unix,addr.path={sock},writable=on,"
         "num-queues=4"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_socket(sock, server)
        yield (arguments("server", "virtio-blk-vhost-user", sock, path, folder)
               + ["--server", str(server.pid)])
    finally:
        server.kill()
        server.wait()
        sock.unlink(missing_ok=True)


TARGETS = (
    Target("none", nothing),
    Target("file", buffered_file),
    Target("file-direct", direct_file),
    Target("loop-direct", loop_device),
    Target("vhost-user", vhost_user, "virtio-blk-vhost-user"),
    *(Target(name, driver_alone(name), name)
      for name in ("nvme-io_uring", "virtio-blk-vhost-vdpa", "virtio-blk-vfio-pci")),
)

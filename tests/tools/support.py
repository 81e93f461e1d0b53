# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the tests of the tools share: runs with a deadline, scratch files, loop devices, servers."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "lib"), str(TESTS.parent / "scripts")]
import rings  # noqa: E402
from benchlib.machine import sockets  # noqa: E402

KIB, MIB = 1024, 1024 * 1024
SECONDS = 60  # a tool that takes longer hangs
SKIPPED = 77
NO_RINGS = "io_uring is not permitted here: using driver posix"

BUILD_DIR = Path(os.environ["BUILD_DIR"])
SOURCE_DIR = Path(os.environ["SOURCE_DIR"])


def run(*command: str | Path, **options) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its output is for the caller to judge."""
    return subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, text=True,
                          stdout=options.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE,
                          timeout=SECONDS, check=False, **options)


def tool(name: str) -> Path:
    return BUILD_DIR / "tools" / f"blkio-{name}"


def need_command(name: str) -> str:
    path = shutil.which(name)
    if not path:
        raise unittest.SkipTest(f"{name} is not installed (scripts/setup installs it)")
    return path


def need_root(what: str) -> None:
    if os.geteuid():
        raise unittest.SkipTest(f"only root can {what}")


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def wait_until(condition, process: subprocess.Popen, what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f"{process.args[0]} ended before {what}")
        if time.monotonic() > deadline:
            raise AssertionError(f"no {what} after {SECONDS} s")
        time.sleep(0.01)


def catches(process: subprocess.Popen, sig: int) -> bool:
    """The tools that work for long catch signals once they begin."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return bool(int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16) >> (sig - 1) & 1)


class ToolTest(unittest.TestCase):
    """A test with a scratch folder."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory(prefix="tool-test-", dir=BUILD_DIR)
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)

    # ---- Runs -------------------------------------------------------------------------------

    def succeeds(self, name: str, *arguments: str | Path, **options) -> str:
        """Run a tool; its standard output. It must have no complaints."""
        done = run(tool(name), *arguments, **options)
        said = done.stderr
        if rings.why_not():
            said = said.replace(f"blkio-{name}: {NO_RINGS}\n", "")
        self.assertEqual((done.returncode, said), (0, ""), done.stdout)
        return done.stdout

    def fails(self, name: str, *arguments: str | Path, status: int = 1, says: str = "",
              **options) -> str:
        """Run a tool that must fail, with one message that has this in it."""
        done = run(tool(name), *arguments, **options)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertTrue(done.stderr.startswith(f"blkio-{name}: "), done.stderr)
        self.assertIn(says, done.stderr)
        return done.stderr

    # ---- Devices ----------------------------------------------------------------------------

    def file(self, name: str, content: bytes = b"", size: int | None = None) -> Path:
        path = self.scratch / name
        path.write_bytes(content)
        if size is not None:
            os.truncate(path, size)
        return path

    def loop(self, backing: str | Path, *options: str | int) -> str:
        """A loop device for a file, until the test ends."""
        need_root("attach loop devices")
        need_command("losetup")
        done = run("losetup", "--find", "--show", *options, backing)
        if done.returncode:
            raise unittest.SkipTest(f"no loop devices: {done.stderr.strip()}")
        device = done.stdout.strip()
        self.addCleanup(run, "losetup", "--detach", device)
        return device

    def vhost_user(self, backing: Path, iops: int = 0) -> str:
        """A target that qemu-storage-daemon serves from a file, until the test ends."""
        need_command("qemu-storage-daemon")
        folder = sockets.folder("tool-test-")
        self.addCleanup(folder.cleanup)
        socket = Path(folder.name, "socket")
        self.server = server = subprocess.Popen(
            ["qemu-storage-daemon",
             "--object", f"throttle-group,id=slow,limits.iops-total={iops}",
             "--blockdev", f"driver=file,node-name=disk,filename={backing},discard=unmap",
             "--blockdev", "driver=throttle,node-name=file,throttle-group=slow,file=disk",
             "--export", "type=vhost-user-blk,id=export,node-name=file,writable=on,"
                         f"num-queues=4,addr.type=unix,addr.path={socket}"])
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        wait_until(socket.exists, server, "socket")
        return f"virtio-blk-vhost-user:path={socket}"

    def nbd(self, backing: Path) -> str:
        """The same through NBD."""
        need_command("qemu-nbd")
        folder = sockets.folder("tool-test-")
        self.addCleanup(folder.cleanup)
        socket = Path(folder.name, "socket")
        server = subprocess.Popen(["qemu-nbd", "--format=raw", "--persistent", "--shared=8",
                                   f"--socket={socket}", backing])
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        wait_until(socket.exists, server, "socket")
        return f"nbd:uri=nbd+unix:///?socket={socket}"


class Cgroup:
    """A memory cgroup with a limit, v1 or v2, until the test ends."""

    ROOTS = (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max"))

    def __init__(self, test: unittest.TestCase, limit: int) -> None:
        need_root("make memory cgroups")
        problem = "no memory cgroups"
        for root, name in self.ROOTS:
            self.folder = Path(root, f"blkio-test-{os.getpid()}")
            try:
                self.folder.mkdir()
                test.addCleanup(self.folder.rmdir)
                (self.folder / name).write_text(str(limit))
                return
            except OSError as error:
                problem = str(error)
        raise unittest.SkipTest(f"memory cgroups cannot be made here: {problem}")

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """run() with the command in the group from its beginning."""
        return run("sh", "-c", 'echo $$ >"$0" && exec "$@"', self.folder / "cgroup.procs",
                   *command)


def main(with_rings: bool = True) -> None:
    """Run the tests of the calling file; exit 77 when not one of them could run."""
    if with_rings and (reason := rings.why_not()):
        print(reason)
        sys.exit(SKIPPED)
    result = unittest.main(exit=False, verbosity=2).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.skipped and result.testsRun == len(result.skipped) else 0)

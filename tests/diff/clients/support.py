# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the tests of client programs share: running programs of .deps/trixie with our library, with
the proof that it was ours; servers; scratch files."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[2] / "scripts")]

from benchlib.machine import sockets  # noqa: E402
from lib.root import Unreachable, make, make_root  # noqa: E402

KIB, MIB = 1024, 1024 * 1024
SKIPPED = 77
CLIENT_SECONDS = 60
READY_SECONDS = 20
LIBRARY = Path(os.environ["LIBBLKIO"])
BUILD_DIR = Path(os.environ["BUILD_DIR"])
IN_ROOT = HERE.parent / "run-in-root"


class ClientTest(unittest.TestCase):
    """A test with a scratch folder, in which a file of random data is."""

    FILE_SIZE = 4 * MIB
    root: Path

    @classmethod
    def setUpClass(cls) -> None:
        try:
            cls.root = make_root()
        except Unreachable as reason:
            raise unittest.SkipTest(str(reason)) from reason

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory(prefix="client-", dir=BUILD_DIR)
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        folder = sockets.folder("client-")
        self.addCleanup(folder.cleanup)
        self.sockets = Path(folder.name)
        self.library_folder = self.scratch / "library"
        self.library_folder.mkdir()
        (self.library_folder / "libblkio.so.1").symlink_to(LIBRARY.resolve())
        self.file = self.new_file("random", os.urandom(self.FILE_SIZE))

    def new_file(self, name: str, content: bytes | None = None) -> Path:
        """A file in the scratch folder; zeroes unless told otherwise."""
        path = self.scratch / name
        path.write_bytes(bytes(self.FILE_SIZE) if content is None else content)
        return path

    # ---- programs ----

    def environment(self) -> dict[str, str]:
        return {**os.environ, "LIBBLKIO_DIR": str(self.library_folder)}

    def run_program(self, *command: str | Path, status: int = 0,
                    env: dict[str, str] | None = None, seconds: int = CLIENT_SECONDS) -> str:
        """Run a program that may or may not use libblkio; gives its output."""
        done = subprocess.run([IN_ROOT, *command], env={**self.environment(), **(env or {})},
                              text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=seconds, check=False)
        self.assertEqual(done.returncode, status, f"{command}: {done.stdout}")
        return done.stdout

    def run_client(self, *command: str | Path, status: int = 0,
                   seconds: int = CLIENT_SECONDS) -> str:
        """Run a program that must use libblkio, which must be ours: the loader tells."""
        env = {"LD_DEBUG": "libs", "LD_DEBUG_OUTPUT": str(self.scratch / "loader")}
        output = self.run_program(*command, status=status, env=env, seconds=seconds)
        self.assert_ours(self.loaded(self.scratch / "loader"))
        return output

    @staticmethod
    def loaded(log: Path) -> set[str]:
        """Which libblkio was loaded, by what LD_DEBUG=libs had the loader write."""
        loaded: set[str] = set()
        for part in log.parent.glob(f"{log.name}.*"):
            loaded |= set(re.findall(r"calling init: (.*/libblkio\.so\S*)", part.read_text()))
            part.unlink()
        return loaded

    def assert_ours(self, loaded: set[str]) -> None:
        self.assertEqual({Path(path).resolve() for path in loaded}, {LIBRARY.resolve()},
                         "which libblkio the program loaded")

    # ---- servers ----

    def start_server(self, sock: Path, *command: str | Path, client: bool) -> subprocess.Popen:
        """Start a program and wait until it listens; client: it must have loaded our library."""
        log = self.scratch / f"{sock.name}.log"
        with open(log, "wb") as output:
            server = subprocess.Popen([IN_ROOT, *command], env=self.environment(),
                                      stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.addCleanup(self.stop_server, server)
        deadline = time.monotonic() + READY_SECONDS
        while not self.listens(sock):
            if server.poll() is not None or time.monotonic() > deadline:
                self.fail(f"{command}: does not listen: {log.read_text()}")
            time.sleep(0.02)
        if client:
            maps = Path(f"/proc/{server.pid}/maps").read_text()
            self.assert_ours(set(re.findall(r"\S*libblkio\.so\S*", maps)))
        return server

    @staticmethod
    def listens(sock: Path) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(sock)) == 0

    @staticmethod
    def stop_server(server: subprocess.Popen) -> None:
        server.terminate()
        try:
            server.wait(READY_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()

    def serve_vhost_user(self, path: Path) -> Path:
        """A vhost-user-blk server, without libblkio, of a file; gives its socket."""
        sock = self.sockets / f"{path.name}.vhost"
        self.start_server(
            sock, "qemu-storage-daemon",
            "--blockdev", f"file,filename={path},node-name=d,discard=unmap",
            "--export", f"vhost-user-blk,id=e,node-name=d,addr.type=unix,addr.path={sock},"
            "writable=on,num-queues=2", client=False)
        return sock

    # ---- data ----

    def there_and_back(self, url: str, storage: Path) -> None:
        """Copy the file to a URL, which storage is behind, and from there to another file."""
        copy = self.scratch / "copy"
        self.run_program("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", self.file, url)
        self.run_program("qemu-img", "convert", "-f", "raw", "-O", "raw", url, copy)
        self.assert_same(self.file, copy)
        self.assert_same(self.file, storage)

    def assert_same(self, one: Path, other: Path) -> None:
        """Byte for byte."""
        a, b = one.read_bytes(), other.read_bytes()
        if a != b:
            where = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
            self.fail(f"{one.name} and {other.name} differ at {where} (sizes {len(a)}, {len(b)})")


def main() -> None:
    """Run the tests of the calling file; exit 77 when not one of them could run."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun > len(result.skipped):
        sys.exit(0)
    print("SKIP:", "; ".join({reason for _, reason in result.skipped}), file=sys.stderr)
    sys.exit(SKIPPED)

# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the fio tests share: the engine's place, runs of fio, scratch files, reasons to skip."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lib"))
import rings  # noqa: E402

KIB, MIB = 1024, 1024 * 1024
SERVER_SECONDS = 10  # to make its socket
FIO_SECONDS = 60  # a run that takes longer hangs
END_SECONDS = 20  # to end when told so
KILLS = 3  # of a server, under load
SKIPPED = 77
# Without it, each fio tests the counters of all CPUs first, which takes longer than most jobs here.
CLOCK = "--clocksource=clock_gettime"

LIBRARY = Path(os.environ["LIBBLKIO"])
BUILD_DIR = Path(os.environ["BUILD_DIR"])
SOURCE_DIR = Path(os.environ["SOURCE_DIR"])
# The fio to run, after the words that run it where it needs some: FIO="tests/diff/run-in-root fio"
FIO = shlex.split(os.environ.get("FIO", "fio"))
# The versions of fio that the engine was built for.
BUILT_FOR = os.environ["FIO_ENGINE"].removeprefix("for ").split(", ")


@dataclass(frozen=True)
class Run:
    """A finished fio."""

    status: int
    output: str  # everything it said besides the results
    results: dict[str, Any]

    @property
    def jobs(self) -> list[dict[str, Any]]:
        return self.results["jobs"]

    @property
    def job(self) -> dict[str, Any]:
        """The job, of a run with only one."""
        assert len(self.jobs) == 1, f"{len(self.jobs)} jobs"
        return self.jobs[0]


def run(command: list[str], cwd: Path | None = None,
        env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its output is for the caller to judge."""
    with subprocess.Popen(command, cwd=cwd, env={**os.environ, **(env or {})}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            out, err = process.communicate(timeout=FIO_SECONDS)
        except subprocess.TimeoutExpired:
            process.terminate()  # fio then ends its jobs, which are processes of their own
            out, err = process.communicate(timeout=END_SECONDS)
            raise AssertionError(f"hangs: {command}\n{out}{err}") from None
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def fio_environment() -> dict[str, str]:
    preload = os.environ.get("FIO_PRELOAD")
    # fio itself keeps memory to its end
    return {"LD_PRELOAD": preload, "ASAN_OPTIONS": "detect_leaks=0"} if preload else {}


def split_output(text: str) -> tuple[str, dict[str, Any]]:
    """fio prints results as JSON, with its other words before and after."""
    start = text.find("\n{\n")
    if not text.startswith("{\n") and start < 0:
        return text, {}
    results, end = json.JSONDecoder().raw_decode(text, max(start, 0) + (start >= 0))
    return text[:max(start, 0)] + text[end:], results


def run_fio(*arguments: str, prefix: list[str] | None = None, fio: list[str] | None = None,
            env: dict[str, str] | None = None, cwd: Path | None = None) -> Run:
    """Run fio with these arguments, under a tracer or the like if a prefix is given, in a
    directory of its own unless told where: it leaves files there."""
    with tempfile.TemporaryDirectory(prefix="fio-test-", dir=BUILD_DIR) as place:
        done = run([*(prefix or []), *(fio or FIO), "--output-format=json", "--eta=never", CLOCK,
                    *arguments],
                   cwd or Path(place), {**fio_environment(), **(env or {})})
    said, results = split_output(done.stdout)
    return Run(done.returncode, said + done.stderr, results)


def option_arguments(options: dict[str, Any]) -> list[str]:
    """Job options as arguments; the engine comes first, or fio would not know its options."""
    first = {"ioengine": options.get("ioengine", f"external:{LIBRARY}")}
    return [f"--{name}" if value is True else f"--{name}={value}"
            for name, value in {**first, **options}.items() if value is not False]


def run_job(name: str = "job", prefix: list[str] | None = None, **options: Any) -> Run:
    """Run one job of the libblkio engine."""
    return run_fio(f"--name={name}", *option_arguments(options), prefix=prefix)


def command(*words: str) -> str:
    """What a command says; without it, or where it is forbidden, the test is skipped."""
    done = run([need_command(words[0]), *words[1:]])
    if done.returncode:
        raise unittest.SkipTest(f"{words[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def has_driver(name: str) -> bool:
    """Whether the library was built with a driver: without, a job with it fails for that reason."""
    return f'unknown driver "{name}"' not in run_job(libblkio_driver=name, rw="read").output


def need_command(name: str) -> str:
    path = shutil.which(name)
    if not path:
        raise unittest.SkipTest(f"{name} is not installed (scripts/setup installs it)")
    return path


def need_driver(name: str) -> None:
    if not has_driver(name):
        raise unittest.SkipTest(f"the library has no driver {name}")


class Server(Protocol):
    """One that comes back at the same address."""

    def start(self) -> None: ...

    def kill(self) -> None: ...


class FioTest(unittest.TestCase):
    """A test with a scratch directory and a scratch file of random data."""

    FILE_SIZE = 4 * MIB

    @classmethod
    def setUpClass(cls) -> None:
        if not os.environ["FIO_ENGINE"].startswith("for "):
            raise unittest.SkipTest(f"the library was built without fio engine: "
                                    f"{os.environ['FIO_ENGINE']}")
        need_command(FIO[0])

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory(prefix="fio-test-", dir=BUILD_DIR)
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        self.file = self.scratch / "file"
        self.file.write_bytes(os.urandom(self.FILE_SIZE))

    def uring(self, **options: Any) -> dict[str, Any]:
        """Options of a job on the scratch file."""
        return {"libblkio_driver": "io_uring", "filename": str(self.file), **options}

    def start_storage_daemon(self, socket: Path, *arguments: str) -> subprocess.Popen:
        """A qemu-storage-daemon that listens on the socket, until the test ends."""
        server = subprocess.Popen(["qemu-storage-daemon", *arguments])
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        deadline = time.monotonic() + SERVER_SECONDS
        while not socket.exists():
            self.assertIsNone(server.poll(), "qemu-storage-daemon ended at once")
            self.assertLess(time.monotonic(), deadline, "qemu-storage-daemon made no socket")
            time.sleep(0.01)
        return server

    def survives_kills(self, server: Server, **options: Any) -> None:
        """Write to a server of the scratch file, and verify, while it is killed again and again."""
        before, results = self.file.stat().st_mtime_ns, []
        fio = threading.Thread(target=lambda: results.append(run_job(
            rw="randwrite", bs="4k", iodepth=8, time_based=True, runtime="1500ms",
            verify="crc32c", verify_fatal=1, verify_backlog=64, **options)))
        fio.start()
        while fio.is_alive() and self.file.stat().st_mtime_ns == before:
            time.sleep(0.01)
        kills = 0
        while fio.is_alive() and kills < KILLS:
            server.kill()
            server.start()
            kills += 1
            time.sleep(0.1)
        fio.join()
        [result] = results
        self.assert_succeeds(result)
        self.assertGreater(kills, 0)
        self.assertGreater(result.job["read"]["total_ios"], 0)

    def loop_device(self, *options: str) -> str:
        """The scratch file as a loop device, until the test ends."""
        if os.geteuid() != 0:
            self.skipTest("only root can make loop devices")
        device = command("losetup", "--find", "--show", *options, str(self.file))
        self.addCleanup(subprocess.run, ["losetup", "--detach", device], check=True)
        return device

    def mount(self, device: str) -> None:
        """Make a file system on a device and mount it, until the test ends."""
        command("mkfs.ext4", "-q", "-F", device)
        point = self.scratch / "mounted here"
        point.mkdir(exist_ok=True)
        command("mount", device, str(point))
        self.addCleanup(subprocess.run, ["umount", str(point)], check=True)

    def refused_as_mounted(self, *, prefix: list[str] | None = None, **options: Any) -> None:
        with self.subTest(prefix=prefix and prefix[-1], **options):
            result = run_job(prefix=prefix, **{
                "libblkio_driver": "io_uring", "rw": "randwrite", "number_ios": 1, **options})
            self.assert_fails(result, "is mounted", "allow_mounted_write=1")
            for job in result.results.get("jobs", []):
                self.assertEqual(job["write"]["total_ios"] + job["trim"]["total_ios"], 0)

    def assert_succeeds(self, result: Run) -> None:
        self.assertEqual(result.status, 0, result.output)
        for job in result.jobs:
            self.assertEqual(job["error"], 0, result.output)

    def assert_fails(self, result: Run, *words: str) -> None:
        """It ended by itself, with a failure, and said these words."""
        self.assertGreater(result.status, 0, f"exit status 0 or a signal: {result.output}")
        for word in words:
            self.assertRegex(result.output, re.escape(word))
        self.assertNotIn("got signal", result.output)


def main(with_rings: bool = True) -> None:
    """Run the tests of the calling file; exit 77 when not one of them could run."""
    if with_rings and (reason := rings.why_not()):
        print(reason)
        sys.exit(SKIPPED)
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    ran = result.testsRun - len(result.skipped)
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(0 if ran > 0 else SKIPPED)

# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the tests of scripts/ share: the path to benchlib, a runner that meson understands, samples.

Exit status 77 tells meson that every test was skipped; the reasons are printed in any case.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any, Iterable

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "scripts" / "bench"
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "lib")]

import rings  # noqa: E402
from benchlib import cli  # noqa: E402
from benchlib.result.model import Case, Histogram, Sample  # noqa: E402

SKIPPED = 77


def build_folder() -> Path:
    """The build folder under test; SkipTest without one whose fio engine works."""
    from benchlib import prepare
    from benchlib.errors import BenchError
    name = os.environ.get("BUILD_DIR", "")
    if not name:
        raise unittest.SkipTest("BUILD_DIR is not set: no library to test with")
    if reason := rings.why_not():
        raise unittest.SkipTest(reason)
    try:
        prepare.check_engine(Path(name))
    except BenchError as error:
        raise unittest.SkipTest(f"no fio engine in {name}: {error.message}") from error
    return Path(name)


def bench_here(arguments: Iterable[object]) -> tuple[int, str]:
    """scripts/bench in this process, which costs less than one of its own: the exit status, and what
    it says on stderr."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        try:
            code = cli.main([str(word) for word in arguments])
        except SystemExit as end:  # of argparse
            code = int(end.code or 0)
    return code, errors.getvalue()


CASE = Case("page-cache", "randread", 512, 1, 1)


def sample(**changes: Any) -> Sample:
    """A plausible sample, with the given fields changed."""
    fields: dict[str, Any] = {
        "case": CASE, "engine": "native", "at": None, "round": 0, "position": 0, "calm": True, "other_load": 0.0, "ios": 1000, "iops": 1e6, "mean": 1000.0, "stddev": 10.0,
        "min": 900, "max": 1500, "user_cpu": 30.0, "system_cpu": 70.0, "context_switches": 3,
        "latency": Histogram([1000, 1016], [900, 100])}
    return Sample(**{**fields, **changes})


def program(test: unittest.TestCase, name: str, script: str) -> Path:
    """A shell script to run by this name, until the test ends. It is in the build folder, since
    programs in /tmp may not run everywhere."""
    folder = tempfile.TemporaryDirectory(prefix="bin-", dir=os.environ.get("BUILD_DIR", "."))
    test.addCleanup(folder.cleanup)
    path = Path(folder.name, name).absolute()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def small_disk(test: unittest.TestCase, folder: Path, size: str) -> None:
    """Mount a file system of so little space, until the test ends; SkipTest where forbidden."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder],
                          capture_output=True, text=True)
    if done.returncode:
        raise unittest.SkipTest(f"no mount: {done.stderr.strip()}")
    test.addCleanup(subprocess.run, ["umount", folder], check=True)


def main() -> None:
    program = unittest.main(exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.testsRun == len(result.skipped) and result.skipped else 0)

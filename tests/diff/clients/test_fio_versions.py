#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
Our engine in fio other than the installed one: Debian 13's, and one of Debian's unstable. Tests of
tests/integration/fio run with each that the library was built for; FIO_TESTS=all runs all of them.
The others must be refused.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import unittest
from pathlib import Path

from support import BUILD_DIR, CLIENT_SECONDS, HERE, IN_ROOT, LIBRARY, SKIPPED, ClientTest, \
    Unreachable, main, make

TESTS = HERE.parents[1] / "integration" / "fio"
SAMPLE = ("data", "latency")
IN_TREE = HERE.parents[2] / ".deps" / "fio-in-tree" / "fio"
ENGINE = os.environ["FIO_ENGINE"]


def test_files() -> list[Path]:
    if os.environ.get("FIO_TESTS") == "all":
        return sorted(TESTS.glob("test_*.py"))
    return [TESTS / f"test_{name}.py" for name in SAMPLE]


class EachFio(ClientTest):
    def setUp(self) -> None:
        super().setUp()
        if not ENGINE.startswith("for "):
            self.skipTest(f"the library was built without fio engine: {ENGINE}")

    def check(self, *fio: str | Path) -> None:
        words = [str(word) for word in fio]
        version = subprocess.run([*words, "--version"], stdout=subprocess.PIPE, text=True,
                                 check=True).stdout.strip()
        if version in ENGINE.removeprefix("for ").split(", "):
            self.run_tests(words)
        else:
            self.check_refusal(words, version)

    def run_tests(self, fio: list[str]) -> None:
        for test in test_files():
            with self.subTest(fio[-1], test=test.name):
                done = subprocess.run(
                    [sys.executable, test], env={**os.environ, "FIO": shlex.join(fio)},
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    text=True, check=False)
                self.assertIn(done.returncode, (0, SKIPPED), done.stdout)

    def check_refusal(self, fio: list[str], version: str) -> None:
        done = subprocess.run(
            [*fio, "--name=job", f"--ioengine=external:{LIBRARY}", "--libblkio_driver=null",
             "--size=1m", "--rw=read"],
            cwd=self.scratch, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=CLIENT_SECONDS, check=False)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        for words in (ENGINE.removeprefix("for "), version, "the versions differ"):
            self.assertIn(words, done.stdout)

    def test_debian_13(self) -> None:
        self.check(IN_ROOT, "fio")

    def test_unstable(self) -> None:
        try:
            make(HERE.parent / "make-fio", BUILD_DIR)
        except Unreachable as reason:
            raise unittest.SkipTest(str(reason)) from reason
        # it is linked to a libblkio.so.1 for the engine of its own
        self.check("env", f"LD_LIBRARY_PATH={self.library_folder}", IN_TREE)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Where io_uring is forbidden, as in default containers: the tools work on files all the same."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from support import MIB, NO_RINGS, TESTS, ToolTest, main, noise, run, tool

ERRORS = ("EPERM", "ENOSYS")  # of Docker's filter, of Podman's and gVisor's


class Sandbox(ToolTest):
    def inside(self, error: str, name: str,
               *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return run(TESTS / "lib" / "without_rings.py", error, tool(name), *arguments)

    def works(self, error: str, name: str, *arguments: str | Path) -> str:
        """One line is said, however many files there are."""
        done = self.inside(error, name, *arguments)
        self.assertEqual((done.returncode, done.stderr), (0, f"blkio-{name}: {NO_RINGS}\n"))
        return done.stdout

    def test_paths(self) -> None:
        for error in ERRORS:
            with self.subTest(error):
                source = self.file("source", noise(MIB))
                values = json.loads(self.works(error, "info", "--json", source))["properties"]
                self.assertEqual(values["driver"]["value"], "posix")
                self.assertEqual(values["capacity"]["value"], MIB)
                copy = self.scratch / f"copy-{error}"
                self.works(error, "copy", "--resize", "--verify", source, copy)
                self.assertEqual(copy.read_bytes(), source.read_bytes())
                self.works(error, "bench", "--time=0.1", "--depth=8", source)

    def test_named_drivers_are_used(self) -> None:
        path = self.file("disk", size=MIB)
        for error, says in zip(ERRORS, ("is not permitted", "does not support io_uring")):
            with self.subTest(error):
                done = self.inside(error, "bench", "--time=0.1", f"io_uring:path={path}")
                self.assertEqual(done.returncode, 1)
                self.assertIn(says, done.stderr)
                self.assertNotIn(NO_RINGS, done.stderr)
                done = self.inside(error, "bench", "--time=0.1", f"posix:path={path}")
                self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_outside(self) -> None:
        """A driver that is named needs no words."""
        path = self.file("disk", size=MIB)
        self.succeeds("bench", "--time=0.1", "--depth=32", "--rw=randwrite", "--overwrite",
                      f"posix:path={path}")


if __name__ == "__main__":
    main(with_rings=False)

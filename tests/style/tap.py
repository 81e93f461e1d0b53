# SPDX-License-Identifier: MIT OR Apache-2.0
"""The smallest thing that prints TAP: one case per call, lines of detail under a failure."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterable

ROOT = Path(__file__).resolve().parents[2]
# The repository of this tree: whoever owns it, and not one that lies around a tree without.
GIT = ("git", "-C", str(ROOT), "--git-dir=.git", "--work-tree=.")
LICENSE = "SPDX-License-Identifier: MIT OR Apache-2.0"


class Tap:
    """Collects cases; finish() prints the plan and gives the exit status."""

    def __init__(self) -> None:
        self.count = 0
        self.failed = 0

    def case(self, name: str, problems: Iterable[str]) -> None:
        """Passed when there are no problems."""
        problems = list(problems)
        self.count += 1
        self.failed += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {self.count} - {name}")
        for problem in problems:
            for line in problem.splitlines():
                print(f"# {line}")

    def skip(self, name: str, reason: str) -> None:
        """A case that cannot run here."""
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {reason}")

    def note(self, text: str) -> None:
        """A line for who reads the log."""
        print(f"# {text}")

    def finish(self) -> None:
        """Ends the program."""
        print(f"1..{self.count}")
        sys.exit(1 if self.failed else 0)


def folder_for_programs() -> "tempfile.TemporaryDirectory[str]":
    """A scratch folder whose files may be run, as not everywhere in /tmp: where the test is run,
    by meson in the build folder."""
    return tempfile.TemporaryDirectory(prefix="style-", dir=Path.cwd())


def run(command: list[str | Path], **options) -> subprocess.CompletedProcess:
    """Run a command, output as text, never raising."""
    return subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False, **options)


def problem_of(done: subprocess.CompletedProcess) -> list[str]:
    """What to report of a command: nothing when it succeeded."""
    if done.returncode == 0:
        return []
    return [f"$ {' '.join(done.args)}", *done.stdout.splitlines()]


def source_files(suffixes: tuple[str, ...]) -> list[Path]:
    """The project's files with these suffixes; build folders and what is downloaded left out."""
    listed = run([*GIT, "ls-files", "--cached", "--others", "--exclude-standard"])
    if listed.returncode == 0:
        files = [ROOT / name for name in listed.stdout.splitlines()]
    else:
        files = [f for f in ROOT.rglob("*")
                 if not any(p.startswith(("build", ".")) for p in f.relative_to(ROOT).parts)]
    return sorted(f for f in files if f.is_file() and (f.suffix in suffixes or "*" in suffixes))

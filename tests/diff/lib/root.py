# SPDX-License-Identifier: MIT OR Apache-2.0
"""The folder with Debian's programs and libblkio 1.5, made when it is missing."""

import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1] / ".deps" / "trixie"


UNREACHABLE = 77  # exit status of make-root and make-fio


class Unreachable(Exception):
    """It cannot be downloaded here; the text says why."""


def make(*command: Path) -> None:
    """Run make-root or make-fio. What fails though all could be downloaded is an error."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode == UNREACHABLE:
        raise Unreachable((done.stdout.splitlines() or ["no reason given"])[-1])
    if done.returncode:
        raise RuntimeError(f"{command[0].name} failed:\n{done.stdout}")


def make_root() -> Path:
    """The folder; takes half a minute when it has to be made."""
    make(HERE / "make-root")
    return ROOT


def upstream_library() -> Path:
    """libblkio 1.5."""
    return next(make_root().glob("usr/lib/*/libblkio.so.1"))

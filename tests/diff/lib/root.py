# SPDX-License-Identifier: MIT OR Apache-2.0
"""The folder with Debian's programs and libblkio 1.5, made when it is missing."""

import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1] / ".deps" / "trixie"


class Unreachable(Exception):
    """It is not there and cannot be made; the text says why."""


def make_root() -> Path:
    """The folder; takes half a minute when it has to be made."""
    done = subprocess.run([HERE / "make-root"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        lines = done.stdout.splitlines() or ["tests/diff/make-root failed"]
        raise Unreachable(lines[-1])
    return ROOT


def upstream_library() -> Path:
    """libblkio 1.5."""
    return next(make_root().glob("usr/lib/*/libblkio.so.1"))

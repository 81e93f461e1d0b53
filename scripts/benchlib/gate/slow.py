# SPDX-License-Identifier: MIT OR Apache-2.0
"""A library that is slower by a known delay, and otherwise the same: its objects, linked once more with
delay.c.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from .. import prepare
from ..errors import BenchError
from . import sides

DELAY = Path(__file__).with_name("delay.c")
WRAPPED = "blkioq_read"


def slow_library(build: Path, nanoseconds: int) -> Path:
    """Link the library of a build folder with a delay in every read; gives the folder of the result."""
    folder = (sides.WORKSHOP / "slow").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    delay = folder / "delay.o"
    _run(["cc", f"-DDELAY_NS={nanoseconds}", f"-I{prepare.ROOT / 'core' / 'include'}", "-c", "-fPIC",
          "-O2", "-o", str(delay), str(DELAY)], build)
    link = _link_command(build)
    link[link.index("-o") + 1] = str(folder / prepare.LIBRARY)
    _run([*link, f"-Wl,--wrap={WRAPPED}", str(delay)], build)
    return folder


def _link_command(build: Path) -> list[str]:
    """How the build links its library: the last of the commands that it takes."""
    name = Path(os.path.realpath(build / prepare.LIBRARY)).name
    return shlex.split(_run(["ninja", "-t", "commands", name], build).splitlines()[-1])


def _run(argv: list[str], folder: Path) -> str:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{argv[0]} failed in {folder}: {(done.stderr or done.stdout).strip()}")
    return done.stdout

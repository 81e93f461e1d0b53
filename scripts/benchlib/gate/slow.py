# SPDX-License-Identifier: MIT OR Apache-2.0
"""A build of the library that is slower by a known delay; see delay.c."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Sequence

from .. import prepare
from ..errors import BenchError
from . import sides

DELAY = Path(__file__).with_name("delay.c")
WRAPPED = "blkioq_read"


def slow_library(source: Path, nanoseconds: int, options: Sequence[str]) -> Path:
    """Build the library of a source tree with a delay in every read; its folder."""
    folder = sides.WORKSHOP / "slow"
    shutil.rmtree(folder, ignore_errors=True)  # the delay is part of the configuration
    sides.WORKSHOP.mkdir(parents=True, exist_ok=True)
    delay = sides.WORKSHOP / "delay.o"
    _compile([f"-DDELAY_NS={nanoseconds}", f"-I{source / 'core' / 'include'}", "-c", "-fPIC",
              "-O2", "-o", str(delay), str(DELAY)])
    link = f"-Wl,--wrap={WRAPPED} {shlex.quote(str(delay))}"
    prepare.configure(source, folder, [*sides.alike(options), f"-Dc_link_args={link}"])
    prepare.build_library(folder)
    return folder


def _compile(arguments: list[str]) -> None:
    done = subprocess.run(["cc", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"cannot compile {DELAY.name}: {done.stderr.strip()}")

# SPDX-License-Identifier: MIT OR Apache-2.0
"""What fio's client sends to a server: a job file. It names the target, and needs no server or device
besides.
"""

from __future__ import annotations

from typing import Sequence

from ..measure import fio
from ..measure.engines import Engine
from ..measure.transport import BLKIO_PATH, FILENAME, blkio_path, filename

NOT_IN_FILES = ("--name=", "--readonly", *fio.OUTPUT_OPTIONS)  # options of fio, but not of a job


def text(words: Sequence[str]) -> str:
    """The job file of a command line's options."""
    lines = [word.removeprefix("--") for word in words if not word.startswith(NOT_IN_FILES)]
    return "\n".join(["[bench]", *lines]) + "\n"


def named(engine: Engine, path: str) -> list[str]:
    return blkio_path(path) if engine.transport is BLKIO_PATH else filename(path)


def remote(engine: Engine) -> bool:
    """Can a job file alone name its target?"""
    return engine.transport in (FILENAME, BLKIO_PATH)


def as_loaded(engine: Engine, library: str) -> Engine:
    """A library that is named without a folder, fio asks the loader for."""
    if "/" not in library:
        engine.options[:] = [word.replace("external:", "") for word in engine.options]
    return engine

# SPDX-License-Identifier: MIT OR Apache-2.0
"""The programs that copy, each told to do it as well as it can."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from .pairs import Ends

OWN = "blkio-copy"


@dataclass(frozen=True)
class Program:
    executable: str  # to be installed; "": it is built here
    # The command; none where it cannot copy such a pair, or another program does the same.
    command: Callable[[Ends, Path], list[str] | None]


def own(build: Path) -> Path:
    return build / "tools" / OWN


def _blkio_copy(ends: Ends, build: Path) -> list[str]:
    source = ends.source
    if ends.device:
        source = f"virtio-blk-vhost-user:path={ends.device}"
    elif ends.served:
        source = f"nbd:path={ends.served}"
    resize = [] if ends.is_device else ["--resize"]
    return [str(own(build)), "--quiet", *resize, source, ends.destination]


def _export(ends: Ends) -> str:
    return f"nbd+unix:///?socket={ends.served}" if ends.served else ends.source


def _qemu_img(ends: Ends, _build: Path) -> list[str]:
    there = ["-n"] if ends.is_device else []
    return ["qemu-img", "convert", "-f", "raw", "-O", "raw", *there, _export(ends),
            ends.destination]


def _nbdcopy(ends: Ends, _build: Path) -> list[str]:
    return ["nbdcopy", _export(ends), ends.destination]


def _dd(ends: Ends, _build: Path) -> list[str] | None:
    if ends.served:
        return None
    sparse = [] if ends.is_device else ["conv=sparse"]
    return ["dd", f"if={ends.source}", f"of={ends.destination}", "bs=1M", "status=none", *sparse]


def _cp(ends: Ends, _build: Path) -> list[str] | None:
    return None if ends.served else ["cp", ends.source, ends.destination]


def _cp_sparse(ends: Ends, _build: Path) -> list[str] | None:
    """It looks for zeroes in the data as well, and copies without copy_file_range()."""
    if ends.served or ends.is_device:
        return None
    return ["cp", "--sparse=always", ends.source, ends.destination]


PROGRAMS: dict[str, Program] = {
    OWN: Program("", _blkio_copy),
    "qemu-img convert": Program("qemu-img", _qemu_img),
    "nbdcopy": Program("nbdcopy", _nbdcopy),
    "dd": Program("dd", _dd),
    "cp": Program("cp", _cp),
    "cp --sparse=always": Program("cp", _cp_sparse),
}


def missing() -> list[str]:
    """Programs that are not installed."""
    return sorted({one.executable for one in PROGRAMS.values()
                   if one.executable and not shutil.which(one.executable)})


def commands(ends: Ends, build: Path) -> dict[str, list[str]]:
    """Of all that can copy the pair and are installed."""
    absent = missing()
    found = {name: one.command(ends, build) for name, one in PROGRAMS.items()
             if one.executable not in absent}
    return {name: argv for name, argv in found.items() if argv}

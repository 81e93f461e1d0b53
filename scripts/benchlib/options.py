# SPDX-License-Identifier: MIT OR Apache-2.0
"""Command-line vocabulary shared by the subcommands: sizes, lists, times."""

from __future__ import annotations

import argparse
import re
from typing import Any

SCRATCH = ("page-cache", "tmpfs", "disk")  # the names in measure/targets.py
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def size(text: str) -> int:
    """512, 4k, 256m, 1g."""
    match = re.fullmatch(r"(\d+)([kmgt]?)(i?b)?", text.strip().lower())
    if not match or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 512, 4k or 256m")
    return int(match[1]) * UNITS[match[2]]


def count(text: str) -> int:
    """A whole number, 1 or more."""
    if not re.fullmatch(r"\d+", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def counts(text: str) -> list[int]:
    """1,32"""
    return list(dict.fromkeys(count(part.strip()) for part in text.split(",")))


def whole_numbers(text: str) -> list[int]:
    """0,1"""
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 0,1")
    return sorted({int(part) for part in text.split(",")})


def sizes(text: str) -> list[int]:
    """512,4k"""
    return list(dict.fromkeys(size(part) for part in text.split(",")))


def names(text: str) -> list[str]:
    """block,loop"""
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found:
        raise argparse.ArgumentTypeError("an empty list")
    return list(dict.fromkeys(found))


def milliseconds(text: str) -> int:
    """Seconds as the user writes them (0.5, 2, 500ms), in milliseconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)(ms|s)?", text.strip().lower())
    value = round(float(match[1]) * (1 if match[2] == "ms" else 1000)) if match else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 0.5, 2 or 500ms")
    return value


def seconds(text: str) -> float:
    """0 or more seconds."""
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return float(text)


def share(text: str) -> float:
    """A percentage between 0 and 100, as a share."""
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage")
    return value / 100


def portion(text: str) -> float:
    """A share above 0, at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share above 0, at most 1")
    return value


# ---- Groups of options ------------------------------------------------------------------------


def add_targets(group: Any) -> None:
    group.add_argument("--target", action="append", metavar="PATH", default=[],
                       help="a file or block device, or one of the scratch files "
                            f"({', '.join(SCRATCH)}); may be repeated")
    group.add_argument("--buffered", action="store_true",
                       help="go through the page cache on a --target PATH (default: O_DIRECT)")


def add_matrix(group: Any) -> None:
    group.add_argument("--bs", type=sizes, default=[512], metavar="LIST",
                       help="block sizes (default: 512)")
    group.add_argument("--depth", type=counts, default=[1, 32], metavar="LIST",
                       help="queue depths (default: 1,32)")
    group.add_argument("--numjobs", type=counts, default=[1], metavar="LIST",
                       help="numbers of fio jobs at a time, each on a CPU of its own if there are "
                            "enough (default: 1)")
    group.add_argument("--rw", type=names, default=["randread"], metavar="LIST",
                       help="fio's workloads: randread (default), read, randwrite, randrw, ...; "
                            "randrw:70 has 70 %% reads")
    group.add_argument("--destructive", action="store_true",
                       help="allow a workload that overwrites the --target; never given to one "
                            "that is mounted or in use")


def add_machine(group: Any) -> None:
    group.add_argument("--size", type=size, default=256 << 20, metavar="SIZE",
                       help="size of scratch files (default: 256m)")
    group.add_argument("--cpu", type=whole_numbers, metavar="LIST",
                       help="CPUs for fio's jobs (default: the last ones)")
    group.add_argument("--seed", type=int, metavar="N",
                       help="seed of the random order (default: a new one, recorded)")


def add_build(group: argparse._ActionsContainer) -> None:
    """Which library is measured, for subcommands that take one."""
    group.add_argument("--build-dir", default=None, metavar="DIR",
                       help="build folder of the library (default: build/ of this project)")
    group.add_argument("--no-build", action="store_true",
                       help="take the library in the build folder as it is")

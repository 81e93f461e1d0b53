# SPDX-License-Identifier: MIT OR Apache-2.0
"""Command-line vocabulary shared by the subcommands: sizes, lists, times."""

from __future__ import annotations

import argparse
import re

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

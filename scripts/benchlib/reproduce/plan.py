# SPDX-License-Identifier: MIT OR Apache-2.0
"""Which figures are measured, by which commands; printed for --list. Standard library only."""

from __future__ import annotations

import argparse
import shlex

from ..errors import Exit, refuse
from .figures import FIGURES, Task, Claim


def before(options: argparse.Namespace) -> Exit | None:
    figures = chosen(options.names)
    if not options.list:
        return None
    print(listing(figures, options))
    return Exit.OK


def chosen(names: list[str]) -> dict[str, Claim]:
    """The figures named, or all, in their own order."""
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        raise refuse(f"there is no figure {', '.join(unknown)}",
                     f"Choose from {', '.join(FIGURES)}.")
    return {name: figure for name, figure in FIGURES.items() if name in names or not names}


def listing(figures: dict[str, Claim], options: argparse.Namespace) -> str:
    lines = []
    for name, figure in figures.items():
        lines += [f"{name}: {figure.title}", f"  claim: {figure.claim}"]
        lines += [f"  {shown(command(step, options))}" for step in figure.steps]
    return "\n".join(lines)


def command(step: Task, options: argparse.Namespace) -> list[str]:
    """The arguments of scripts/bench for a step."""
    words = list(step.command)
    if options.target and step.takes_target:
        while "--target" in words:
            place = words.index("--target")
            del words[place:place + 2]
        words += ["--target", options.target]
    return words + (list(step.quick) if options.quick else [])


def shown(words: list[str]) -> str:
    return f"scripts/bench {shlex.join(words)}"

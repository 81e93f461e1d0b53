# SPDX-License-Identifier: MIT OR Apache-2.0
"""Which guests are booted, and how; printed for --dry-run. Standard library only."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from ..errors import Exit, refuse
from ..measure import plan
from ..result import storage
from . import guest as one
from .guests import GUESTS, Guest

REBIND_SECONDS = 6
COUNTED_ROUNDS = 5  # the least for a verdict


def before(options: argparse.Namespace) -> Exit | None:
    guests = chosen(options.devices, options.count)
    if not options.dry_run:
        return None
    build, folder = plan.build_folder(options), storage.new_folder("vm", options.output)
    for name, guest in guests.items():
        print(shlex.join(command(guest, options, build, folder / name)))
    return Exit.OK


def chosen(names: list[str], count: bool) -> dict[str, Guest]:
    """The guests that the user named."""
    fit = {name: guest for name, guest in GUESTS.items() if _modes(guest, count)}
    unfit = [name for name in names if name not in fit and name != "all"]
    if unfit:
        way = "cannot be counted" if count else "can only be counted (--count)"
        raise refuse(f"--vm: {unfit[0]} {way if unfit[0] in GUESTS else 'is no such device'}",
                     f"Choose from {', '.join(fit)} or all.")
    return {name: guest for name, guest in fit.items() if name in names or "all" in names}


def _modes(guest: Guest, count: bool) -> tuple[str, ...]:
    return guest.counted if count else guest.timed


def command(guest: Guest, options: argparse.Namespace, build: Path, output: Path) -> list[str]:
    """How to boot a guest and compare there."""
    modes = options.modes or _modes(guest, options.count)
    rounds, runtime = options.rounds, options.runtime
    if options.count:
        # Repetition shows no more than that nothing varies.
        rounds, runtime = rounds or COUNTED_ROUNDS, runtime or one.COUNTED_MS
    words = ["compare", "--no-build", "--build-dir", str(build.absolute()),
             *one.matrix(options, modes), "--baseline", options.baseline, "--destructive",
             "--output", str(output), "--raw",
             *(["--quick"] if options.quick else []),
             *(["--max-load", "100"] if options.count else []),  # whoever works there works for us
             *(["--rounds", str(rounds)] if rounds else []),
             *(["--runtime", f"{runtime}ms"] if runtime else []),
             *(["--seed", str(options.seed)] if options.seed is not None else [])]
    return one.command(guest, words, build, output,
                       options.timeout or _patience(options, len(modes), rounds, runtime),
                       options.count)


def _patience(options: argparse.Namespace, modes: int, rounds: int | None,
              runtime: int | None) -> float:
    rounds = rounds or (plan.QUICK_ROUNDS if options.quick else plan.ROUNDS)
    seconds = ((runtime or plan.RUNTIME_MS) + plan.RAMP_MS) / 1000 + REBIND_SECONDS
    return one.patience(options, modes * (rounds + 3), seconds)  # and trial, and calls

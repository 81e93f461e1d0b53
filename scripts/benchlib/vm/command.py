# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench vm`: boots guests that run `scripts/bench compare` on their disks."""

from __future__ import annotations

import argparse
import datetime
import shlex
import sys
from pathlib import Path

from .. import plan, prepare, results
from ..errors import BenchError, Exit, refuse
from . import guest as one
from .guests import GUESTS, Guest

REBIND_SECONDS = 6
COUNTED_ROUNDS = 5  # the least for a verdict


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


def in_vm(options: argparse.Namespace) -> Exit:
    """Compare in each guest; goes on to the next when one fails."""
    guests, build = chosen(options.devices, options.count), plan.build_folder(options)
    folder = Path(options.output) if options.output else \
        prepare.ROOT / "results" / f"vm-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    folder = folder.absolute()
    if not options.dry_run:
        _ready(options, build, folder)
    worst = Exit.OK
    for name, guest in guests.items():
        output = folder / name
        argv = command(guest, options, build, output)
        if options.dry_run:
            print(shlex.join(argv))
            continue
        print(f"{name}: {guest.summary}", file=sys.stderr, flush=True)
        worst = max(worst, _boot(name, argv, output))
    return worst


def _ready(options: argparse.Namespace, build: Path, folder: Path) -> None:
    prepare.set_up()
    if not options.no_build:
        prepare.build_library(build)
    prepare.check_engine(build)
    results.prepare_folder(folder)


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
    return one.command(guest, words, output,
                       options.timeout or _patience(options, len(modes), rounds, runtime),
                       options.count)


def _patience(options: argparse.Namespace, modes: int, rounds: int | None,
              runtime: int | None) -> float:
    rounds = rounds or (plan.QUICK_ROUNDS if options.quick else plan.ROUNDS)
    seconds = ((runtime or plan.RUNTIME_MS) + plan.RAMP_MS) / 1000 + REBIND_SECONDS
    return one.patience(options, modes * (rounds + 3), seconds)  # and trial, and calls


def draw(output: Path) -> None:
    """What is drawn of a result: here, where it is quicker than in the guest."""
    from ..report import files
    result = results.read(output)
    files.write(output, result)
    files.announce(output, result)


def _boot(name: str, argv: list[str], output: Path) -> Exit:
    """Run a guest to its end; its output is ours. Ctrl-C ends it."""
    if (output / results.RESULT).exists():
        raise refuse(f"{output} holds a result already", "Move it away or choose another --output.")
    try:
        status = one.run(argv)
    except BenchError:
        results.drop_if_empty(output.parent)
        raise
    if (output / results.RESULT).exists():
        draw(output)
    if status in iter(Exit):
        return Exit(status)
    print(f"bench: {name}: the VM failed, exit status {status} (tests/vm/README.md)",
          file=sys.stderr)
    return Exit.FAILED

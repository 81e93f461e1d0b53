# SPDX-License-Identifier: MIT OR Apache-2.0
"""`gate --count`: the gate in a guest of the test VM whose clock counts instructions.

Latency is exact there: it includes the kernel and fio, but no other load of this machine.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Sequence

from ..errors import BenchError, Exit, refuse
from ..verdict import GATE
from ..vm import guest
from ..vm.guests import GUESTS
from . import store
from .model import Side
from .run import Conclusion, concluded, named

TARGET = "page-cache"
ROUNDS = 10  # enough for a verdict on a handful of cases
SHARED = "guest"  # folder for what the guest writes


def check(options: argparse.Namespace) -> None:
    """Refuse what the guest cannot do, and settle what is left open."""
    if options.aa or options.self_test:
        raise refuse("--aa and --self-test ask about this machine's noise; --count has none",
                     "Use one or the other.")
    if options.numjobs != [1]:
        raise refuse("--count --numjobs: the guest has one CPU", "Leave --numjobs out.")
    fit = [name for name, disk in GUESTS.items() if disk.counted]
    options.target = options.target or [TARGET]
    unfit = [name for name in options.target if name not in fit]
    if unfit or len(options.target) > 1:
        raise refuse(f"--count --target {', '.join(unfit or options.target)}: the guest has one disk",
                     f"Choose one of {', '.join(fit)}.")


def run(options: argparse.Namespace, builds: Sequence[Path], sides: Sequence[Side],
        folder: Path) -> Conclusion:
    """Measure and judge two builds in a guest."""
    shared = folder.absolute() / SHARED
    argv = guest.command(GUESTS[options.target[0]], _words(options, builds, shared), builds[-1], shared,
                         guest.patience(options, 2 * (options.rounds + 1) * len(options.modes),
                                        options.runtime / 1000), count=True)
    status = guest.run(argv)
    if not (shared / store.FILE).exists():
        raise BenchError(f"the guest has no result, exit status {status}",
                         "See above and tests/vm/README.md.")
    found = store.read(shared)
    result = replace(found, sides=list(sides), tolerated=options.tolerate,
                     environment=named(found.environment, sides))
    code = Exit.OK if status in {word.code for word in GATE.words.values()} else Exit.FAILED
    return concluded(result, code, options.tolerate)


def _words(options: argparse.Namespace, builds: Sequence[Path], output: Path) -> list[str]:
    """What the guest's gate is asked. No instructions by valgrind: they are in the latency."""
    return ["gate", "--no-build", "--no-counts", "--raw",
            "--baseline", str(builds[0].absolute()), "--candidate", str(builds[1].absolute()),
            *guest.matrix(options, options.modes), "--metric", ",".join(options.metric),
            "--rounds", str(options.rounds), "--runtime", f"{options.runtime}ms",
            "--effect", f"{options.effect:%}", "--alpha", f"{options.alpha:%}", "--budget", "1",
            *(["--seed", str(options.seed)] if options.seed is not None else []),
            *(["--destructive"] if options.destructive else []), "--output", str(output)]

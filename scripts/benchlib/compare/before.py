# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench compare` before the set-up: plans, and prints the plan for --dry-run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import Exit, refuse
from ..measure import job_file, plan, rings

MATRIX = (["randread"], [512], [1, 32], [1])  # the defaults of --rw, --bs, --depth, --numjobs
POSIX_BASELINE = "libaio"
POSIX_MODES = [POSIX_BASELINE, "psync", "posixaio", "posix-block", "posix-eventfd", "posix-loop"]


def before(options: argparse.Namespace) -> Exit | None:
    if options.results:
        return None
    _choose_modes(options)
    options.campaign = plan.campaign(options, groups=_job_file(options))  # refuses what is wrong
    if not options.dry_run:
        return None
    plan.announce(options.campaign)
    plan.print_commands(options.campaign)
    return Exit.OK


def _job_file(options: argparse.Namespace) -> list[job_file.Group]:
    """The workloads of --job; what scripts/bench sets instead of the file is told."""
    if not options.job:
        return []
    if (options.rw, options.bs, options.depth, options.numjobs) != MATRIX:
        raise refuse(f"--job {options.job} says what is done",
                     "Leave --rw, --bs, --depth and --numjobs out.")
    groups, replaced = job_file.read(Path(options.job))
    if replaced:
        print(f"{options.job}: set by this comparison instead: {', '.join(replaced)}",
              file=sys.stderr)
    return groups


def _choose_modes(options: argparse.Namespace) -> None:
    """What the user has not named."""
    if not (options.posix or options.modes or options.baseline or rings.permitted()):
        print("io_uring is not permitted here: comparing driver posix (--posix)", file=sys.stderr)
        options.posix = True
    if options.posix:
        options.modes = options.modes or POSIX_MODES
        options.baseline = options.baseline or POSIX_BASELINE
    options.baseline = options.baseline or ""  # each mode has its own reference

# SPDX-License-Identifier: MIT OR Apache-2.0
"""Boots one guest (tests/vm/run) that runs `scripts/bench SUBCOMMAND` on its disk.

The guest sees this machine's files and shares the results' folder, so program and library are those
built here, and what it writes there stays.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Sequence

from .. import prepare
from ..errors import BenchError, Exit
from ..machine import environment, quiet
from ..measure import plan
from .guests import Guest

RUN = prepare.ROOT / "tests" / "vm" / "run"
CANNOT_RUN = 77  # the exit status of tests/vm/run
END_SECONDS = 30
BOOT_SECONDS = 120
SLOWNESS = 10  # how much longer starting programs takes in an emulated guest
COUNTED_MS = 50  # measured time of one fio process: nothing varies


def command(guest: Guest, words: Sequence[str], build: Path, shared: Path, seconds: float,
            count: bool) -> list[str]:
    """tests/vm/run with all it needs to know; `words` are those of scripts/bench, `build` is the
    library's folder."""
    bench = ["scripts/bench", *words, "--target", guest.disk,
             *(["--buffered"] if guest.buffered else [])]
    steps = [f"cd {shlex.quote(str(prepare.ROOT))}", guest.prepare, "exec " + shlex.join(bench)]
    return [str(RUN), "--profile", guest.profile,
            *(["--icount"] if count else []),
            *(["--append", guest.append] if guest.append else []),
            "--timeout", str(round(seconds)), "--env", environment.told(build, prepare.ROOT),
            "--out", str(shared), "--", "/bin/sh", "-c", " && ".join(filter(None, steps))]


def matrix(options: argparse.Namespace, modes: Sequence[str]) -> list[str]:
    """The options that say what is measured."""
    return ["--modes", ",".join(modes), "--rw", ",".join(options.rw),
            "--bs", ",".join(map(str, options.bs)), "--depth", ",".join(map(str, options.depth))]


def patience(options: argparse.Namespace, runs_per_case: int, run_seconds: float) -> float:
    """Seconds in which the guest has surely ended unless it hangs."""
    runs = runs_per_case * len(options.rw) * len(options.bs) * len(options.depth)
    return 2 * BOOT_SECONDS + 4 * runs * (run_seconds + SLOWNESS * plan.FIO_START_SECONDS)


def run(argv: list[str]) -> int:
    """Run a guest to its end and return its exit status; its output is ours. Ctrl-C ends it.

    A waiting guest is a sleeping thread of this machine, so deep idle states are avoided here, too.
    """
    prepare.set_up_vm()
    with quiet.no_deep_sleep(), \
            subprocess.Popen(argv, cwd=prepare.ROOT, stdin=subprocess.DEVNULL) as runner:
        try:
            status = runner.wait()
        except KeyboardInterrupt:
            runner.send_signal(signal.SIGTERM)
            runner.wait(END_SECONDS)
            raise
    if status == CANNOT_RUN:
        raise BenchError("the test VM cannot run here, see above", code=Exit.USAGE)
    return status

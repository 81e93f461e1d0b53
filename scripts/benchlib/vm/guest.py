# SPDX-License-Identifier: MIT OR Apache-2.0
"""Boots one guest (tests/vm/run) that runs `scripts/bench SUBCOMMAND` on its disk.

The guest sees this machine's files and shares the results' folder, so program and library are those
built here, and what it writes there stays.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
from pathlib import Path
from typing import Sequence

from .. import prepare
from ..errors import BenchError, Exit
from .guests import Guest

RUN = prepare.ROOT / "tests" / "vm" / "run"
SETUP = "scripts/setup --vm"
CANNOT_RUN = 77  # the exit status of tests/vm/run
END_SECONDS = 30


def command(guest: Guest, words: Sequence[str], shared: Path, seconds: float,
            count: bool) -> list[str]:
    """tests/vm/run with all it needs to know; `words` are those of scripts/bench."""
    bench = ["scripts/bench", *words, "--target", guest.disk,
             *(["--buffered"] if guest.buffered else [])]
    steps = [f"cd {shlex.quote(str(prepare.ROOT))}", guest.prepare, "exec " + shlex.join(bench)]
    return [str(RUN), "--profile", guest.profile,
            *(["--icount"] if count else []),
            *(["--append", guest.append] if guest.append else []),
            "--timeout", str(round(seconds)),
            "--out", str(shared), "--", "/bin/sh", "-c", " && ".join(filter(None, steps))]


def run(argv: list[str], quiet: bool = False) -> int:
    """Run a guest to its end and return its exit status; its output is ours. Ctrl-C ends it."""
    with subprocess.Popen(argv, cwd=prepare.ROOT, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL if quiet else None) as runner:
        try:
            status = runner.wait()
        except KeyboardInterrupt:
            runner.send_signal(signal.SIGTERM)
            runner.wait(END_SECONDS)
            raise
    if status == CANNOT_RUN:
        raise BenchError("the test VM cannot run here, see above", f"Run {SETUP}.", Exit.USAGE)
    return status

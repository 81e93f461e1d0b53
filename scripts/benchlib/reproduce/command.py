# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench reproduce`: runs the commands of each figure and keeps the index up to date."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

from .. import prepare
from ..errors import Exit
from ..machine import environment
from ..measure.plan import build_folder
from ..result import storage
from . import index
from .figures import Task
from .index import Done
from .plan import chosen, command, shown

BENCH = prepare.ROOT / "scripts" / "bench"
WORDS = 40  # lines of a failing command that may hold its reason
END_SECONDS = 60


def reproduce(options: argparse.Namespace) -> Exit:
    figures = chosen(options.names)
    folder = storage.new_folder("reproduce", options.output, index.FILE)
    build = build_folder(options)
    if not options.no_build:
        prepare.build_library(build)
    prepare.check_engine(build)
    storage.prepare_folder(folder)
    library = environment.library_version(build, prepare.ROOT)
    done: list[Done] = []
    for name, figure in figures.items():
        for step in figure.steps:
            print(f"\n==== {name}, {step.name}: {figure.title}", file=sys.stderr, flush=True)
            done.append(_run(name, step, options, build, folder))
            index.write(folder, library, figures, done)
            if done[-1].status == Exit.INTERRUPTED:
                raise KeyboardInterrupt
    print(f"\nThe index: {folder / index.FILE}")
    return Exit.FAILED if any(step.failed for step in done) else Exit.OK


def _run(name: str, step: Task, options: argparse.Namespace, build: Path, folder: Path) -> Done:
    """Run a step; what it says is passed on, and its last words are kept."""
    words, place = command(step, options), folder / name / step.name
    argv = [str(BENCH), *words, "--no-build", "--build-dir", str(build), "--output", str(place)]
    last: deque[str] = deque(maxlen=WORDS)
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True, errors="replace") as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                print(line, end="", file=sys.stderr, flush=True)
                last.append(line)
            process.wait()
        except KeyboardInterrupt:  # the terminal has told it, too; kill(1) has not
            process.send_signal(signal.SIGTERM)
            process.wait(END_SECONDS)
            return Done(name, step.name, shown(words), place, Exit.INTERRUPTED, "interrupted",
                        step.pairs)
    return Done(name, step.name, shown(words), place, process.returncode, _reason(last),
                step.pairs)


def _reason(lines: deque[str]) -> str:
    """The last message of scripts/bench or of the VM, on one line."""
    starts = [number for number, line in enumerate(lines) if line.startswith(("bench: ", "vm: "))]
    if not starts:
        return ""
    return " ".join(" ".join(list(lines)[starts[0]:]).replace("bench: ", "").split())[:600]

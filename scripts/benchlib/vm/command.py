# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench vm`: boots guests (tests/vm/run) that run `scripts/bench compare` on their disks.

The guest sees this machine's files and shares the results' folder, so program and library are those
built here, and what it writes there stays.
"""

from __future__ import annotations

import argparse
import datetime
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from .. import plan, prepare, results
from ..errors import BenchError, Exit, refuse
from .guests import GUESTS, Guest

RUN = prepare.ROOT / "tests" / "vm" / "run"
SETUP = "scripts/setup --vm"
CANNOT_RUN = 77  # the exit status of tests/vm/run
SLOWNESS = 10  # how much longer starting programs takes in an emulated guest
BOOT_SECONDS = 120
REBIND_SECONDS = 6
END_SECONDS = 30


def chosen(names: list[str]) -> dict[str, Guest]:
    """The guests that the user named."""
    unknown = [name for name in names if name not in GUESTS and name != "all"]
    if unknown:
        raise refuse(f"--vm: there is no {', '.join(unknown)}",
                     f"Choose from {', '.join(GUESTS)} or all.")
    return {name: guest for name, guest in GUESTS.items() if name in names or "all" in names}


def in_vm(options: argparse.Namespace) -> Exit:
    """Compare in each guest; goes on to the next when one fails."""
    guests, build = chosen(options.devices), plan.build_folder(options)
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
    """tests/vm/run with all it needs to know."""
    compare = ["scripts/bench", "compare", "--no-build", "--build-dir", str(build.absolute()),
               "--target", guest.disk, "--modes", ",".join(options.modes or guest.modes),
               "--bs", ",".join(map(str, options.bs)), "--depth", ",".join(map(str, options.depth)),
               "--output", str(output), "--raw", *_passed_on(options)]
    steps = [f"cd {shlex.quote(str(prepare.ROOT))}", guest.prepare, "exec " + shlex.join(compare)]
    return [str(RUN), "--profile", guest.profile,
            *(["--append", guest.append] if guest.append else []),
            "--timeout", str(round(options.timeout or _patience(guest, options))),
            "--out", str(output), "--", "/bin/sh", "-c", " && ".join(filter(None, steps))]


def _passed_on(options: argparse.Namespace) -> list[str]:
    words = ["--quick"] if options.quick else []
    if options.rounds:
        words += ["--rounds", str(options.rounds)]
    if options.runtime:
        words += ["--runtime", f"{options.runtime}ms"]
    if options.seed is not None:
        words += ["--seed", str(options.seed)]
    return words


def _patience(guest: Guest, options: argparse.Namespace) -> float:
    """Seconds in which the guest has surely ended unless it hangs."""
    rounds = options.rounds or (plan.QUICK_ROUNDS if options.quick else plan.ROUNDS)
    runtime = (options.runtime or plan.RUNTIME_MS) + plan.RAMP_MS
    modes = len(options.modes or guest.modes)
    runs = modes * (rounds + 3) * len(options.depth) * len(options.bs)  # and trial, and calls
    each = runtime / 1000 + SLOWNESS * plan.FIO_START_SECONDS + REBIND_SECONDS
    return 2 * BOOT_SECONDS + 4 * runs * each


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
    with subprocess.Popen(argv, cwd=prepare.ROOT, stdin=subprocess.DEVNULL) as runner:
        try:
            status = runner.wait()
        except KeyboardInterrupt:
            runner.send_signal(signal.SIGTERM)
            runner.wait(END_SECONDS)
            raise
    if (output / results.RESULT).exists():
        draw(output)
    if status == CANNOT_RUN:
        results.drop_if_empty(output.parent)
        raise BenchError("the test VM cannot run here, see above", f"Run {SETUP}.", Exit.USAGE)
    if status in iter(Exit):
        return Exit(status)
    print(f"bench: {name}: the VM failed, exit status {status} (tests/vm/README.md)",
          file=sys.stderr)
    return Exit.FAILED

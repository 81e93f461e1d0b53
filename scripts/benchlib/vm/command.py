# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench vm`: boots guests that run `scripts/bench compare` on their disks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .. import prepare
from ..compare import output
from ..errors import BenchError, Exit, refuse
from ..measure.plan import build_folder
from ..result import storage
from . import guest as one
from .plan import chosen, command


def in_vm(options: argparse.Namespace) -> Exit:
    """Compare in each guest; goes on to the next when one fails."""
    guests, build = chosen(options.devices, options.count), build_folder(options)
    folder = storage.new_folder("vm", options.output)
    if not options.no_build:
        prepare.build_library(build)
    prepare.check_engine(build)
    storage.prepare_folder(folder)
    worst = Exit.OK
    for name, guest in guests.items():
        print(f"{name}: {guest.summary}", file=sys.stderr, flush=True)
        argv = command(guest, options, build, folder / name)
        worst = max(worst, _boot(name, argv, folder / name))
    return worst


def draw(folder: Path) -> None:
    """Draw a result: here, where it is quicker than in the guest."""
    result = storage.read(folder)
    output.write(folder, result)
    output.announce(folder, result)


def _boot(name: str, argv: list[str], folder: Path) -> Exit:
    """Run a guest to its end; its folder is ours. Ctrl-C ends it."""
    if (folder / storage.RESULT).exists():
        raise refuse(f"{folder} holds a result already", "Move it away or choose another --folder.")
    try:
        status = one.run(argv)
    except BenchError:
        storage.drop_if_empty(folder.parent)
        raise
    if (folder / storage.RESULT).exists():
        draw(folder)
    if status in iter(Exit):
        return Exit(status)
    print(f"bench: {name}: the VM failed, exit status {status} (tests/vm/README.md)",
          file=sys.stderr)
    return Exit.FAILED

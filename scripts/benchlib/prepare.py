# SPDX-License-Identifier: MIT OR Apache-2.0
"""From a fresh clone to a library that fio can load: set-up and build, when needed.

Standard library only: this runs before the set-up has installed anything.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Sequence

import setuplib

from .errors import BenchError
from .progress import say

ROOT = setuplib.ROOT
COMMANDS = ("fio", "meson", "ninja", "cc")
MODULES = ("numpy", "scipy", "jinja2", "sqlalchemy")
FIO_SOURCE = ROOT / ".deps" / "fio"
VM_KERNEL = ROOT / ".deps" / "vm" / "kernel" / "initramfs"
LIBRARY = "libblkio.so"


def missing(*more: str) -> list[str]:
    """What the set-up would bring and is not there yet; `more` are commands."""
    absent = [name for name in (*COMMANDS, *more) if shutil.which(name) is None]
    absent += [f"Python's {name}" for name in MODULES if importlib.util.find_spec(name) is None]
    return absent + ([] if FIO_SOURCE.exists() else ["fio's source"])


def set_up(*more: str) -> None:
    """Run scripts/setup if anything is missing, or one of the commands `more`."""
    absent = missing(*more)
    if not absent:
        return
    say(f"missing: {', '.join(absent)}; running scripts/setup")
    if not setuplib.set_up("bench"):
        raise BenchError("scripts/setup failed", "Its message is above.")
    importlib.invalidate_caches()
    still = missing(*more)
    if still:
        raise BenchError(f"scripts/setup ran, but missing are still: {', '.join(still)}",
                         f"This Python is {sys.executable}; the set-up installs Debian's.")


def set_up_vm() -> None:
    """Run scripts/setup --vm if the test VM is missing."""
    if shutil.which("qemu-system-x86_64") and VM_KERNEL.exists():
        return
    say("the test VM is missing; running scripts/setup --only vm")
    if not setuplib.set_up("vm"):
        raise BenchError("the test VM could not be set up", "The message is above.")


def set_up_postgresql() -> None:
    """Run scripts/setup for PostgreSQL's driver if it is missing."""
    if importlib.util.find_spec("psycopg2") is not None:
        return
    say("Python's psycopg2 is missing; running scripts/setup --only postgresql")
    if not setuplib.set_up("postgresql"):
        raise BenchError("PostgreSQL's driver could not be set up", "The message is above.")
    importlib.invalidate_caches()


def build_library(build: Path) -> None:
    """Configure and build in the folder; quick when all is up to date."""
    if not (build / "build.ninja").exists():
        say("configuring the build")
        configure(ROOT, build)
    _run(["ninja", "-C", str(build)], "the build failed", "Its message is above.", quiet=True)


def configure(source: Path, build: Path, options: Sequence[str] = ()) -> None:
    """Make a build folder for release."""
    try:
        build.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"cannot make the build folder {build}: {error.strerror}",
                         "Copy the source tree to where you can write, or name folders that are built.") \
            from error
    _run(["meson", "setup", "--buildtype=release", *options, str(build), str(source)],
         "meson setup failed", "Its message is above.", quiet=True)


def check_engine(build: Path, program: str = "fio") -> None:
    """fio must find its engine in the library built there; otherwise say why, in fio's words."""
    library = build / LIBRARY
    if not library.exists():
        raise BenchError(f"there is no {library}", "Build it: leave --no-build out.")
    done = subprocess.run([program, f"--enghelp={library}"], capture_output=True, text=True)
    if done.returncode == 0 and "libblkio_driver" in done.stdout:
        return
    words = " ".join((done.stderr + done.stdout).split())[:400]
    raise BenchError(
        f"{program} cannot load its engine from {library}: {words or 'no message'}",
        "fio loads only an engine built from its own source. For Debian's fio run scripts/setup, which "
        "fetches\n  that source; for another fio: meson setup -Dfio_source=DIR BUILD. Then\n"
        f"  meson setup --reconfigure -Dfio=enabled {build}; its output says what it lacks.")


def _run(argv: list[str], failure: str, remedy: str, quiet: bool = False) -> None:
    """Run a command; when `quiet`, show its output only if it fails."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE if quiet else sys.stderr,
                              stderr=subprocess.STDOUT if quiet else None)
    except OSError as error:
        raise BenchError(f"cannot run {argv[0]}: {error.strerror}", "Run scripts/setup.") from error
    if done.returncode:
        if quiet:
            print(done.stdout[-8000:], file=sys.stderr)
        raise BenchError(f"{failure} (exit status {done.returncode})", remedy)

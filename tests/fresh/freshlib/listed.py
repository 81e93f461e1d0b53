#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
Run in a fresh machine after scripts/setup: what the benchmark calls and imports comes from packages
that packages.list names, not from some that another package happens to bring.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts"))

from benchlib import prepare  # noqa: E402


def links(path: str) -> Iterator[str]:
    """The path, and what it is a link to: cc is one that belongs to no package, to gcc."""
    yield path
    while os.path.islink(path):
        path = os.path.join(os.path.dirname(path), os.readlink(path))
        yield path


def package(path: str) -> str:
    """The package that a file is from; nothing when it is from none."""
    done = subprocess.run(["dpkg", "-S", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, check=False)
    return done.stdout.partition(":")[0]


def files() -> Iterator[tuple[str, str]]:
    """What is needed, by name, and where it is here."""
    for name in prepare.COMMANDS:
        yield name, shutil.which(name) or ""
    for name in prepare.MODULES:
        found = importlib.util.find_spec(name)
        yield f"Python's {name}", found.origin or "" if found else ""


def main() -> int:
    listed = subprocess.run([prepare.setuplib.SETUP, "--list"], stdout=subprocess.PIPE, text=True,
                            check=True).stdout.split()
    wrong = 0
    for name, place in files():
        brought = {package(path) for path in links(place)} - {""}
        if not brought & set(listed):
            print(f"{name}: from {' '.join(brought) or 'nowhere'}, which packages.list has not")
            wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

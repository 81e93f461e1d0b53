# SPDX-License-Identifier: MIT OR Apache-2.0
"""What --baseline and --candidate name, and a library of each, ready to be loaded.

Both libraries are built alike and then copied to places whose paths are equally long: what a
process finds on its stack, and where, moves latencies by more than a good gate may overlook.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import setuplib

from .. import prepare
from ..errors import BenchError, refuse
from ..machine import environment
from ..progress import say
from ..result import storage
from . import store
from .model import Side

WORKSHOP = prepare.ROOT / "build-gate"  # everything that the gate builds; git ignores it
GIT, BUILD, SOURCE, RESULTS = "git", "build", "source", "results"


@dataclass(frozen=True)
class SideSpec:
    """What a side was asked to be."""

    name: str
    text: str
    kind: str
    revision: str = ""  # the commit, of GIT

    def label(self) -> str:
        """What may be written down: no paths."""
        return self.text if self.kind == GIT else self.kind


def spec(name: str, text: str) -> SideSpec:
    """Look what `text` is; refuses what is nothing."""
    path = Path(text)
    if (path / "meson-info").is_dir() or (path / prepare.LIBRARY).exists():
        return SideSpec(name, text, BUILD)
    if path.is_file() or any((path / file).exists() for file in (store.FILE, storage.RESULT)):
        return SideSpec(name, text, RESULTS)
    if (path / "meson.build").exists():
        return SideSpec(name, text, SOURCE)
    done = _git("rev-parse", "--verify", "--quiet", text + "^{commit}")
    if not (prepare.ROOT / ".git").exists():
        raise refuse(f"--{name} {text}: this source tree is not a git repository, so it has no revisions",
                     f"Name a build folder, another source tree or a stored result: --{name} PATH.")
    if done.returncode:
        raise refuse(
            f"--{name} {text}: neither a git revision nor a build folder, source tree or result",
            "In a shallow clone fetch it first: git fetch --unshallow (in a CI checkout: depth 0).")
    return SideSpec(name, text, GIT, done.stdout.strip())


def _git(*arguments: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(setuplib.git(prepare.ROOT, *arguments), capture_output=True,
                              text=True)
    except OSError as error:
        raise refuse(f"cannot run git: {error.strerror}", "Install it, or name a build folder.") \
            from error


def library(side: SideSpec, options: Sequence[str], build: bool) -> tuple[Path, Side]:
    """Build the side where it is not built yet: its library, and what to record of it."""
    if side.kind == BUILD:
        folder = Path(side.text)
        if build and (folder / "meson-info").is_dir():
            prepare.build_library(folder)
        version = environment.library_version(folder, prepare.ROOT)
    else:
        tree = source(side)
        folder = _build(tree, options)
        version = environment.library_version(folder, tree) if side.kind == SOURCE else \
            _git("describe", "--always", "--tags", side.revision).stdout.strip()
    return folder, Side(side.name, side.label(), version or "unknown")


def source(side: SideSpec) -> Path:
    """The source tree of a side; that of a git revision is unpacked where it is not yet."""
    if side.kind == SOURCE:
        return Path(side.text)
    tree = WORKSHOP / f"{side.revision[:12]}.source"
    if not tree.is_dir():
        say(f"taking {side.text} ({side.revision[:12]}) from git")
        _unpack(side.revision, tree)
    return tree


def _unpack(revision: str, folder: Path) -> None:
    """The tree of a commit, complete or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        archive, tree = Path(name, "tree.tar"), Path(name, "tree")
        done = _git("archive", f"--output={archive.absolute()}", revision)
        if done.returncode:
            raise BenchError(f"git archive {revision} failed: {done.stderr.strip()}")
        with tarfile.open(archive) as tar:
            tar.extractall(tree)
        tree.rename(folder)


def _build(tree: Path, options: Sequence[str]) -> Path:
    """Build a source tree, in a folder of its own for each tree and configuration."""
    configuration = alike(options)
    key = hashlib.sha256("\0".join([str(tree.absolute()), *configuration]).encode()).hexdigest()
    folder = WORKSHOP / f"build-{key[:12]}"
    if not (folder / "build.ninja").exists():
        say(f"configuring the build of {tree.name or 'this tree'}")
        prepare.configure(tree, folder, configuration)
    prepare.build_library(folder)
    return folder


def alike(options: Sequence[str]) -> list[str]:
    """The configuration of all that the gate builds."""
    return ["-Dtests=false", "-Dfio=enabled", f"-Dfio_source={prepare.FIO_SOURCE}",
            *(f"-D{option}" for option in options)]


def stage(folders: Sequence[Path], stack: ExitStack) -> list[Path]:
    """Copies of the libraries, in folders that go when the stack is left."""
    WORKSHOP.mkdir(parents=True, exist_ok=True)
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=WORKSHOP, prefix="run-")))
    staged = []
    for number, folder in enumerate(folders):
        place = home / str(number)
        place.mkdir()
        try:
            shutil.copy2(os.path.realpath(folder / prepare.LIBRARY), place / prepare.LIBRARY)
        except OSError as error:
            raise BenchError(f"cannot copy {folder / prepare.LIBRARY}: {error.strerror}",
                             "Build it: leave --no-build out.") from error
        staged.append(place)
    return staged

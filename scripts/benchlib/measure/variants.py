# SPDX-License-Identifier: MIT OR Apache-2.0
"""Several builds of the library and several fios in one comparison.

fio loads only engines that were built from its own source, so each build comes with a fio:
`--fio NAME=` belongs to `--build NAME=`. A build without a fio of its name uses the one in PATH; a
fio without a build runs its own engines only. A variant is an engine of one build. With one build
variants are named as their modes are, with more MODE@BUILD.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Sequence

from ..errors import refuse
from ..prepare import LIBRARY, ROOT
from ..result.contents import is_native
from .engines import Engine, choose

FIO = "fio"
SPECIAL = set("@,/ ")  # characters that have a meaning in names of modes


@dataclass(frozen=True)
class Build:
    name: str
    folder: Path | None  # None: fio's own engines only
    fio: str  # the program

    def library(self) -> str:
        """The library, as fio gets it."""
        return os.path.abspath(self.folder / LIBRARY) if self.folder else ""


@dataclass(frozen=True)
class Variant:
    """An engine of a build, and the variant that it is compared with ("": none)."""

    engine: Engine
    build: Build
    against: str

    @property
    def fio(self) -> str:
        return self.engine.program or self.build.fio


def builds(folders: Sequence[str], fios: Sequence[str]) -> list[Build]:
    """What --build and --fio ask for; neither is looked into yet."""
    named = _pairs(folders, "--build")
    programs = {name: _program(path) for name, path in _pairs(fios, "--fio").items()}
    if len(named) < 2 and len(programs) < 2:
        [(name, folder)] = named.items() or [("build", str(ROOT / "build"))]
        return [Build(name, Path(folder), next(iter(programs.values()), FIO))]
    found = [Build(name, Path(folder), programs.get(name, FIO))
             for name, folder in named.items()]
    return found + [Build(name, None, program) for name, program in programs.items()
                    if name not in named]


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """NAME=PATH, or PATH whose last part is the name; every name once."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals:
            name, path = os.path.basename(os.path.abspath(text)), text
        if not name or not path or not SPECIAL.isdisjoint(name):
            raise refuse(f"{option} {text}: must be NAME=PATH, the name without @ , / and spaces")
        if name in found:
            raise refuse(f"{option} {text}: there is one called {name} already",
                         f"Name them apart: {option} NAME=PATH")
        found[name] = path
    return found


def _program(path: str) -> str:
    program = shutil.which(path)
    if program is None:
        raise refuse(f"--fio {path}: there is no such program")
    return os.path.abspath(program)


def variants(modes: Sequence[str], baseline: str, among: Sequence[Build],
             several: bool) -> list[Variant]:
    """All variants that take part: the modes of each build, fio's own engines once per fio.

    With several builds fio's own engines take part only when asked for. Each mode is compared with
    the same mode of the first build, and there with the baseline, or without one with its own
    reference.
    """
    found: list[Variant] = []
    fios_seen: set[str] = set()
    for build in among:
        chosen = choose(list(modes), build.library(), baseline)
        if several:
            chosen = [engine for engine in chosen
                      if _belongs(engine.name, modes, build, fios_seen)]
        fios_seen.add(build.fio)
        for engine in chosen:
            name = f"{engine.name}@{build.name}" if several else engine.name
            label = f"{engine.label} ({build.name})" if several else engine.label
            found.append(Variant(replace(engine, name=name, label=label), build,
                                 _against(engine.name, name, baseline or engine.reference, found)))
    if not found:
        raise refuse("nothing is left to measure", "Name modes that the builds and fios can do.")
    return _with_known_partners(found)


def _belongs(mode: str, modes: Sequence[str], build: Build, fios_seen: set[str]) -> bool:
    if is_native(mode):
        return mode in modes and build.fio not in fios_seen
    return build.folder is not None


def _against(mode: str, name: str, baseline: str, earlier: Sequence[Variant]) -> str:
    """The same mode of an earlier build, else the baseline of the same build."""
    for variant in earlier:
        other = variant.engine.name
        if other.partition("@")[0] == mode and other != name:
            return other
    same = name.removeprefix(mode)  # "@BUILD"
    return "" if mode == baseline or not baseline else baseline + same


def _with_known_partners(found: list[Variant]) -> list[Variant]:
    """A variant whose partner does not take part is compared with none."""
    names = {variant.engine.name for variant in found}
    return [variant if variant.against in names else replace(variant, against="")
            for variant in found]

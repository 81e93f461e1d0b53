# SPDX-License-Identifier: MIT OR Apache-2.0
"""Several builds of the library and several fios in one comparison.

A variant is a build of the library with the fio that loads its engine: fio takes only engines that
were built from its own source. `--fio NAME=` belongs to `--build NAME=`; a build without a fio of
its name uses the one in PATH, a fio without a build runs its own engines only. With one variant
modes keep their names, with more they are called MODE@VARIANT.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Sequence

from .contenders import BASELINE, Contender, choose
from .errors import refuse
from .prepare import LIBRARY, ROOT

FIO = "fio"
SPECIAL = set("@,/ ")  # characters that have a meaning in names of modes


@dataclass(frozen=True)
class Variant:
    name: str
    build: Path | None  # None: fio's own engines only
    fio: str  # the program

    def engine(self) -> str:
        """The library, as fio gets it."""
        return os.path.abspath(self.build / LIBRARY) if self.build else ""


@dataclass(frozen=True)
class Entrant:
    """A contender with what it is run with, and whom it is compared with ("": nobody)."""

    contender: Contender
    variant: Variant
    against: str


def is_native(name: str) -> bool:
    """One of fio's own engines?"""
    return name.startswith(BASELINE)


def variants(builds: Sequence[str], fios: Sequence[str]) -> list[Variant]:
    """What --build and --fio ask for; neither is looked into yet."""
    folders = _pairs(builds, "--build")
    programs = {name: _program(path) for name, path in _pairs(fios, "--fio").items()}
    if len(folders) < 2 and len(programs) < 2:
        [(name, folder)] = folders.items() or [("build", str(ROOT / "build"))]
        return [Variant(name, Path(folder), next(iter(programs.values()), FIO))]
    found = [Variant(name, Path(folder), programs.get(name, FIO))
             for name, folder in folders.items()]
    return found + [Variant(name, None, program) for name, program in programs.items()
                    if name not in folders]


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


def entrants(modes: Sequence[str], baseline: str, among: Sequence[Variant],
             several: bool) -> list[Entrant]:
    """Everybody who takes part: the modes of every variant, fio's own engines once per fio.

    Of several variants fio's own engines take part only when asked for; each mode is compared with
    the same mode of the first variant, and there with the baseline.
    """
    found: list[Entrant] = []
    fios_seen: set[str] = set()
    for variant in among:
        chosen = choose(list(modes), variant.engine(), baseline)
        if several:
            chosen = [contender for contender in chosen
                      if _belongs(contender.name, modes, variant, fios_seen)]
        fios_seen.add(variant.fio)
        for contender in chosen:
            name = _name(contender.name, variant) if several else contender.name
            label = f"{contender.label} ({variant.name})" if several else contender.label
            found.append(Entrant(replace(contender, name=name, label=label), variant,
                                 _against(contender.name, name, baseline, found)))
    if not found:
        raise refuse("nothing is left to measure", "Name modes that the builds and fios can do.")
    return _with_known_partners(found)


def _belongs(mode: str, modes: Sequence[str], variant: Variant, fios_seen: set[str]) -> bool:
    if is_native(mode):
        return mode in modes and variant.fio not in fios_seen
    return variant.build is not None


def _name(mode: str, variant: Variant) -> str:
    return f"{mode}@{variant.name}"


def _against(mode: str, name: str, baseline: str, before: Sequence[Entrant]) -> str:
    """The same mode of an earlier variant, else the baseline of the same variant."""
    for entrant in before:
        other = entrant.contender.name
        if other.partition("@")[0] == mode and other != name:
            return other
    same = name.removeprefix(mode)  # "@VARIANT"
    return "" if mode == baseline else baseline + same


def _with_known_partners(found: list[Entrant]) -> list[Entrant]:
    """Who would be compared with somebody who is not there is compared with nobody."""
    names = {entrant.contender.name for entrant in found}
    return [entrant if entrant.against in names else replace(entrant, against="")
            for entrant in found]

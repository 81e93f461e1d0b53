# SPDX-License-Identifier: MIT OR Apache-2.0
"""Instructions counted by valgrind: a program's, by the executable or library they belong to."""

from __future__ import annotations

import shutil
from typing import Iterable

VALGRIND = "valgrind"


def present() -> bool:
    return shutil.which(VALGRIND) is not None


def command(profile: str, program: list[str]) -> list[str]:
    """The command line that runs a program and writes the profile."""
    return [VALGRIND, "--tool=callgrind", "--compress-pos=no", f"--callgrind-out-file={profile}",
            *program]


def costs_by_object(profile: Iterable[str]) -> dict[str, int]:
    """Instructions by executable or library, from a callgrind profile."""
    names: dict[str, str] = {}
    costs: dict[str, int] = {}
    where, is_call = "", False
    for line in profile:
        if line.startswith(("ob=", "cob=")):  # the caller's object, or the callee's
            kind, _, rest = line.strip().partition("=")
            number, _, name = rest.partition(" ")
            names.setdefault(number, name)
            where = names[number] if kind == "ob" else where
        elif line.startswith("calls="):
            is_call = True  # the next line is what the callee cost
        elif line[0].isdigit() or line[0] in "+-*":
            if not is_call:
                costs[where] = costs.get(where, 0) + int(line.split()[1])
            is_call = False
    return costs

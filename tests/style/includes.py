#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
Each system header that a C file includes declares something that the file uses. A header may
include for others, so only *.c is checked. The C compiler says what a header declares.

usage: includes.py
"""

import functools
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tap import ROOT, Tap, run, source_files

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:<([^>]+)>|".*")', re.M)
NOT_CODE = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
WORD = re.compile(r"[A-Za-z_]\w{2,}")
# What these declare, other headers do as well: a file does not include those for it.
BASICS = ("features.h", "bits/types.h", "stddef.h", "stdint.h")


@functools.lru_cache(None)
def declared(header: str) -> frozenset[str]:
    """All words of a system header and of those that it includes; none of another's."""
    compiler = os.environ.get("CC", "cc")
    done = run(["sh", "-c",
                f"echo '#include <{header}>' | {compiler} -D_GNU_SOURCE -E -dD -xc -"])
    if done.returncode:
        return frozenset()
    return frozenset(WORD.findall(re.sub(r"^# .*", "", done.stdout, flags=re.M)))


def unused(path: Path) -> list[str]:
    text = path.read_text()
    used = set(WORD.findall(NOT_CODE.sub(" ", INCLUDE.sub("", text))))
    basics = frozenset().union(*map(declared, BASICS))
    problems = []
    for header in filter(None, INCLUDE.findall(text)):
        own = declared(header) - (frozenset() if header in BASICS else basics)
        if declared(header) and not used & own:
            problems.append(f"{path.relative_to(ROOT)}: <{header}>")
    return problems


def main() -> None:
    tap = Tap()
    with ThreadPoolExecutor() as pool:
        problems = [line for lines in pool.map(unused, source_files((".c",))) for line in lines]
    tap.case("each C file uses what it includes", problems)
    tap.finish()


main()

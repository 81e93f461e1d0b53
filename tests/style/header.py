#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
The public header: compiles alone, by every standard and compiler at hand, has the layout of the
interface in the field (layout.c), and documents every function.
"""

import re
import shutil
import tempfile
from pathlib import Path

from tap import ROOT, Tap, problem_of, run

HEADER = ROOT / "core/include/blkio.h"
LAYOUT = Path(__file__).with_name("layout.c")
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", "-fsyntax-only",
          f"-I{HEADER.parent}"]
COMPILERS = {
    "gcc": ["c11", "gnu99", "gnu17"],
    "clang": ["c11", "gnu99", "gnu17"],
    "g++": ["c++11", "c++20"],
    "clang++": ["c++11", "c++20"],
}


def compile_alone(tap: Tap, folder: Path) -> None:
    for compiler, standards in COMPILERS.items():
        cpp = compiler.endswith("++")
        source = folder / ("alone.cc" if cpp else "alone.c")
        # twice: the include guard; a use: extern "C" and the types are really there
        source.write_text('#include "blkio.h"\n#include "blkio.h"\n'
                          "int use(struct blkio **b);\n"
                          'int use(struct blkio **b) { return blkio_create("null", b); }\n')
        for standard in standards:
            name = f"{compiler} -std={standard} -pedantic"
            if shutil.which(compiler):
                tap.case(name, problem_of(run([compiler, f"-std={standard}", *STRICT, source])))
            else:
                tap.skip(name, f"no {compiler} here")


def undocumented() -> list[str]:
    """
    A function is documented when a comment that opens with two stars stands above it, with only
    other prototypes in between.
    """
    problems, documented, inside = [], False, False
    comment_is_doc = False
    for number, line in enumerate(HEADER.read_text().splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("/*"):
            inside, comment_is_doc = True, stripped.startswith("/**")
        if inside:
            if "*/" in stripped:
                inside, documented = False, comment_is_doc
            continue
        function = re.search(r"\b(blkioq?_\w+)\s*\(", line)
        if function:
            if not documented:
                problems.append(f"blkio.h:{number}: {function[1]} has no comment")
        elif not re.match(r"\s+\w.*[;,]$", line):  # not the next line of a prototype
            documented = False
    return problems


def main() -> None:
    tap = Tap()
    with tempfile.TemporaryDirectory() as folder:
        compile_alone(tap, Path(folder))
    for compiler in ("gcc", "clang"):
        if shutil.which(compiler):
            tap.case(f"layouts and values, {compiler}",
                     problem_of(run([compiler, "-std=c11", *STRICT, LAYOUT])))
    tap.case("every function is documented", undocumented())
    tap.finish()


main()

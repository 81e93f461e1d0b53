#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
No circle of files in the library: by the #include lines of core/, drivers/ and engine/, and by the
functions and tables of other files that each object file of the build needs. Calls through
pointers, such as those of a driver's table, are not calls of a file.

usage: circles.py BUILD_FOLDER
"""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

from graph import circle
from tap import ROOT, Tap, run, source_files

FOLDERS = ("core", "drivers", "engine")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
# Where a name in quotes is looked for, beside the folder of the file.
PLACES = [ROOT / name for name in ("core", "core/include", "drivers", "engine")]


def own_files() -> list[Path]:
    return [path for path in source_files((".c", ".h"))
            if path.relative_to(ROOT).parts[0] in FOLDERS]


def includes() -> dict[str, set[str]]:
    found = defaultdict(set)
    for path in own_files():
        for name in INCLUDE.findall(path.read_text()):
            for place in (path.parent, *PLACES):
                if (place / name).is_file():
                    header = (place / name).resolve().relative_to(ROOT)
                    found[str(path.relative_to(ROOT))].add(str(header))
                    break
    return found


def objects(build: Path) -> dict[str, Path]:
    """Each source of the library, with an object that the build made of it."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = Path(entry["directory"], entry["file"]).resolve()
        made = Path(entry["directory"], entry["output"])
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in FOLDERS \
                and entry["output"].startswith(("libblkio.", "engine/")) and made.is_file():
            found[str(path.relative_to(ROOT))] = made
    return found


def calls(build: Path) -> dict[str, set[str]]:
    defines: dict[str, str] = {}
    needs = {}
    for source, made in objects(build).items():
        needs[source] = set()
        for line in run(["nm", "-P", made]).stdout.splitlines():
            name, kind = line.split()[:2]
            if kind in "Uvw":
                needs[source].add(name)
            elif kind.isupper():
                defines[name] = source
    return {source: {defines[name] for name in names if name in defines} - {source}
            for source, names in needs.items()}


def main() -> None:
    tap = Tap()
    included, called = includes(), calls(Path(sys.argv[1]))
    tap.case("the graphs are of these files",
             [] if "core/driver.h" in included["drivers/null.c"]
             and "core/backlog.c" in called.get("core/wait.c", ())
             else ["null.c is not seen to include driver.h, or wait.c to call backlog.c"])
    tap.case("no circle of includes", circle(included))
    tap.case("no circle of calls", circle(called))
    tap.finish()


main()

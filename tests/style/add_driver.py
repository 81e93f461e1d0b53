#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
Adding a driver takes one file and one line: done here with a copy of the null driver, in a copy of
the sources, and tried by a program that links the result.
"""

import re
import shutil
from pathlib import Path

from tap import ROOT, Tap, folder_for_programs, problem_of, run

NAME = "newcomer"
PROGRAM = f"""
#include <blkio.h>
int main(void)
{{
	struct blkio *b;
	return blkio_create("{NAME}", &b) || blkio_connect(b) || blkio_start(b);
}}
"""


def add_driver(tree: Path) -> None:
    """The one file and the one line."""
    source = (ROOT / "drivers/null.c").read_text()
    source = source.replace('"null"', f'"{NAME}"').replace("bk_driver_null", f"bk_driver_{NAME}")
    (tree / f"drivers/{NAME}.c").write_text(source)
    table = tree / "drivers/meson.build"
    line = f"  '{NAME}': files('{NAME}.c'),\n"
    table.write_text(re.sub(r"(  'null': .*\n)", rf"\1{line}", table.read_text(), count=1))


def main() -> None:
    tap = Tap()
    with folder_for_programs() as name:
        tree = Path(name, "tree")
        tree.mkdir()
        for part in ("meson.build", "meson_options.txt"):
            shutil.copy(ROOT / part, tree)
        for part in ("core", "drivers", "engine"):
            shutil.copytree(ROOT / part, tree / part)
        add_driver(tree)
        build = tree / "build"
        done = run(["meson", "setup", build, tree, "-Dfio=disabled", "-Dtests=false",
                    "-Dtools=false", "-Dwerror=true", "-Doptimization=0"])
        tap.case("configures", problem_of(done))
        done = run(["ninja", "-C", build])
        tap.case("builds", problem_of(done))
        program = tree / "program.c"
        program.write_text(PROGRAM)
        done = run(["cc", program, "-o", tree / "program", f"-I{tree}/core/include",
                    build / "libblkio.a", "-lpthread"])
        tap.case("links", problem_of(done))
        if done.returncode == 0:
            tap.case("the driver is there by its name", problem_of(run([tree / "program"])))
    tap.finish()


main()

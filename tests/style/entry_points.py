#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
Whatever a user starts works on a machine that has nothing: no entry point needs more than Python's
standard library before it has set the machine up, nor Python itself before it has installed that, and
whatever the set-up installs is in one list.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

from tap import ROOT, Tap, problem_of, run, source_files

PYTHON = shutil.which("/usr/bin/python3") or "python3"
SETUPLIB = ROOT / "scripts" / "setuplib"
HAND_OVER = re.compile(r"""^''''exec "\$\(dirname "\$\(readlink -f "\$0"\)"\)/(\S+)" "\$0" "\$@" #""",
                       re.M)
BENCH = ("compare", "gate", "show", "report", "history", "qualify", "vm", "qemu", "reproduce")
# What needs the standard library only, with its whole command line.
PLANNERS = (
    ("scripts/bench", "--dry-run", "--no-build"),
    ("scripts/bench", "--quick", "--dry-run"),
    ("scripts/bench", "--vm", "--dry-run"),
    ("scripts/bench", "qualify", "FILE", "--size", "64m", "--profile", "smoke", "--dry-run"),
    ("scripts/bench", "reproduce", "--list"),
)
# Where the programs are that a user starts.
FOLDERS = ("scripts", "tests/bench", "tests/diff", "tests/tools", "tests/vm", "tests/fresh")
PROGRAMS = ("apt-get install", "apt install")


def entry_points() -> list[Path]:
    """The executable files of FOLDERS that hand themselves over to Python."""
    found = [path for path in source_files(("",))
             if str(path.parent.relative_to(ROOT)) in FOLDERS and path.stat().st_mode & 0o100]
    return [path for path in found if HAND_OVER.search(path.read_text(errors="replace"))]


def bare(*words: str) -> list[str]:
    """A command in a Python that has its standard library only."""
    return [PYTHON, "-S", "-B", str(ROOT / words[0]), *words[1:]]


def commands() -> list[tuple[str, ...]]:
    names = [str(path.relative_to(ROOT)) for path in entry_points()]
    helps = [(name, "--help") for name in names]
    return [*helps, *(("scripts/bench", name, "--help") for name in BENCH), *PLANNERS]


def hand_over_to(path: Path) -> list[str]:
    """The program that an entry point starts must be there."""
    word = HAND_OVER.search(path.read_text())[1]
    program = path.parent / word
    return [] if program.resolve() == SETUPLIB / "python3" else [f"{path}: {program} is another"]


def need_python() -> list[str]:
    """Executable files of FOLDERS that a machine without Python cannot start."""
    return [f"{path.relative_to(ROOT)}: its first line needs Python; see scripts/setuplib/python3"
            for path in source_files(("",)) if path.stat().st_mode & 0o100
            and str(path.parent.relative_to(ROOT)) in FOLDERS
            and re.match(r"#!.*python", path.read_text(errors="replace"))]


def install_by_themselves() -> list[str]:
    """Files of scripts and tests with a list of packages of their own."""
    problems = []
    for path in source_files(("", ".sh", ".py")):
        where = str(path.relative_to(ROOT))
        if where.startswith(("scripts/", "tests/vm/", ".ci/")) and not where.startswith(
                "scripts/setuplib/") and any(p in path.read_text(errors="replace") for p in PROGRAMS):
            problems.append(f"{where} installs packages: that is for scripts/setuplib/packages.sh")
    return problems


def in_the_list(tap: Tap) -> None:
    """The list can be read, and each distribution has a name for each package."""
    rows = [line.split() for line in (SETUPLIB / "packages.list").read_text().splitlines()
            if line.strip() and not line.startswith("#")]
    tap.case("packages.list has a name for each distribution",
             [" ".join(row) for row in rows if len(row) != len(rows[0])])
    needs = {row[0] for row in rows[1:]}
    done = run([ROOT / "scripts" / "setup", "--help"])
    tap.case("scripts/setup knows each need",
             [need for need in needs - {"kernel"} if need not in done.stdout])


def without_python(tap: Tap) -> None:
    """Where there is no Python, an entry point says which package it lacks; here nothing installs."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("sh", "dirname", "readlink", "basename", "awk", "id", "fold", "cat"):
            (Path(folder) / name).symlink_to(shutil.which(name))
        text = (SETUPLIB / "python3").read_text().replace("/usr/bin/python3 ",
                                                          f"{folder}/no-python3 ")
        lib = Path(folder) / "setuplib"
        shutil.copytree(SETUPLIB, lib, ignore=shutil.ignore_patterns("__pycache__"))
        (lib / "python3").write_text(text)
        (lib / "packages.sh").write_text((lib / "packages.sh").read_text()
                                         + "\nis_installed() { return 1; }\n"
                                         + "can_be_root() { return 1; }\n")
        done = run(["sh", lib / "python3", "x"], env={"PATH": folder})
        missing = [] if "python3" in done.stdout and done.returncode == 1 else [done.stdout]
        tap.case("without Python it says what to install", missing)


def main() -> None:
    tap = Tap()
    found = entry_points()
    tap.case("there are entry points", [] if len(found) > 8 else [f"only {found}"])
    tap.case("none needs Python to start", need_python())
    tap.case("each hands itself over to scripts/setuplib/python3",
             [problem for path in found for problem in hand_over_to(path)])
    with tempfile.TemporaryDirectory(dir=os.getcwd()) as folder:
        for words in commands():
            done = run(bare(*words), cwd=folder)
            # a qualification may be refused here, which its preflight says with the plan
            planned = "qualify" in words and "Times and bytes suppose" in done.stdout
            tap.case(f"standard library only: {' '.join(words)}", [] if planned else problem_of(done))
    tap.case("packages are installed in one place", install_by_themselves())
    in_the_list(tap)
    without_python(tap)
    tap.finish()


main()

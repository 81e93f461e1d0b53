#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What every source file must be: licensed, formatted, not too long, free of local paths."""

import re
import shutil
from pathlib import Path

from tap import LICENSE, ROOT, Tap, problem_of, run, source_files

CODE = (".c", ".h", ".py", ".build", ".map", ".in", ".sh", ".fio", ".rs", ".toml")
MAX_LINES = 500
# The second line of a script in Python that begins as one of the shell: scripts/setuplib/python3.
HANDS_OVER = re.compile(rb"^''''exec ", re.M)
# Each version of clang-format has its own ways; this one's are ours.
CLANG_FORMAT = 14
LOCAL_PATH = re.compile(r"(?<![\w.])/(?:work|root|home)/[\w.]")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def is_script(path: Path) -> bool:
    with open(path, "rb") as f:
        return f.read(2) == b"#!"


def unlicensed(files: list[Path]) -> list[str]:
    return [relative(f) for f in files
            if LICENSE not in "".join(f.read_text(errors="replace").splitlines(True)[:5])]


def clang_format() -> str:
    """The program of the right version, or ""."""
    for name in (f"clang-format-{CLANG_FORMAT}", "clang-format"):
        if shutil.which(name) and f" version {CLANG_FORMAT}." in run([name, "--version"]).stdout:
            return name
    return ""


def badly_formatted(files: list[Path], program: str) -> list[str]:
    problems = []
    for f in files:
        done = run([program, "--dry-run", "--Werror", f], cwd=ROOT)
        if done.returncode:
            problems.append(f"{relative(f)}: run clang-format-{CLANG_FORMAT} -i on it")
    return problems


def trailing_blanks(files: list[Path]) -> list[str]:
    problems = []
    for f in files:
        for number, line in enumerate(f.read_text(errors="replace").splitlines(), 1):
            if line != line.rstrip():
                problems.append(f"{relative(f)}:{number}: blanks at the end of the line")
    return problems


def local_paths(files: list[Path]) -> list[str]:
    problems = []
    for f in files:
        for number, line in enumerate(f.read_text(errors="replace").splitlines(), 1):
            if LOCAL_PATH.search(line):
                problems.append(f"{relative(f)}:{number}: a path of one machine: {line.strip()}")
    return problems


def syntax_errors(files: list[Path]) -> list[str]:
    problems = []
    for f in files:
        done = run(["bash", "-n", f])
        problems += problem_of(done)
    return problems


def main() -> None:
    tap = Tap()
    everything = source_files(("*",))
    code = [f for f in everything if f.suffix in CODE or (not f.suffix and is_script(f))]
    c_files = [f for f in code if f.suffix in (".c", ".h")]
    shell = [f for f in code if is_script(f) and re.match(
        rb"#!.*\b(ba)?sh\b", f.read_bytes().split(b"\n", 1)[0])
        and not HANDS_OVER.search(f.read_bytes())]

    tap.case(f"SPDX line in each of {len(code)} files", unlicensed(code))
    tap.case("no blanks at line ends", trailing_blanks(code))
    tap.case("no paths of one machine", local_paths(code))
    tap.case("shell scripts parse", syntax_errors(shell))
    program = clang_format()
    if program:
        tap.case("formatted as .clang-format says", badly_formatted(c_files, program))
    else:
        tap.skip("formatted as .clang-format says",
                 f"no clang-format of version {CLANG_FORMAT}, which formats this code")
    for f in code:
        lines = f.read_text(errors="replace").count("\n")
        if lines > MAX_LINES:
            tap.note(f"warning: {relative(f)} has {lines} lines, more than {MAX_LINES}")
    tap.finish()


main()

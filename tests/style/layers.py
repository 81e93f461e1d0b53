#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
Which part may include which: the table of README.md's architecture section. Checked by reading the
#include lines, and by compiling what must not compile with the very flags of the build.

usage: layers.py BUILD_FOLDER
"""

import json
import re
import shlex
import sys
from pathlib import Path

from tap import ROOT, Tap, problem_of, run, source_files

INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.M)
FAMILIES = {"virtio", "nvme", "nvme_tcp", "uring", "vfio", "net", "file", "nbd", "iscsi"}
COMMON = "common"  # what every driver needs: includes the contract only
# Transports of a family that reach their device by way of another one.
COMBINATIONS = {("virtio", "vfio"), ("nvme", "vfio"), ("nvme", "uring"),
                ("nvme_tcp", "nvme"), ("nvme_tcp", "net"),
                ("file", "uring"), ("net", "uring"), ("nbd", "net"),
                ("iscsi", "net"), ("iscsi", "uring")}
CONTRACT = {"driver.h", "property.h", "request.h", "trace.h", "util.h", "waiting.h",
            "blkio.h"}


def own_headers() -> dict[str, str]:
    """Each header of the project by the names it can be included by, and the folder it is in."""
    found = {}
    for path in source_files((".h",)):
        where = path.relative_to(ROOT)
        if where.parts[0] in ("core", "drivers", "engine"):
            found[where.name] = str(where)
            found[str(Path(*where.parts[1:]))] = str(where)
    found["driver_list.h"] = "core/driver_list.h"  # generated
    return found


def family_of(header: str) -> str | None:
    """virtio for drivers/virtio/virtq.h; None for a header next to the drivers."""
    parts = Path(header).parts
    return parts[1] if parts[0] == "drivers" and len(parts) > 2 else None


def check_core(_path: Path, header: str) -> bool:
    return header.startswith("core/")


def check_engine(_path: Path, header: str) -> bool:
    return header == "core/include/blkio.h" or header.startswith("engine/")


def check_driver(path: Path, header: str) -> bool:
    mine, theirs = family_of(str(path)), family_of(header)
    if Path(header).name in CONTRACT and header.startswith("core/"):
        return True
    if not header.startswith("drivers/"):
        return False
    if mine is None and theirs is None:  # io_uring_file.c and io_uring_dev.h are one driver
        return path.stem.split("_")[:1] == Path(header).stem.split("_")[:1]
    return mine is None or theirs in (mine, COMMON) or (mine, theirs) in COMBINATIONS


def check_public_user(_path: Path, header: str) -> bool:
    return header == "core/include/blkio.h"


RULES = {
    "core": ("core includes core only", check_core),
    "drivers": ("a driver includes the contract and its family", check_driver),
    "engine": ("the engine includes blkio.h and fio only", check_engine),
    "tests/api": ("API tests include blkio.h only", check_public_user),
    "tests/diff": ("the probe includes blkio.h only", check_public_user),
    "tests/promises": ("promises are tested through blkio.h only", check_public_user),
    "tests/lib": ("the test harness includes blkio.h only", check_public_user),
    "tools": ("tools include blkio.h only", check_public_user),
    "examples": ("examples include blkio.h only", check_public_user),
}


def violations(folder: str, allowed, headers: dict[str, str]) -> list[str]:
    problems = []
    for path in source_files((".c", ".h")):
        where = path.relative_to(ROOT)
        if not str(where).startswith(folder + "/"):
            continue
        for name in INCLUDE.findall(path.read_text()):
            beside = (path.parent / name).resolve()
            if beside.is_file() and beside.is_relative_to(ROOT):
                header = str(beside.relative_to(ROOT))
            else:
                header = headers.get(name)
            # a system header, or one of the folder's own
            if header is None or header.startswith(("tests/", str(where.parent) + "/")):
                continue
            if not allowed(where, header):
                problems.append(f"{where} includes {header}")
    return problems


def families_per_driver() -> list[str]:
    """A driver with more than one family is two drivers."""
    problems = []
    for path in (ROOT / "drivers").glob("*.c"):
        used = {Path(name).parts[0] for name in INCLUDE.findall(path.read_text())
                if Path(name).parts[0] in FAMILIES}
        if len(used) > 1 and tuple(sorted(used)) not in {tuple(sorted(c)) for c in COMBINATIONS}:
            problems.append(f"{path.name} uses the families {', '.join(sorted(used))}")
    return problems


# ---- What must not compile ----------------------------------------------------------------------

def flags_of(commands: list[dict], source: str) -> list[str] | None:
    """The compiler and the include and define flags that a file of the build is compiled with."""
    for entry in commands:
        if str(Path(entry["directory"], entry["file"]).resolve()).endswith(source):
            words = [word for word in shlex.split(entry["command"]) if word != "ccache"]
            keep = [w for w in words[1:] if w.startswith(("-I", "-D", "-isystem", "-std"))]
            return [words[0].split("/")[-1], *keep]
    return None


def compiles(build: Path, flags: list[str], header: str):
    command = [*flags, "-fsyntax-only", "-include", header, "-x", "c", "/dev/null"]
    return run(command, cwd=build)


def private_headers_are_out_of_reach(tap: Tap, build: Path) -> None:
    commands = json.loads((build / "compile_commands.json").read_text())
    for source in ("tests/api/lifecycle.c", "engine/io.c"):
        flags = flags_of(commands, source)
        if flags is None:
            tap.skip(f"driver.h does not compile from {source}", "not part of this build")
            continue
        tap.case(f"blkio.h compiles from {source}", problem_of(compiles(build, flags, "blkio.h")))
        for private in ("driver.h", "core.h", "util.h", "io_uring_dev.h", "uring/ring.h"):
            done = compiles(build, flags, private)
            tap.case(f"{private} does not compile from {source}",
                     [] if done.returncode else [f"it does: {' '.join(done.args)}"])
    flags = flags_of(commands, "core/queue.c")
    done = compiles(build, flags, "uring/ring.h")
    if done.returncode == 0:
        tap.note("core is compiled with the include path of the drivers: only reading keeps it out")


def main() -> None:
    tap = Tap()
    headers = own_headers()
    for folder, (title, allowed) in RULES.items():
        if (ROOT / folder).is_dir():
            tap.case(title, violations(folder, allowed, headers))
    tap.case("one family per driver", families_per_driver())
    private_headers_are_out_of_reach(tap, Path(sys.argv[1]))
    tap.finish()


main()

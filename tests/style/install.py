#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
As an application's author meets the library: installed (into a scratch folder), found by pkg-config,
linked shared and static, and run in the presence of nothing else.

usage: install.py BUILD_FOLDER
"""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

from tap import Tap, folder_for_programs, problem_of, run

PROGRAM = Path(__file__).with_name("install_program.c")


class Installed:
    """The scratch installation."""

    def __init__(self, root: Path) -> None:
        self.root = root
        found = list(root.rglob("blkio.pc"))
        self.pc = found[0] if found else None
        self.env = {**os.environ, "PKG_CONFIG_SYSROOT_DIR": str(root)}
        if self.pc:
            self.env["PKG_CONFIG_LIBDIR"] = str(self.pc.parent)
            self.libdir = self.pc.parent.parent

    def flags(self, *options: str) -> list[str]:
        """What pkg-config says of blkio."""
        return shlex.split(run(["pkg-config", *options, "blkio"], env=self.env).stdout)


def files(tap: Tap, inst: Installed) -> None:
    names = sorted(str(p.relative_to(inst.libdir)) for p in inst.libdir.rglob("*") if not p.is_dir())
    for wanted in ("libblkio.so", "libblkio.so.1", "libblkio.so.1.5.0", "libblkio.a"):
        tap.case(f"{wanted} is installed", [] if wanted in names else [f"only {names}"])
    headers = list(inst.root.rglob("blkio.h"))
    tap.case("one header is installed",
             [] if len(headers) == 1 and not list(inst.root.rglob("driver.h")) else map(str, headers))
    text = inst.pc.read_text()
    tap.case("blkio.pc names no build folder", re.findall(r".*build.*", text))
    version = run(["pkg-config", "--modversion", "blkio"], env=inst.env).stdout.strip()
    tap.case("version is 1.5.0", [] if version == "1.5.0" else [version])


def shared(tap: Tap, inst: Installed, folder: Path, compiler: list[str]) -> None:
    program = folder / "shared"
    flags = inst.flags("--cflags", "--libs")
    # -z now: every symbol the library wants must be there without fio
    done = run([*compiler, PROGRAM, "-o", program, *flags, "-Wl,-z,now"])
    tap.case("links shared", problem_of(done))
    if done.returncode == 0:
        env = {**os.environ, "LD_LIBRARY_PATH": str(inst.libdir), "LD_BIND_NOW": "1"}
        tap.case("runs shared", problem_of(run([program], env=env)))


def static(tap: Tap, inst: Installed, folder: Path, compiler: list[str]) -> None:
    program = folder / "static"
    flags = inst.flags("--cflags", "--libs", "--static")
    done = run([*compiler, PROGRAM, "-o", program, "-static", *flags])
    tap.case("links static", problem_of(done))
    if done.returncode == 0:
        tap.case("runs static: no driver was dropped", problem_of(run([program])))


def tools(tap: Tap, inst: Installed, build: Path) -> None:
    """The programs with their manual pages and completion, where they are built."""
    for program in sorted(build.glob("tools/blkio-*")):
        name = program.name
        if not program.is_file():
            continue
        found = {str(p.relative_to(inst.root)).split("/", 2)[-1] for p in inst.root.rglob(f"{name}*")}
        wanted = {f"bin/{name}", f"share/man/man1/{name}.1",
                  f"share/bash-completion/completions/{name}"}
        tap.case(f"{name} is installed", [f"{w} is not" for w in wanted - found])
        env = {**os.environ, "LD_LIBRARY_PATH": str(inst.libdir)}
        installed = next(inst.root.rglob(f"bin/{name}"), program)
        tap.case(f"{name} runs", problem_of(run([installed, "--version"], env=env)))


def main() -> None:
    build = Path(sys.argv[1])
    tap = Tap()
    if not shutil.which("pkg-config"):
        tap.skip("installation", "no pkg-config: run scripts/setup")
        tap.finish()
    with folder_for_programs() as name:
        folder = Path(name)
        done = run(["meson", "install", "-C", build, "--no-rebuild", "--destdir", folder / "root"])
        tap.case("installs", problem_of(done))
        inst = Installed(folder / "root")
        if done.returncode or not inst.pc:
            tap.case("blkio.pc is installed", ["it is not"] if not inst.pc else [])
            tap.finish()
        files(tap, inst)
        tools(tap, inst, build)
        compiler = ["cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
        shared(tap, inst, folder, compiler)
        static(tap, inst, folder, compiler)
    tap.finish()


main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
The Debian packages: they build, lintian has nothing to say, and a fresh Debian 12, made for this and
thrown away, can install and use them. The fio of Debian 13 takes the same library for its engine.

usage: packages.py FOLDER
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "style"), str(HERE.parent / "diff")]

from lib.root import Unreachable, make_root  # noqa: E402
from tap import ROOT, Tap, problem_of, run  # noqa: E402

NEEDED = ("dpkg-buildpackage", "dh", "lintian", "mmdebstrap")
RELEASE = "bookworm"
IN_ROOT = "fio,gcc,libc6-dev,pkgconf"
CASE = re.compile(r"^(not )?ok - (.*)")


def build(tap: Tap, folder: Path) -> bool:
    done = run([ROOT / "scripts" / "package", "--no-setup", "--output", folder])
    tap.case("scripts/package builds them", problem_of(done))
    names = sorted(deb.name.split("_")[0] for deb in folder.glob("*.deb") if "dbgsym" not in deb.name)
    wanted = ["libblkio-dev", "libblkio-tools", "libblkio1", "librust-blkio-dev"]
    tap.case("all four are there", [] if names == wanted else [f"{names}"])
    return names == wanted


def lint(tap: Tap, folder: Path) -> None:
    done = run(["lintian", "--fail-on=error,warning", *folder.glob("*.changes")])
    tap.case("lintian has nothing to say", problem_of(done))


def archive() -> str:
    """Where this machine's own packages come from."""
    library = ROOT / "scripts" / "setuplib" / "archive.sh"
    return run(["bash", "-c", f'. "{library}" && archive']).stdout.strip()


def fresh_debian(tap: Tap, folder: Path) -> None:
    """All cases of in_fresh_debian, run while the root file system exists."""
    debs = [deb for deb in folder.glob("*.deb") if "dbgsym" not in deb.name]
    copied = [*debs, HERE / "in_fresh_debian", ROOT / "tests" / "style" / "install_program.c"]
    done = run(["mmdebstrap", "--variant=apt", "--format=null", f"--include={IN_ROOT}",
                '--customize-hook=mkdir "$1/packages"',
                f"--customize-hook=copy-in {' '.join(map(str, copied))} /packages",
                '--customize-hook=chroot "$1" sh -c "apt-get -qy install /packages/*.deb"',
                '--customize-hook=chroot "$1" /packages/in_fresh_debian', RELEASE, "-", archive()])
    lines = done.stdout.splitlines()
    found = [(i, match) for i, match in enumerate(map(CASE.match, lines)) if match]
    tap.case("a fresh Debian 12 installs them", problem_of(done) if not found else [])
    for i, match in found:
        said = [line for line in lines[i + 1:i + 30] if line.startswith("# ")]
        tap.case(match[2], (said or ["no words"]) if match[1] else [])


def debian_13(tap: Tap, folder: Path) -> None:
    """The library of the package in Debian 13's fio, if its source could be had for the build."""
    case = "Debian 13's fio runs the same library"
    try:
        make_root()
    except Unreachable as reason:
        tap.skip(case, str(reason))
        return
    fio = [ROOT / "tests" / "diff" / "run-in-root", "fio"]
    version = run([*fio, "--version"]).stdout.strip()
    if not (ROOT / ".deps" / version).exists():
        tap.skip(case, f"scripts/setup --fio-versions could not get the source of {version}")
        return
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        for deb in folder.glob("libblkio1_*.deb"):
            run(["dpkg-deb", "-x", deb, scratch])
        library = next(Path(scratch).rglob("libblkio.so.1"))
        done = run([*fio, "--name=t", f"--ioengine=external:{library}", "--filename=data",
                    "--rw=randwrite", "--bs=4k", "--iodepth=8", "--verify=crc32c", "--size=1m"],
                   cwd=scratch)
        tap.case(case, problem_of(done))


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    tap = Tap()
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        print(f"1..0 # SKIP {', '.join(missing)} missing: scripts/setup --packaging")
        return
    if build(tap, folder):
        lint(tap, folder)
        fresh_debian(tap, folder)
        debian_13(tap, folder)
    tap.finish()


main()

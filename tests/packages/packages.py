#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
The Debian packages: they build, lintian has nothing to say, and a fresh Debian 12, made for this and
thrown away, can install and use them.

usage: packages.py FOLDER
"""

import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "style"))

from tap import ROOT, Tap, problem_of, run  # noqa: E402

NEEDED = ("dpkg-buildpackage", "dh", "lintian", "mmdebstrap")
RELEASE = "bookworm"
IN_ROOT = "fio,gcc,libc6-dev,pkgconf"
CASE = re.compile(r"^(not )?ok - (.*)")


def build(tap: Tap, folder: Path) -> bool:
    done = run([ROOT / "scripts" / "package", "--no-setup", "--output", folder])
    tap.case("scripts/package builds them", problem_of(done))
    names = sorted(deb.name.split("_")[0] for deb in folder.glob("*.deb") if "dbgsym" not in deb.name)
    wanted = ["libblkio-dev", "libblkio-tools", "libblkio1"]
    tap.case("all three are there", [] if names == wanted else [f"{names}"])
    return names == wanted


def lint(tap: Tap, folder: Path) -> None:
    done = run(["lintian", "--fail-on=error,warning", *folder.glob("*.changes")])
    tap.case("lintian has nothing to say", problem_of(done))


def archive() -> str:
    """Where this machine's own packages come from."""
    library = ROOT / "tests" / "diff" / "lib" / "apt.sh"
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
    tap.finish()


main()

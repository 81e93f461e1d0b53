# SPDX-License-Identifier: MIT OR Apache-2.0
"""Minimal Debian roots, made once by mmdebstrap and kept in .deps/fresh."""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Iterable
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[3]
FRESH = ROOT / ".deps" / "fresh"
RELEASES = {"bookworm": "Debian 12", "trixie": "Debian 13", "unstable": "Debian unstable"}

_FAILED = re.compile(r"Failed to fetch (http\S+)")

# A copy is thrown away: it needs no care for a power cut.
_HOOK = 'echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/throw-away"'


class CannotMake(Exception):
    """This machine cannot make a fresh machine; the text says why."""


def check() -> None:
    """Raise CannotMake where this machine cannot have another one inside."""
    if os.geteuid() != 0:
        raise CannotMake("making and entering a fresh Debian needs root")
    for program in ("mmdebstrap", "unshare", "setpriv", "git"):
        if not shutil.which(program):
            raise CannotMake(f"there is no {program}: scripts/setup --packaging")
    done = subprocess.run(["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "sh", "-c",
                           "mount --make-rprivate / && mount -t tmpfs tmpfs /mnt"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotMake(f"no namespaces or no mounts here: {done.stderr.strip()}")


def archive() -> str:
    """Where this machine's own packages come from."""
    library = ROOT / "scripts" / "setuplib" / "archive.sh"
    done = subprocess.run(["bash", "-c", f'. "{library}" && archive'], stdout=subprocess.PIPE,
                          text=True, check=False)
    if not done.stdout.strip():
        raise CannotMake("apt is configured with no archive of Debian")
    return done.stdout.strip()


def unreachable(release: str) -> str:
    """Why the archive of a release cannot be reached; nothing when it can."""
    why = _refused(f"{archive().rstrip('/')}/dists/{release}/Release")
    return f"the archive of {release} cannot be reached: {why}" if why else ""


def refused(said: str) -> str:
    """What apt could not fetch in the copy, if this machine cannot fetch it either; else nothing."""
    for url in dict.fromkeys(_FAILED.findall(said)):
        why = _refused(url)
        if why:
            return f"the network has no {url.rsplit('/', 1)[1]}: {why}"
    return ""


def _refused(url: str) -> str:
    try:
        with urlopen(url, timeout=30):
            return ""
    except (URLError, OSError) as error:
        return str(error)


def root(release: str, packages: Iterable[str] = (), refresh: bool = False) -> Path:
    """The folder of a root with apt, these packages and what they need; made where it is missing."""
    names = sorted(packages)
    place = FRESH / "roots" / "-".join([release, *names])
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{place}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.is_dir() and not refresh:
            return place
        with tempfile.TemporaryDirectory(prefix="making-", dir=place.parent) as work:
            made = Path(work) / "root"
            done = subprocess.run(
                ["mmdebstrap", "--quiet", "--variant=apt", *(f"--include={name}" for name in names),
                 f"--customize-hook={_HOOK}", release, made, archive()],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, check=False)
            if done.returncode:
                errors = [line for line in done.stdout.splitlines() if line.startswith("E: ")]
                why = unreachable(release) or "; ".join(errors) or done.stdout[-400:]
                raise CannotMake(f"{release} cannot be made: {why}")
            shutil.rmtree(place, ignore_errors=True)
            made.rename(place)
    return place

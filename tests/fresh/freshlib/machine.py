# SPDX-License-Identifier: MIT OR Apache-2.0
"""A throw-away copy of a root with a checkout of this project in it, and running commands there."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable

from . import roots
from .roots import FRESH, ROOT

HERE = Path(__file__).resolve().parents[1]
USER = "someone"
_NEEDED = {"root": (), "sudo": ("passwd", "sudo"), "plain": ("passwd",)}
USERS = tuple(_NEEDED)
TIMED_OUT = 124
_COPIES = FRESH / "copies"
_DEBS = Path("var/cache/apt/archives")
_PATH = "/usr/local/bin:/usr/bin:/bin"
_ROOT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_running: set[subprocess.Popen] = set()
_stopped = False


def stop() -> None:
    """End every command that runs in a copy; none starts any more."""
    global _stopped
    _stopped = True
    for process in list(_running):
        process.kill()


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it said."""

    status: int
    output: str


class Machine:
    """Use with `with`: at the end nothing is left of the copy but the packages it downloaded."""

    def __init__(self, release: str, packages: Iterable[str] = (), user: str = "root") -> None:
        self.release, self.user = release, user
        self.root = roots.root(release, [*packages, *_NEEDED[user]])
        _COPIES.mkdir(parents=True, exist_ok=True)
        with open(FRESH / "copies.lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            sweep()
            self.folder = Path(tempfile.mkdtemp(prefix=f"{release}-", dir=_COPIES))
            self._lock = _hold(self.folder)
        self.upper = self.folder / "upper"
        home = Path("/root" if user == "root" else f"/home/{USER}")
        # A name of its own, by which loop devices can be told from the host's.
        self.checkout = home / self.folder.name / "libblkio"

    def __enter__(self) -> "Machine":
        try:
            for name in ("upper", "work", "root"):
                (self.folder / name).mkdir()
            if not _overlay_works(self):
                (self.folder / "work").rmdir()
                _command(["cp", "-a", "--reflink=auto", f"{self.root}/.", self.folder / "root"])
                self.upper = self.folder / "root"
            self._furnish()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _furnish(self) -> None:
        """The user, the way to the network, the packages that other copies downloaded, the checkout."""
        etc = self.upper / "etc"
        etc.mkdir(exist_ok=True)
        shutil.copy("/etc/resolv.conf", etc / "resolv.conf")
        (etc / "hosts").write_text("127.0.0.1 localhost fresh\n")
        (etc / "hostname").write_text("fresh\n")
        if not os.path.lexists(self.root / "etc/mtab"):
            (etc / "mtab").symlink_to("../proc/self/mounts")
        debs = self.upper / _DEBS
        debs.mkdir(parents=True, exist_ok=True)
        for deb in self._shared().glob("*.deb"):
            os.link(deb, debs / deb.name)
        inside = self.upper / self.checkout.relative_to("/")
        inside.parent.mkdir(parents=True)
        copy_checkout(inside)
        if self.user == "root":
            (self.upper / "root").chmod(0o700)
            return
        self._furnish_user()

    def _furnish_user(self) -> None:
        made = self.run(["useradd", "--shell", "/bin/bash", "--create-home", USER], "root",
                        directory="/")
        if made.status:
            raise roots.CannotMake(f"no user can be made: {made.output}")
        if self.user == "sudo":
            rule = self.upper / "etc/sudoers.d/someone"
            rule.parent.mkdir(parents=True, exist_ok=True)
            rule.write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
        made = self.run(["chown", "-R", f"{USER}:", f"/home/{USER}"], "root", directory="/")
        if made.status:
            raise roots.CannotMake(made.output)

    def run(self, command: list[str], user: str = "", network: bool = True, timeout: float = 1800,
            directory: str = "", capture: bool = True) -> Outcome:
        """Run a command in the checkout, as root or the copy's user. All it starts ends with it."""
        if _stopped:
            raise roots.CannotMake("stopped")
        user = user or self.user
        name, home, path = ("root", "/root", _ROOT_PATH) if user == "root" else \
            (USER, f"/home/{USER}", _PATH)
        lower = "" if self.upper == self.folder / "root" else str(self.root)
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--uts", "--ipc",
             *([] if network else ["--net"]), "--fork", "--kill-child", HERE / "enter",
             self.folder, lower, directory or self.checkout, name,
             "env", "-i", f"HOME={home}", f"USER={name}", f"LOGNAME={name}", f"PATH={path}",
             "TERM=dumb", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if capture else None,
            stderr=subprocess.STDOUT if capture else None, text=True, errors="replace",
            start_new_session=True)
        _running.add(process)
        try:
            output, _ = process.communicate(timeout=timeout)
            return Outcome(process.returncode, output or "")
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            return Outcome(TIMED_OUT, f"{output or ''}\nstopped after {timeout:.0f} seconds")
        finally:
            process.kill()
            process.wait()
            _running.discard(process)

    def _shared(self) -> Path:
        place = FRESH / "archives" / self.release
        place.mkdir(parents=True, exist_ok=True)
        return place

    def close(self) -> None:
        """Keep what was downloaded, and remove the rest."""
        for deb in (self.upper / _DEBS).glob("*.deb"):
            if not (self._shared() / deb.name).exists():
                os.link(deb, self._shared() / deb.name)
        _remove(self.folder)
        os.close(self._lock)


def copy_checkout(place: Path) -> None:
    """A clone of this tree as it is now; what is not committed yet is committed there."""
    here = str(ROOT)
    safe = ["-c", f"safe.directory={here}", "-c", f"safe.directory={here}/.git"]
    _command(["git", *safe, "clone", "--quiet", "--no-hardlinks", here, place])
    files = _command(["git", *safe, "-C", here, "ls-files", "-z", "--cached", "--others",
                      "--exclude-standard"]).split("\0")
    for name in _command(["git", "-C", place, "ls-files", "-z"]).split("\0"):
        if name and not os.path.lexists(ROOT / name):
            (place / name).unlink()
    there = "\0".join(name for name in files if name and os.path.lexists(ROOT / name))
    subprocess.run(["tar", "-C", here, "--null", "-T", "-", "-cf", f"{place}.tar"],
                   input=there, text=True, check=True)
    _command(["tar", "-C", place, "--no-same-owner", "-xf", f"{place}.tar"])
    Path(f"{place}.tar").unlink()
    _command(["git", "-C", place, "add", "--all"])
    _command(["git", "-C", place, "-c", "user.name=fresh", "-c", "user.email=fresh@localhost",
              "commit", "--quiet", "--allow-empty", "-m", "tests/fresh: the tree as it is"])


def sweep() -> None:
    """Remove what a killed run left."""
    for folder in _COPIES.iterdir():
        try:
            lock = _hold(folder)
        except BlockingIOError:
            continue  # in use
        _remove(folder)
        os.close(lock)


def _hold(folder: Path) -> int:
    """Lock a copy for as long as this process lives; the descriptor."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _remove(folder: Path) -> None:
    """Remove a copy, and the loop devices that were left attached to its files."""
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        if folder.name in backing.read_text(errors="replace"):
            subprocess.run(["losetup", "-d", f"/dev/{backing.parts[3]}"], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _overlay_works(machine: Machine) -> bool:
    done = subprocess.run(["unshare", "--mount", HERE / "enter", "--try", machine.folder,
                           machine.root], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == 0


def _command(words: list) -> str:
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise roots.CannotMake(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout

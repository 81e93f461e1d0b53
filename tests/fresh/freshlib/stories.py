# SPDX-License-Identifier: MIT OR Apache-2.0
"""What is tried on fresh machines: each story is a machine of its own, and what somebody does there,
one command after the other. STORIES are for every run of the tests, MORE for --all."""

import re
from dataclasses import dataclass
from typing import Callable

OK = (0,)
VERDICTS = (0, 10, 11, 12, 13)  # of scripts/bench gate: measured, whatever came of it
# What a user without sudo is told to have run.
_REMEDY = re.compile(r"^  (apt-get update && apt-get install .*)$", re.M)


@dataclass(frozen=True)
class Step:
    """A command line of shell, the exit statuses that are right, and what it must say."""

    line: str
    title: str = ""
    user: str = ""  # the story's
    network: bool = True
    status: tuple[int, ...] = OK
    says: str = ""  # a regular expression
    skip: str = ""  # why it is not tried
    needed: bool = False  # by those after it: fresh.py --only keeps it
    # Makes the line of what the command before said.
    line_of: Callable[[str], str] | None = None

    @property
    def name(self) -> str:
        return self.title or self.line

    def matches(self, output: str) -> bool:
        """Whether the output is what it must say."""
        return re.search(self.says, output) is not None


@dataclass(frozen=True)
class Story:
    name: str
    release: str
    steps: tuple[Step, ...]
    packages: tuple[str, ...] = ()  # that the machine has besides apt
    user: str = "root"


def remedy(said: str) -> str:
    """The command for an administrator in what scripts/setup said."""
    found = _REMEDY.search(said)
    return found[1] if found else "echo scripts/setup named no command; exit 1"


_INSTALL = ("apt-get install -y --no-install-recommends ./build-packages/*.deb && "
            "fio --name=t --ioengine=libblkio.so --libblkio_driver=null --size=1m --rw=read && "
            "blkio-info null && blkio-bench --time 0.1 null")

# Where else a source tree may lie.
_PLACES = (
    Step("git clone --quiet . '/tmp/a tree' && cp -a .deps '/tmp/a tree' && cd '/tmp/a tree' && "
         "chown -R 12345 . && scripts/package",
         title="scripts/package in another user's checkout, in a path with a space"),
    Step(f"cd '/tmp/a tree' && {_INSTALL}", title="the packages install and work"),
    Step("mkdir /tmp/tar && git archive HEAD | tar -x -C /tmp/tar && cp -a .deps /tmp/tar && "
         "cd /tmp/tar && git init --quiet /tmp && git -C /tmp -c user.name=a -c user.email=a@b "
         "commit --quiet --allow-empty -m a && scripts/package", status=(1,),
         says="not a git repository", title="scripts/package in a tree without git, inside a repository"),
    Step("cd /tmp/tar && scripts/bench gate", status=(2,), says="not a git repository",
         title="scripts/bench gate there"),
    Step("mount --bind . /mnt && mount -o remount,bind,ro /mnt && cd /mnt && scripts/setup",
         status=(1,), says="cannot write", title="scripts/setup on a read-only file system"),
)

STORIES = (
    Story("root, nothing but apt", "bookworm", (
        Step("scripts/bench --quick", says="Result|results/"),
        Step("python3 tests/fresh/freshlib/listed.py", title="what is needed is in packages.list"),
        Step("scripts/bench gate --effect 20 --budget 1 --depth 1", status=VERDICTS),
        Step("scripts/test --build gcc --suite unit"),
        *_PLACES,
    )),
    Story("a user with sudo, python3 and git", "bookworm", (
        Step("scripts/bench --quick --rounds 2 --runtime 0.1", says="Result|results/"),
    ), packages=("python3", "git"), user="sudo"),
    Story("no network, python3", "bookworm", (
        Step("scripts/bench --dry-run", network=False),
        Step("scripts/bench --vm --dry-run", network=False),
        Step("scripts/bench qualify disk.img --size 64m --profile smoke --dry-run", network=False,
             status=(0, 2), says="Times and bytes suppose"),
        Step("scripts/fuzz --help", network=False),
        Step("scripts/bench --quick", network=False, status=(1,), says="archive reachable"),
    ), packages=("python3",)),
    Story("an administrator and a user", "trixie", (
        Step("scripts/setup", status=(1,), says="apt-get install"),
        Step("", title="what it tells the administrator", user="root", line_of=remedy),
        Step("scripts/setup", title="then scripts/setup"),
        Step("meson setup build -Dwerror=true && ninja -C build"),
        Step("meson test -C build --no-rebuild --print-errorlogs --suite unit", user="root"),
    ), packages=("python3",), user="plain"),
)

_VM = (
    Step("scripts/setup --vm"),
    Step("tests/vm/run uname -r"),
)
_ENTRY_POINTS = (
    "scripts/bench --vm null_blk --quick", "scripts/bench gate --count --effect 20",
    "scripts/bench reproduce --quick nvme", "scripts/fuzz virtio --seconds 1", "scripts/package",
    "scripts/test --fast", "scripts/bench qualify disk.img --size 64m --profile smoke",
)

MORE = (
    Story("a user with sudo, the test VM", "bookworm", _VM, user="sudo"),
    Story("root, the test VM", "trixie", _VM),
    Story("root, what will be the next Debian", "unstable", (
        Step("scripts/setup --all"),
        Step("meson setup build && ninja -C build"),
        Step("meson test -C build --no-rebuild --suite unit"),
    )),
    *(Story(f"{user}, only {line}", release, (
        Step(line, status=VERDICTS if "gate" in line else (0, 2, 3) if "qualify" in line else OK),),
        user=user)
      for line in _ENTRY_POINTS for release in ("bookworm", "trixie") for user in ("root", "sudo")),
)

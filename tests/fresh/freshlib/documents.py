# SPDX-License-Identifier: MIT OR Apache-2.0
"""The commands in README.md and the other documents, taken from their text, as stories: a new line in
a document is a new test. What the text leaves open, such as the name of a device, is filled in here."""

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from .roots import ROOT
from .stories import OK, VERDICTS, Step, Story

# Programs that come from packages or from an installed build.
_TOOLS = ("meson", "ninja", "fio", "cd", "blkio-info", "blkio-copy", "blkio-bench")

_DISK = ("truncate -s 256m disk.img && DISK=$(losetup --find --show disk.img) && "
         "trap 'losetup -d $DISK' EXIT && ")
_SERVER = ("truncate -s 64m served.img && qemu-storage-daemon --blockdev "
           "driver=file,node-name=f,filename=served.img --export type=vhost-user-blk,id=e,"
           "node-name=f,addr.type=unix,addr.path=served.sock,writable=on & trap 'kill $!' EXIT; "
           "until [ -S served.sock ]; do sleep 0.1; done; ")
_INSTALLED = "{ [ -x /usr/local/bin/blkio-info ] || { meson install -C build && ldconfig; }; } && "

# What stands in a document for something of the reader's: a pattern, what it is here, and what must
# come before the command for that.
_FILL = (
    (r"/dev/nvme[01]n1|/dev/loop0", "$DISK", _DISK),
    (r"/run/vhost\.sock", "served.sock", _SERVER),
    (r"^(?=blkio-)", "", _INSTALLED),
    (r"\./libblkio\.so", "$PWD/build/libblkio.so", ""),
    (r"^scripts/analyze$", "scripts/analyze build", ""),
    (r"origin/main", "HEAD", ""),
    (r"results/A results/B", "results/reference results/reference", ""),
    (r"\.\./other/build", "build", ""),
    (r"/mnt/disk/try", "try", ""),
    (r"build/tests/some-test", "build/tests/unit/unit_virtq", ""),
)
_LEFT_OUT = (
    (r"^scripts/test$", "the run that this one belongs to"),
    (r"SERIAL", "destroys what is on a device with a serial number"),
    (r"db\.example", "needs a PostgreSQL server of the reader's"),
    (r"--hosts", "needs other machines"),
    (r"--shell", "waits for somebody at a keyboard"),
    (r"\.\.\.|\[--", "a pattern of commands, not one"),
)
_STATUS = ((r"scripts/bench gate", VERDICTS), (r"scripts/bench qualify", (0, 2, 3)))

# What the documents take for granted: that the first page was followed.
_BUILD = Step("scripts/setup && meson setup build && ninja -C build", needed=True)


@dataclass(frozen=True)
class Found:
    """A command and where it stands."""

    document: str
    line: int
    text: str


def documents() -> list[Path]:
    """The pages that have commands."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")),
            *sorted((ROOT / "results").glob("*.md")), ROOT / "tests" / "vm" / "README.md"]


def _is_command(text: str) -> bool:
    word = text.split()[0] if text.split() else ""
    return word in _TOOLS or "/" in word and os.access(ROOT / word, os.X_OK) and \
        (ROOT / word).is_file()


def _blocks(path: Path) -> Iterator[list[tuple[int, str]]]:
    """The fenced blocks that name no language, the indented ones, and a table's first cells."""
    fence, language, block = False, "", []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if text.startswith("```"):
            if fence and not language:
                yield block
            fence, language, block = not fence, text[3:].strip(), []
        elif fence:
            block.append((number, text))
        elif text.startswith("    "):
            block.append((number, text[4:]))
        else:
            if block:
                yield block
            block = []
            for cell in re.findall(r"^\| `(scripts/[^`]*)` \|", text):
                yield [(number, cell)]


def _lines(block: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Without comments, and with the lines joined that a backslash continues."""
    begun, so_far = 0, ""
    for number, text in block:
        begun = begun or number
        so_far += re.sub(r"\s+# .*", "", text).strip()
        if so_far.endswith("\\"):
            so_far = so_far[:-1]
            continue
        if so_far:
            yield begun, so_far
        begun, so_far = 0, ""


def commands(path: Path) -> list[Found]:
    """The commands of a page. A block that begins with one has nothing else."""
    found = []
    for block in _blocks(path):
        lines = list(_lines(block))
        if lines and _is_command(lines[0][1]):
            found += [Found(str(path.relative_to(ROOT)), *line) for line in lines]
    return found


def step(found: Found) -> Step:
    """How to try a command here."""
    text, before = found.text, ""
    where = f"{found.document}:{found.line}: {found.text}"
    if not _is_command(text):
        return Step("exit 1", f"{where} (begins with no program of this project, and none that "
                    "documents.py knows)")
    for pattern, reason in _LEFT_OUT:
        if re.search(pattern, text):
            return Step("", where, skip=reason)
    for pattern, here, first in _FILL:
        if re.search(pattern, text):
            text, before = re.sub(pattern, here, text), before + first
    status = next((codes for pattern, codes in _STATUS if re.search(pattern, text)), OK)
    return Step(f"exec 2>&1; {before}{text}", where, status=status)


def stories() -> list[Story]:
    """A machine for each page; and for each of README.md's scripts two of its own, with nothing."""
    told = []
    for path in documents():
        steps = tuple(map(step, commands(path)))
        if steps:
            name = str(path.relative_to(ROOT))
            told.append(Story(f"what {name} says", "bookworm", (_BUILD, *steps), ("git",)))
    scripts = [step(found) for found in commands(ROOT / "README.md")
               if shlex.split(found.text)[0].startswith("scripts/")]
    for one in scripts:
        for user in ("root", "sudo"):
            told.append(Story(f"{user}, only {one.name}", "bookworm", (one,), ("git",), user))
    return told

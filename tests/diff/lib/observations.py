# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the probe saw of a library, as a dictionary, and where two of them differ."""

import ctypes
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

ABSENT = "(nothing)"
RUN_SECONDS = 900


class ProbeFailed(Exception):
    """The probe itself did not work."""


@dataclass(frozen=True)
class Difference:
    """One observation that two libraries do not share."""

    where: str  # "group/step: what"
    theirs: str
    ours: str

    def __str__(self) -> str:
        return f"{self.where}: 1.5 {self.theirs}, here {self.ours}"

    def row(self, target: str) -> str:
        """For the table, but for the reason."""
        cells = (self.where, self.theirs, self.ours)
        escaped = (f"`{cell}`".replace("|", "\\|") for cell in cells)
        return f"| {target} | {' | '.join(escaped)} | ? |"


def has_driver(library: Path, driver: str) -> bool:
    """Whether the library was built with it."""
    loaded = ctypes.CDLL(str(library))
    instance = ctypes.c_void_p()
    found = loaded.blkio_create(driver.encode(), ctypes.byref(instance)) == 0
    loaded.blkio_destroy(ctypes.byref(instance))
    return found


def parse(output: str) -> dict[str, str]:
    """Observations by place; what is seen several times at one place is numbered."""
    seen: dict[str, str] = {}
    for line in output.splitlines():
        where, separator, value = line.rpartition(" = ")
        if not separator:
            raise ProbeFailed(f"the probe printed: {line}")
        name, number = where, 1
        while name in seen:
            number += 1
            name = f"{where} #{number}"
        seen[name] = value
    return seen


def probe(program: Path, library: Path, device: list[str], groups: list[str]) -> dict[str, str]:
    """Run the probe with a library, on a device."""
    with tempfile.TemporaryDirectory(prefix="diff-") as folder:
        # a folder with this library alone: the programs' other libraries are the system's
        (Path(folder) / "libblkio.so.1").symlink_to(library.resolve())
        done = subprocess.run(
            [program, "--library", library, *device, *groups],
            env={**os.environ, "LD_LIBRARY_PATH": folder}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", timeout=RUN_SECONDS, check=False)
    if done.returncode or done.stderr:
        raise ProbeFailed(f"the probe ended with {done.returncode}: {done.stderr}")
    return parse(done.stdout)


def differences(theirs: dict[str, str], ours: dict[str, str]) -> list[Difference]:
    """In the order of ours, then what only the other had."""
    places = [*ours, *(where for where in theirs if where not in ours)]
    pairs = ((w, theirs.get(w, ABSENT), ours.get(w, ABSENT)) for w in places)
    return [Difference(*pair) for pair in pairs if pair[1] != pair[2]]

# SPDX-License-Identifier: MIT OR Apache-2.0
"""Build folders: one with the fuzzers and sanitizers, one that measures coverage."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FUZZ = ROOT / "tests" / "fuzz"

# Also what scripts/test builds.
FUZZ_OPTIONS = ("-Dfuzzers=true", "-Dfio=disabled", "-Dtools=false", "-Dbuildtype=debugoptimized",
                "-Db_sanitize=address,undefined", "-Db_lundef=false")
COVERAGE_FLAGS = "-fprofile-instr-generate -fcoverage-mapping"
COVERAGE_OPTIONS = ("-Dfio=disabled", "-Dtools=false", "-Dbuildtype=debug", "-Db_lundef=false",
                    f"-Dc_args={COVERAGE_FLAGS}", f"-Dc_link_args={COVERAGE_FLAGS}")


class FuzzError(Exception):
    """What to tell the user."""


@dataclass(frozen=True)
class Build:
    """A build folder."""

    folder: Path
    options: tuple[str, ...]

    def make(self, programs: list[str], jobs: int) -> None:
        """Configure where needed, and build these programs of tests/fuzz."""
        if not (self.folder / "build.ninja").exists():
            _run(["meson", "setup", str(self.folder), *self.options])
        _run(["ninja", "-C", str(self.folder), f"-j{jobs}",
              *(f"tests/fuzz/{name}" for name in programs)])

    def program(self, name: str) -> Path:
        """The path of a program of tests/fuzz."""
        return self.folder / "tests" / "fuzz" / name


def _run(command: list[str]) -> None:
    # Programs that meson tries the compiler with would leave profiles behind.
    env = {**os.environ, "CC": "clang", "LLVM_PROFILE_FILE": os.devnull}
    done = subprocess.run(command, cwd=ROOT, env=env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode:
        raise FuzzError(f"$ {' '.join(command)}\n{done.stdout[-4000:]}")


def names() -> list[str]:
    """The fuzzers there are: each is a file of tests/fuzz."""
    return sorted(f.stem for f in FUZZ.glob("*.c"))


def inputs(name: str) -> list[Path]:
    """The folders of committed inputs that a fuzzer has."""
    folders = (FUZZ / "corpus" / name, FUZZ / "regressions" / name)
    return [f for f in folders if f.is_dir()]

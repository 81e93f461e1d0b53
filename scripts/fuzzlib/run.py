# SPDX-License-Identifier: MIT OR Apache-2.0
"""Running a fuzzer: what it did, what it found, and making that small."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .build import ROOT, Build, inputs

LEN_MAX = 1024
SECONDS_PER_INPUT = 20
MINIMIZE_SECONDS = 20

ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}

_STAT = re.compile(r"^stat::(\w+):\s+(\d+)", re.M)
_COVERAGE = re.compile(r"\bcov: (\d+) ")
_WRITTEN = re.compile(r"Test unit written to (\S+)")


@dataclass(frozen=True)
class Outcome:
    """Of one fuzzer."""

    name: str
    executions: int
    per_second: int
    edges: int
    new_inputs: int
    found: list[Path]
    output: str

    @property
    def passed(self) -> bool:
        """It ran, and found nothing."""
        return not self.found and self.executions > 0

    def line(self) -> str:
        """One line for people."""
        end = f"FOUND {len(self.found)}" if self.found else "nothing found"
        if not self.executions:
            end = "DID NOT RUN"
        return (f"{self.name}: {self.executions} executions, {self.per_second}/s, "
                f"{self.edges} edges, {self.new_inputs} new inputs, {end}")


def _fuzzer(build: Build, name: str, *args: str | Path) -> str:
    done = subprocess.run([str(build.program(f"fuzz_{name}")), *map(str, args)],
                          env={**os.environ, **ENVIRONMENT}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False, preexec_fn=lambda: os.nice(10))
    return done.stdout


def _minimized(build: Build, name: str, path: Path) -> Path:
    """A smaller input that fails as well, or the same."""
    small = path.with_name(path.name + ".min")
    _fuzzer(build, name, "-minimize_crash=1", f"-max_total_time={MINIMIZE_SECONDS}",
            f"-exact_artifact_path={small}", path)
    return small if small.exists() else path


def corpus(build: Build, name: str) -> Path:
    """The folder of all inputs that were worth keeping; it grows with each run."""
    folder = build.folder / "corpus" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run(build: Build, name: str, seconds: int) -> Outcome:
    """Run a fuzzer for this time, or until it finds something."""
    found = build.folder / "found"
    found.mkdir(exist_ok=True)
    output = _fuzzer(build, name, f"-max_total_time={seconds}", f"-max_len={LEN_MAX}",
                     "-len_control=20", f"-timeout={SECONDS_PER_INPUT}", "-print_final_stats=1",
                     f"-artifact_prefix={found / name}-", corpus(build, name), *inputs(name))
    stats = {key: int(value) for key, value in _STAT.findall(output)}
    edges = _COVERAGE.findall(output)
    crashes = [_minimized(build, name, Path(path)) for path in _WRITTEN.findall(output)]
    return Outcome(name, stats.get("number_of_executed_units", 0),
                   stats.get("average_exec_per_sec", 0), int(edges[-1]) if edges else 0,
                   stats.get("new_units_added", 0), crashes, output)


def advice(build: Build, outcome: Outcome) -> str:
    """What to do about what was found."""
    lines = []
    for path in outcome.found:
        lines += [f"{outcome.name}: {path}",
                  f"  see it:  {build.program('replay_' + outcome.name)} {path}",
                  "  fix it, and keep the input as a test:",
                  f"           cp {path} {ROOT}/tests/fuzz/regressions/{outcome.name}/WHAT-IT-WAS"]
    return "\n".join(lines)


def merge(build: Build, name: str, into: Path, len_max: int) -> int:
    """Replace a folder by few small inputs that reach about as much as the corpus does."""
    fresh = build.folder / "merged" / name
    fresh.mkdir(parents=True, exist_ok=True)
    for old in fresh.iterdir():
        old.unlink()
    _fuzzer(build, name, "-set_cover_merge=1", "-use_counters=0", f"-max_len={len_max}", fresh, corpus(build, name),
            *inputs(name))
    kept = [f for f in sorted(fresh.iterdir()) if f.stat().st_size <= len_max]
    if kept:
        into.mkdir(parents=True, exist_ok=True)
        for old in into.iterdir():
            old.unlink()
        for number, path in enumerate(kept):
            (into / f"{number:03}").write_bytes(path.read_bytes())
    return len(kept)

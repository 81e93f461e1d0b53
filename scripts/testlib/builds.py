# SPDX-License-Identifier: MIT OR Apache-2.0
"""The builds that are tested: how each is configured, and which suites it runs."""

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator, Optional

from fuzzlib.build import FUZZ_OPTIONS

ROOT = Path(__file__).resolve().parents[2]

# halt_on_error: undefined behaviour fails the test rather than being a line that nobody reads.
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TEST_TIMEOUT_SCALE": "4",
}


@dataclass(frozen=True)
class Build:
    """One build folder. suites None: all there are; targets (): everything is compiled."""

    name: str
    doc: str
    compiler: str
    options: tuple[str, ...] = ()
    suites: Optional[tuple[str, ...]] = None
    env: dict[str, str] = field(default_factory=dict)
    timeout_scale: int = 1
    targets: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return ROOT / f"build-test-{self.name}"


BUILDS = (
    Build("gcc", "gcc, every suite", "gcc"),
    Build("clang", "clang, suites unit and api", "clang", suites=("unit", "api")),
    Build(
        "asan",
        "gcc with address and undefined behaviour sanitizers, suites unit, api, promises, faults, rust",
        "gcc",
        options=("-Db_sanitize=address,undefined", "-Dfio=disabled", "-Dbuildtype=debugoptimized"),
        suites=("unit", "api", "promises", "faults", "rust"),
        env=SANITIZER_ENV,
        timeout_scale=4,
    ),
    Build(
        "tsan",
        "gcc with the thread sanitizer, suites unit and promises, and what of api has threads",
        "gcc",
        options=("-Db_sanitize=thread", "-Db_lundef=false", "-Dfio=disabled", "-Dtools=false",
                 "-Dbuildtype=debugoptimized"),
        suites=("unit", "promises", "threads"),
        env={"TSAN_OPTIONS": "halt_on_error=1", "TEST_TIMEOUT_SCALE": "4"},
        timeout_scale=4,
    ),
    Build(
        "fuzz",
        "clang with libFuzzer and sanitizers, each fuzzer for 10 seconds",
        "clang",
        options=FUZZ_OPTIONS,
        suites=("fuzz",),
        targets=("fuzzers",),
    ),
)


# Their tests compute all the time: emulated guests, compilers, fuzzers. Others wait for half of it.
BUSY_SUITES = ("vm", "fresh", "fuzz")

# What meson and ninja say of what went well.
_NOISE = re.compile(r"\[\d+/\d+\]|Compiler for C supports|Program .* found: YES|Checking ")


class StepFailed(Exception):
    """A command failed; the text is its output."""


def _run(command: list[str], env: dict[str, str]) -> None:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if not _NOISE.match(line)]
        raise StepFailed("\n".join([f"$ {' '.join(command)}", *lines]))


def _environment(build: Build) -> dict[str, str]:
    return {**os.environ, "CC": build.compiler, **build.env}


def compile_build(build: Build, jobs: int) -> None:
    """Configure where needed, and compile, warnings being errors."""
    env = _environment(build)
    if not (build.folder / "build.ninja").exists():
        _run(["meson", "setup", str(build.folder), "-Dwerror=true", *build.options], env)
    _run(["ninja", "-C", str(build.folder), f"-j{jobs}", *build.targets], env)


def list_tests(build: Build, suites: tuple[str, ...]) -> list[str]:
    """The suites' tests, as 'suite/name'; all suites when none is given."""
    out = subprocess.run(
        ["meson", "introspect", "--tests", str(build.folder)],
        stdout=subprocess.PIPE, text=True, check=True,
    ).stdout
    found = []
    for test in json.loads(out):
        mine = [suite.split(":")[-1] for suite in test["suite"]]
        if not suites or set(mine) & set(suites):
            found.append(f"{mine[0]}/{test['name']}")
    return found


def run_tests(build: Build, suites: tuple[str, ...], jobs: int, on_line: Callable[[str], None],
              names: tuple[str, ...] = ()) -> Iterator[dict]:
    """Run the suites, or only these tests of them, and yield meson's record of each test. Those that
    wait come first, more at a time than there are processors."""
    if names:
        yield from _run_meson(build, "testlog-repeated", jobs, on_line,
                              *(f"--suite={suite}" for suite in suites), *names)
        return
    firsts = {test.partition("/")[0] for test in list_tests(build, suites)}
    if firsts.difference(BUSY_SUITES):
        waiting = [f"--suite={suite}" for suite in suites if suite not in BUSY_SUITES]
        yield from _run_meson(build, "testlog", jobs + jobs // 2, on_line,
                              *(waiting or [f"--no-suite={suite}" for suite in BUSY_SUITES]))
    if firsts.intersection(BUSY_SUITES):
        yield from _run_meson(build, "testlog-busy", jobs, on_line,
                              *(f"--suite={suite}" for suite in BUSY_SUITES
                                if not suites or suite in suites))


def _run_meson(build: Build, name: str, jobs: int, on_line: Callable[[str], None],
               *selection: str) -> Iterator[dict]:
    log = build.folder / "meson-logs" / f"{name}.json"
    log.unlink(missing_ok=True)
    command = ["meson", "test", "-C", str(build.folder), "--no-rebuild", "--logbase", name,
               "--num-processes", str(jobs), "--timeout-multiplier", str(build.timeout_scale),
               *selection]
    with subprocess.Popen(command, cwd=ROOT, env=_environment(build), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace") as meson:
        output = []
        for line in meson.stdout:
            output.append(line)
            on_line(line)
    if not log.exists():
        raise StepFailed("".join(output))
    for line in log.read_text(errors="replace").splitlines():
        yield json.loads(line)

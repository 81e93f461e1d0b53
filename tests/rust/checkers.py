# SPDX-License-Identifier: MIT OR Apache-2.0
"""The compiled tests once more, where errors show that a test alone does not see."""

import shutil
from pathlib import Path

from tap import ROOT, Tap, problem_of, run
from workspace import Workspace

DRIVERS = {"the usual driver": {}, "posix": {"BLKIO_TEST_DRIVER": "posix"}}
PROGRAMS = ("io", "soundness", "futures", "control", "leaks")
LEAKS = "leaks"  # the one that leaks, as it should
VALGRIND = ["valgrind", "--quiet", "--error-exitcode=9", "--fair-sched=yes"]
VM = ROOT / "tests" / "vm" / "run"


def words_for(program: Path) -> list[str]:
    """A server is needed for some tests."""
    return [str(program)] + ([] if shutil.which("qemu-storage-daemon") else ["--skip", "server_"])


def sanitized(tap: Tap, work: Workspace) -> None:
    """With a library that gcc's address sanitizer watches; it also watches what Rust allocates."""
    runtime = run(["gcc", "-print-file-name=libasan.so"]).stdout.strip()
    if not Path(runtime).is_absolute():
        tap.skip("the address sanitizer", "gcc has no libasan.so")
        return
    work.features = []  # compiling tokio takes longer than all of this
    programs = work.test_programs()
    for name in PROGRAMS:
        options = f"{work.env.get('ASAN_OPTIONS', '')}:detect_leaks={int(name != LEAKS)}"
        for driver, env in DRIVERS.items():
            done = run(words_for(programs[name]), env={
                **work.env, **env, "LD_PRELOAD": runtime, "ASAN_OPTIONS": options})
            tap.case(f"{name}, {driver}, address sanitizer", problem_of(done))


def valgrind(tap: Tap, work: Workspace) -> None:
    """Memory errors of both sides. With posix, because valgrind does not see what a kernel does with
    a ring."""
    if not shutil.which("valgrind"):
        tap.skip("valgrind", "not found: run scripts/setup")
        return
    programs = work.test_programs()
    for name in PROGRAMS:
        kind = "none" if name == LEAKS else "definite"
        done = run([*VALGRIND, "--leak-check=full", f"--show-leak-kinds={kind}",
                    f"--errors-for-leak-kinds={kind}", *words_for(programs[name])],
                   env={**work.env, **DRIVERS["posix"]})
        tap.case(f"{name}, posix, valgrind", problem_of(done))


def zones(tap: Tap, work: Workspace) -> None:
    """In the test VM, which has a zoned namespace. The tests share it: one at a time."""
    program = work.test_programs()["zones"]
    done = run([VM, "--profile", "nvme", "--timeout", "300", "--env", "BLKIO_TEST_ZONES=/dev/ng0n3",
                program, "--ignored", "--test-threads=1"], env=work.env)
    if done.returncode == 77:
        tap.skip("zones", done.stdout.splitlines()[-1])
        return
    tap.case("zones", problem_of(done) or
             ([] if "0 passed" not in done.stdout else ["no test ran", done.stdout]))

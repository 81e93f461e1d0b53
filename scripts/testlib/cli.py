# SPDX-License-Identifier: MIT OR Apache-2.0
"""The command line of scripts/test."""

import argparse
import os
import subprocess
import sys
import time

from setuplib import ROOT, set_up

from .builds import BUILDS, Build, StepFailed, compile_build, list_tests, run_tests
from .kernel import KernelLog
from .repeat import repeat_failed
from .results import FAILED, PASSED, Result
from .summary import summarize

_EPILOG = """\
builds:
{builds}

suites: unit (core with fake devices), api (public header only, on every device that this machine
can provide), promises (each under every condition), style (layers, symbols, header, format), and
those of the folders of tests/: integration, scripts, vm, packages, ...
A test that cannot run here is skipped, and the summary gives the reason. Root can run all of them.

A single test by hand:  ninja -C build-test-gcc && cd build-test-gcc && tests/api/api_data --help
"""


VM_SETUP = ROOT / "tests" / "vm" / "setup"

# What a suite needs besides what all need: of setuplib/packages.list, and what it brings.
SUITE_NEEDS = {
    "vm": ("vm", "test VM"),
    "scripts": ("browser", "browser"),
    "rust": ("rust", "Rust compiler"),
    "packages": ("packaging", "tools to make packages and a fresh Debian"),
    "fresh": ("packaging", "tools to make packages and a fresh Debian"),
}


def _parser() -> argparse.ArgumentParser:
    builds = "\n".join(f"  {b.name:6} {b.doc}" for b in BUILDS)
    parser = argparse.ArgumentParser(
        prog="scripts/test",
        description="Build and test everything. The exit status is 0 if nothing failed.",
        epilog=_EPILOG.format(builds=builds),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true",
                        help="only the suites unit, api and style, in the gcc build")
    parser.add_argument("--suite", action="append", default=[], metavar="NAME",
                        help="only this suite, in the builds that run it (may be repeated)")
    parser.add_argument("--build", action="append", default=[],
                        choices=[b.name for b in BUILDS],
                        help="only this build (may be repeated)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N",
                        help="compile and test N at a time, and half as many more tests that mostly "
                             "wait (default: %(default)s)")
    parser.add_argument("--custom-kernel", action="store_true",
                        help="also the VM tests that need a custom kernel, for iommufd and VFIO without "
                             "an IOMMU; the first time, it is built, in ten minutes")
    parser.add_argument("--repeat-failed", type=int, default=0, metavar="N",
                        help="run what failed once more, unless more than N test programs of a build "
                             "failed or one crashed; what passes then is listed as unsteady and "
                             "does not fail the run")
    parser.add_argument("--no-setup", action="store_true",
                        help="do not run scripts/setup first")
    parser.add_argument("--list", action="store_true", help="list builds and tests, run nothing")
    return parser


def _say(text: str) -> None:
    print(text, flush=True)


def _suites_of(build: Build, args: argparse.Namespace) -> tuple[str, ...] | None:
    """The suites to run in this build, () for all there are; None when none is wanted."""
    offered = build.suites
    if args.fast:
        fast = ("unit", "api", "style")
        offered = tuple(s for s in offered if s in fast) if offered else fast
    if not args.suite:
        return offered or ()
    wanted = tuple(s for s in args.suite if offered is None or s in offered)
    return wanted or None


class Progress:
    """One line per finished test program, made from what meson prints."""

    def __init__(self, build: Build) -> None:
        self.build = build

    def __call__(self, line: str) -> None:
        words = line.split()
        if words and "/" in words[0] and words[0].replace("/", "").isdigit():
            _say(f"  [{self.build.name}] {' '.join(words).replace('libblkio:', '')}")


def _test_build(build: Build, suites: tuple[str, ...], args: argparse.Namespace) -> list[Result]:
    _say(f"{build.name}: compiling ({build.doc})")
    try:
        compile_build(build, args.jobs)
    except StepFailed as failure:
        return [Result(build.name, "build", "compile without warnings", FAILED, str(failure))]
    results = [Result(build.name, "build", "compile without warnings", PASSED)]
    if not list_tests(build, suites):
        return results
    try:
        progress = Progress(build)
        records = list(run_tests(build, suites, args.jobs, progress))
        results += repeat_failed(build, records, args.repeat_failed, progress)
    except StepFailed as failure:
        results.append(Result(build.name, "build", "run meson test", FAILED, str(failure)))
    return results


def _make_custom_kernel() -> None:
    """Once made it is there for every run."""
    _say("test: making the kernel of our own, which takes ten minutes when it is not there yet")
    if subprocess.run([VM_SETUP, "--custom-kernel"], stdin=subprocess.DEVNULL,
                      check=False).returncode:
        _say("test: no kernel of our own (see above): its tests will be skipped")


def _set_up(chosen: list[tuple[Build, tuple[str, ...]]]) -> bool:
    """All that every suite needs; and what the chosen ones need besides, or a message."""
    if not set_up("build", "bench", "test"):
        _say("test: scripts/setup failed (see above); --no-setup tries without")
        return False
    wanted = {suite for _, suites in chosen for suite in suites}
    everything = any(suites == () for _, suites in chosen)
    needs = {SUITE_NEEDS[suite] for suite in SUITE_NEEDS if everything or suite in wanted}
    for need, what in sorted(needs):
        if not set_up(need):
            _say(f"test: no {what} (see above): its tests will be skipped")
    return True


def main(argv: list[str]) -> int:
    """Run what was asked for; 0 when nothing failed."""
    args = _parser().parse_args(argv)
    begin = time.monotonic()
    names = args.build or (["gcc"] if args.fast else [b.name for b in BUILDS])
    chosen = [(b, _suites_of(b, args)) for b in BUILDS if b.name in names]
    chosen = [(b, s) for b, s in chosen if s is not None]
    if not chosen:
        _say(f"test: no build runs suite {', '.join(args.suite)}")
        return 2
    if not args.no_setup and not _set_up(chosen):
        return 1
    if args.custom_kernel:
        _make_custom_kernel()
    if args.list:
        for build, suites in chosen:
            compile_build(build, args.jobs)
            for test in list_tests(build, suites):
                _say(f"{build.name}: {test}")
        return 0

    results: list[Result] = []
    kernel = KernelLog()
    for build, suites in chosen:
        results += _test_build(build, suites, args)
    if all(r.test == "build" and r.verdict == PASSED for r in results):
        results.append(Result("all", "test", "at least one test", FAILED,
                              f"no test in suite {', '.join(args.suite)}"))
    results.append(kernel.result())
    _say(summarize(results, time.monotonic() - begin))
    sys.stdout.flush()
    return 1 if any(r.verdict == FAILED for r in results) else 0

# SPDX-License-Identifier: MIT OR Apache-2.0
"""The command line of scripts/fuzz."""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuplib import set_up

from . import coverage
from .build import FUZZ, FUZZ_OPTIONS, ROOT, Build, FuzzError, names
from .run import advice, corpus, merge, run

SEED_LEN_MAX = 200

_EPILOG = """\
fuzzers (tests/fuzz; the head of each file says what it does):
  {names}

examples:
  scripts/fuzz                             each for a minute
  scripts/fuzz virtio --seconds 3600       one of them, for longer
  scripts/fuzz --seconds 0 --coverage      what the inputs reach

Inputs that reach new code stay in BUILD/corpus. Inputs that expose a flaw are reduced and stay in
BUILD/found; the exit status is then 1. Missing packages are installed first, as by scripts/setup.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz", description="Build and run the fuzzers, with sanitizers.",
        epilog=_EPILOG.format(names=", ".join(names())),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*", metavar="NAME", help="which (default: all)")
    parser.add_argument("--seconds", type=int, default=60, metavar="N",
                        help="how long to run each, in seconds (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="J",
                        help="compile and run J at a time (default: %(default)s)")
    parser.add_argument("--build", type=Path, default=ROOT / "build-fuzz", metavar="DIR",
                        help="the build folder (default: build-fuzz)")
    parser.add_argument("--coverage", action="store_true",
                        help="then show which lines the inputs reach")
    parser.add_argument("--update-seeds", action="store_true",
                        help="then replace tests/fuzz/corpus by a few small inputs that cover as much")
    parser.add_argument("--tap", action="store_true",
                        help="print TAP and build nothing, for tests")
    return parser


def _checked(parser: argparse.ArgumentParser, wanted: list[str]) -> list[str]:
    known = names()
    for name in wanted:
        if name not in known:
            parser.error(f"there is no fuzzer {name}; there are {', '.join(known)}")
    return wanted or known


def _run_all(build: Build, wanted: list[str], args: argparse.Namespace) -> bool:
    passed = True
    with ThreadPoolExecutor(args.jobs) as pool:
        outcomes = pool.map(lambda name: run(build, name, args.seconds), wanted)
        for number, outcome in enumerate(outcomes, 1):
            passed &= outcome.passed
            verdict = f"{'ok' if outcome.passed else 'not ok'} {number} - " if args.tap else ""
            print(f"{verdict}{outcome.line()}", flush=True)
            if not outcome.passed:
                text = outcome.output[-6000:] + "\n" + advice(build, outcome)
                print("\n".join(f"# {line}" for line in text.splitlines()) if args.tap else text)
    if args.tap:
        print(f"1..{len(wanted)}")
    return passed


def main(argv: list[str]) -> int:
    """0 when nothing was found."""
    parser = _parser()
    args = parser.parse_args(argv)
    wanted = _checked(parser, args.name)
    if not args.tap and not set_up("build", "test"):
        return 2
    build = Build(args.build.resolve(), FUZZ_OPTIONS)
    passed = True
    try:
        if not args.tap:
            print(f"fuzz: building {build.folder}", flush=True)
            build.make([f"{kind}_{n}" for n in wanted for kind in ("fuzz", "replay")], args.jobs)
        if args.seconds > 0:
            passed = _run_all(build, wanted, args)
        for name in wanted if args.update_seeds else ():
            count = merge(build, name, FUZZ / "corpus" / name, SEED_LEN_MAX)
            print(f"{name}: {count} seeds", flush=True)
        for name in wanted if args.coverage else ():
            print("\n".join(coverage.report(name, corpus(build, name), args.jobs)), flush=True)
    except FuzzError as error:
        print(f"fuzz: {error}", file=sys.stderr)
        return 2
    return 0 if passed else 1

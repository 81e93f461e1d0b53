#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
The tracepoints of the library are those that docs/tracing.md lists, with as many arguments. The
page's examples for bpftrace use these and no others.

usage: tracepoints.py LIBBLKIO.so
"""

import re
import sys
from pathlib import Path

from tap import ROOT, Tap, run

ROW = re.compile(r"^\| `(\w+)` \|[^|]*\| (.*) \|$", re.M)
NOTE = re.compile(r"Provider: libblkio\s+Name: (\w+)\s.*?Arguments: ([^\n]*)", re.S)


PAGE = ROOT / "docs/tracing.md"
# From one probe of an example to the next.
PROBE = re.compile(r"usdt:\S+:libblkio:(\w+) (.*?)(?=usdt:|^```)", re.S | re.M)


def documented() -> dict[str, int]:
    rows = ROW.findall(PAGE.read_text())
    return {name: len(re.sub(r"\(.*?\)|: .*", "", arguments).split(","))
            for name, arguments in rows}


def wrong_examples(known: dict[str, int]) -> list[str]:
    problems = []
    for name, code in PROBE.findall(PAGE.read_text()):
        used = [int(number) for number in re.findall(r"\barg(\d)", code)]
        if name not in known:
            problems.append(f"there is no tracepoint {name}")
        elif used and max(used) >= known[name]:
            problems.append(f"{name} has no arg{max(used)}")
    return problems


def main() -> None:
    tap = Tap()
    known = documented()
    tap.case("the examples use what there is", wrong_examples(known))
    notes = NOTE.findall(run(["readelf", "-n", Path(sys.argv[1])]).stdout)
    if not notes:
        tap.skip("tracepoints", "built without sys/sdt.h, or with -Dtrace=disabled")
        tap.finish()
    tap.case("they are documented", sorted({name for name, _ in notes} ^ known.keys()))
    tap.case("their arguments are", sorted({
        f"{name} has {len(arguments.split())} arguments" for name, arguments in notes
        if len(arguments.split()) != known.get(name)}))
    tap.finish()


main()

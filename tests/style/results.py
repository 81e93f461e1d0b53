#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What scripts/test makes of the output of a test program."""

from __future__ import annotations

import sys

from tap import ROOT, Tap

sys.path.insert(0, str(ROOT / "scripts"))
from testlib.results import results_of


def verdicts(stdout: str, meson: str = "OK") -> list[tuple[str, str]]:
    record = {"name": "libblkio:vm / guest", "result": meson, "stdout": stdout}
    return [(result.case, result.verdict) for result in results_of("gcc", record)]


CASES = {
    "a script without cases is one result": ("ok: read\nok: write\n", "OK",
        [("", "passed")]),
    "what a script says between its programs is no case": (
        "ok 1 - a\n1..1\nok: a works\nok 1 - b\n1..1\nok: b works\n", "OK",
        [("a", "passed"), ("b", "passed")]),
    "plans of several programs add up": ("1..1\nok 1 - a\n1..2\nok 1 - b\n", "OK",
        [("a", "passed"), ("b", "passed"), ("the program itself", "failed")]),
    "a failed script fails although its cases passed": ("1..1\nok 1 - a\n", "FAIL",
        [("a", "passed"), ("the program itself", "failed")]),
    "failures and skips keep their names": ("1..3\nnot ok 1 - a\n# why\nok 2 - b # SKIP no disk\nok\n",
        "FAIL", [("a", "failed"), ("b", "skipped"), ("", "passed")]),
}

tap = Tap()
for name, (stdout, meson, wanted) in CASES.items():
    got = verdicts(stdout, meson)
    tap.case(name, [] if got == wanted else [f"got {got}", f"not {wanted}"])
tap.finish()

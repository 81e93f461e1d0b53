# SPDX-License-Identifier: MIT OR Apache-2.0
"""A test program that failed is run once more, alone: is it broken, or only unsteady?

An unsteady test is a fault, of the library or of the test, and the summary shows it first. But it
must not keep a sound change out. What cannot be bad luck is never run again: a crash, what a
sanitizer reports, a program that ended early without all its cases, and a build with many failures.
"""

import re
from dataclasses import replace
from typing import Callable

from .builds import Build, StepFailed, run_tests
from .results import FAILED, UNSTEADY, Result, results_of

# What the head or the end of a report says. A bare name is none: reasons of skips mention sanitizers.
_NO_LUCK = re.compile(r"(ERROR|WARNING|FATAL|SUMMARY): (\w+Sanitizer|libFuzzer)"
                      r"|Sanitizer: ?(CHECK failed|DEADLYSIGNAL)|runtime error:"
                      r"|killed by signal|core dumped")


def may_be_luck(record: dict, results: list[Result]) -> bool:
    """Whether another run of a program that failed could tell something."""
    # 124: timeout(1) and tests/vm/run; a signal's number is negative, or over 128 from a shell.
    late = record["result"] == "TIMEOUT" or record["returncode"] == 124
    if not late and (not 0 <= record["returncode"] < 128
                     or any("cases reported" in r.text for r in results)):
        return False
    texts = [record.get("stdout", ""), record.get("stderr", ""),
             *(r.text for r in results if r.verdict == FAILED)]
    return not any(_NO_LUCK.search(text) for text in texts)


def repeat_failed(build: Build, records: list[dict], most: int,
                  on_line: Callable[[str], None]) -> list[Result]:
    """The results of all records; those of at most this many failed programs from another run."""
    results = [results_of(build.name, record) for record in records]
    failed = [i for i, mine in enumerate(results) if any(r.verdict == FAILED for r in mine)]
    if len(failed) <= most:
        for i in failed:
            if may_be_luck(records[i], results[i]):
                results[i] = _repeat(build, results[i], on_line)
    return [result for mine in results for result in mine]


def _repeat(build: Build, first: list[Result], on_line: Callable[[str], None]) -> list[Result]:
    suites, _, name = first[0].test.partition("/")
    suite = suites.partition("+")[0]
    try:
        second = [result for record in run_tests(build, (suite,), 1, on_line, (name,))
                  for result in results_of(build.name, record)]
    except StepFailed:
        return first
    if not second or any(r.verdict == FAILED for r in second):
        return first
    return second + [replace(r, verdict=UNSTEADY) for r in first if r.verdict == FAILED]

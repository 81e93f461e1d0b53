# SPDX-License-Identifier: MIT OR Apache-2.0
"""From meson's record of a test program to the results of its cases."""

import re
from dataclasses import dataclass
from typing import Iterator

# Unsteady: the case failed, and passed when its program was run again.
PASSED, FAILED, SKIPPED, UNSTEADY = "passed", "failed", "skipped", "unsteady"

_TAP_LINE = re.compile(
    r"^(?P<bad>not )?ok(?!\S)\s*\d*\s*-?\s*(?P<name>.*?)"
    r"(?:\s+# (?P<directive>SKIP|TODO)\b\s*(?P<reason>.*))?$")
_TAP_PLAN = re.compile(r"^1\.\.(\d+)(?:\s*#\s*(?:SKIP\s*)?(.*))?$")


@dataclass(frozen=True)
class Result:
    """One case. text is the reason of a skip, or what a failure printed."""

    build: str
    test: str
    case: str
    verdict: str
    text: str = ""


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _program_result(build: str, test: str, record: dict) -> Result:
    """A program that speaks with its exit status only."""
    output = f"{record.get('stdout', '')}{record.get('stderr', '')}"
    meson = record["result"]
    if meson in ("OK", "EXPECTEDFAIL"):
        return Result(build, test, "", PASSED)
    if meson == "SKIP":
        return Result(build, test, "", SKIPPED, _last_line(output) or "no reason given")
    return Result(build, test, "", FAILED, f"{meson}\n{output}")


def _tap_results(build: str, test: str, stdout: str) -> Iterator[Result]:
    bad, detail = None, []
    for line in stdout.splitlines():
        match = _TAP_LINE.match(line)
        if bad is not None and not match and line.startswith("#"):
            detail.append(line[1:].strip())
            continue
        if bad is not None:
            yield Result(build, test, bad, FAILED, "\n".join(detail))
            bad, detail = None, []
        if not match:
            continue
        if match["bad"] and match["directive"] != "TODO":
            bad = match["name"]
        elif match["directive"] == "SKIP":
            yield Result(build, test, match["name"], SKIPPED,
                         match["reason"] or "no reason given")
        else:
            yield Result(build, test, match["name"], PASSED)
    if bad is not None:
        yield Result(build, test, bad, FAILED, "\n".join(detail))


def results_of(build: str, record: dict) -> list[Result]:
    """The results in one of meson's records: one per TAP line, or one for the program."""
    test = record["name"].split(":")[-1].replace(" / ", "/")
    stdout = record.get("stdout", "")
    # A test in the VM may be several programs, or one on several devices: as many plans.
    plans = [m for m in map(_TAP_PLAN.match, stdout.splitlines()) if m]
    if not plans:
        return [_program_result(build, test, record)]

    planned = sum(int(plan[1]) for plan in plans)
    results = list(_tap_results(build, test, stdout))
    if not results and not planned:
        return [Result(build, test, "", SKIPPED, plans[0][2] or "no reason given")]
    if len(results) != planned or (record["result"] not in ("OK", "SKIP")
                        and not any(r.verdict == FAILED for r in results)):
        results.append(Result(
            build, test, "the program itself", FAILED,
            f"{record['result']}: {len(results)} of {planned} cases reported\n"
            f"{_last_line(stdout)}\n{record.get('stderr', '')}"))
    return results

#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Which failures scripts/test --repeat-failed forgives: tried on a small project of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from tap import ROOT, Tap, folder_for_programs, problem_of, run

sys.path.insert(0, str(ROOT / "scripts"))
from testlib.builds import Build, run_tests
from testlib.repeat import repeat_failed
from testlib.summary import summarize

# Each test adds a byte to a file of its name, so it knows how often it has run.
SCRIPT = """#!/bin/sh
printf . >>"$1"
runs=$(wc -c <"$1")
case $1 in
*/steady) exit 0 ;;
*/unsteady*) echo "run $runs"; [ "$runs" -gt 1 ] ;;
*/tap)
	[ "$runs" -gt 1 ] || printf 'not '
	printf 'ok 1 - a\\n# run %s\\nok 2 - b\\n1..2\\n' "$runs"
	[ "$runs" -gt 1 ] ;;
*/broken) exit 1 ;;
*/crash) [ "$runs" -gt 1 ] || kill -SEGV $$ ;;
*/skipper)
	echo "ok 1 - a # SKIP the child would wait for AddressSanitizer's allocator"
	[ "$runs" -gt 1 ] || printf 'not '
	printf 'ok 2 - b\n'
	[ "$runs" -gt 1 ] || echo "# timed out after 80 s"
	echo 1..2; [ "$runs" -gt 1 ] ;;
*/leak) [ "$runs" -gt 1 ] || { echo "==7==ERROR: LeakSanitizer: detected memory leaks"; exit 1; } ;;
*/end) [ "$runs" -gt 1 ] || { echo "SUMMARY: AddressSanitizer: 8 byte(s) leaked"; exit 1; } ;;
*/undefined) [ "$runs" -gt 1 ] || { echo "a.c:1:2: runtime error: overflow" >&2; exit 1; } ;;
*/race) [ "$runs" -gt 1 ] || { echo "WARNING: ThreadSanitizer: data race" >&2; exit 1; } ;;
*/late) echo "ok 1 - a"; echo 1..1; [ "$runs" -gt 1 ] || exit 124 ;;
*/died) [ "$runs" -gt 1 ] && echo "ok 1 - a"; echo 1..1 ;;
esac
"""
SPEAK_TAP = ("tap", "died", "late", "skipper")


class Small(Build):
    """A build in a folder of the test's."""

    folder = Path()


def results(folder: Path, most: int, tests: tuple[str, ...]) -> tuple[dict[str, list[str]], str]:
    """What became of each test, by name, and the run's summary."""
    folder.mkdir()
    (folder / "script").write_text(SCRIPT)
    (folder / "script").chmod(0o755)
    (folder / "meson.build").write_text("project('small')\n" + "".join(
        f"test('{t}', files('script'), args: '{folder / t}', suite: '{t}'"
        f"{', protocol: %r' % 'tap' if t in SPEAK_TAP else ''})\n" for t in tests))
    done = run(["meson", "setup", folder / "build", folder])
    if done.returncode:
        raise RuntimeError("\n".join(problem_of(done)))
    Small.folder = folder / "build"
    build = Small("small", "", "cc")
    records = list(run_tests(build, (), 1, lambda line: None))
    found = repeat_failed(build, records, most, lambda line: None)
    verdicts = {t: [r.verdict for r in found if r.test == f"{t}/{t}"] for t in tests}
    return verdicts, summarize(found, 0)


CASES = {
    "what passes when run again is unsteady": (3, {
        "steady": ["passed"], "unsteady": ["passed", "unsteady"],
        "tap": ["passed", "passed", "unsteady"], "late": ["passed", "unsteady"]},
        "5 passed, 0 failed, 0 skipped"),
    "a skip that names a sanitizer is no report of one": (3, {
        "steady": ["passed"], "skipper": ["skipped", "passed", "unsteady"]},
        "2 passed, 0 failed, 1 skipped"),
    "what fails again has failed": (3, {
        "steady": ["passed"], "broken": ["failed"]}, "1 passed, 1 failed, 0 skipped"),
    "neither a crash nor a sanitizer's report is luck": (3, {
        "crash": ["failed"], "race": ["failed"], "leak": ["failed"]}, "0 passed, 3 failed, 0 skipped"),
    "nor is the end of a report, or of a program": (3, {
        "end": ["failed"], "undefined": ["failed"], "died": ["failed"]},
        "0 passed, 3 failed, 0 skipped"),
    "many failures are not luck": (1, {
        "unsteady": ["failed"], "unsteady2": ["failed"]}, "0 passed, 2 failed, 0 skipped"),
    "without the option a failure stands": (0, {
        "steady": ["passed"], "unsteady": ["failed"]}, "1 passed, 1 failed, 0 skipped"),
}

tap = Tap()
with folder_for_programs() as name:
    for number, (case, (most, wanted, last)) in enumerate(CASES.items()):
        got, summary = results(Path(name) / str(number), most, tuple(wanted))
        problems = [] if got == wanted else [f"got {got}"]
        listed = any("unsteady" in verdicts for verdicts in wanted.values())
        if summary.splitlines()[-1] != last or ("Unsteady:" in summary) != listed:
            problems.append(summary)
        tap.case(case, problems)
tap.finish()

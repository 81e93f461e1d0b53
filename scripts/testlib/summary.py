# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the run ends with: failures, unsteady tests, every skip with its reason, one line of totals."""

from collections import Counter, defaultdict

from .results import FAILED, PASSED, SKIPPED, UNSTEADY, Result

_MAX_DETAIL = 30


def _details(results: list[Result], verdict: str) -> list[str]:
    lines = []
    for r in results:
        if r.verdict != verdict:
            continue
        lines.append(f"  {r.build}: {r.test}{': ' if r.case else ''}{r.case}")
        detail = [line for line in r.text.splitlines() if line.strip()]
        if len(detail) > _MAX_DETAIL:
            lines.append(f"      ({len(detail) - _MAX_DETAIL} lines left out)")
        lines += [f"      {line}" for line in detail[-_MAX_DETAIL:]]
    return lines


def _skips(results: list[Result]) -> list[str]:
    """Grouped by test and reason; every case is named, with the builds that skipped it."""
    groups: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for r in results:
        if r.verdict == SKIPPED:
            groups[(r.test, r.text)][r.case].append(r.build)
    lines = []
    for (test, reason), cases in sorted(groups.items()):
        lines.append(f"  {test}: {reason}")
        for case, builds in cases.items():
            if case:
                lines.append(f"      {case} ({', '.join(builds)})")
            else:
                lines.append(f"      ({', '.join(builds)})")
    return lines


def summarize(results: list[Result], seconds: float) -> str:
    """The text of the summary. Its last line is the run's only line of totals."""
    count = Counter(r.verdict for r in results)
    parts = []
    if count[SKIPPED]:
        parts += ["", "Skipped, and why:", *_skips(results)]
    if count[UNSTEADY]:
        parts += ["", "Unsteady: failed, and passed when run again; look for the cause:",
                  *_details(results, UNSTEADY)]
    if count[FAILED]:
        parts += ["", "Failed:", *_details(results, FAILED)]
    parts += ["", f"in {seconds // 60:.0f} min {seconds % 60:.0f} s",
              f"{count[PASSED]} passed, {count[FAILED]} failed, {count[SKIPPED]} skipped"]
    return "\n".join(parts)

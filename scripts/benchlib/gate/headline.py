# SPDX-License-Identifier: MIT OR Apache-2.0
"""The gate's verdict in a sentence, the same in the text, the summary and the report."""

from __future__ import annotations

from collections import Counter

from ..page.scale import change
from ..result.words import case_label
from ..verdict import (GATE, GATE_FAILED, IMPROVED, PARTIAL, PASS, REGRESS, TOO_FEW, TOO_NOISY,
                       Headline, Shortfall, compose)
from .model import Count, Finding, GateResult

NOTABLE = (REGRESS, IMPROVED)


def headline(result: GateResult) -> Headline:
    """What the gate says, with what it cannot say."""
    word = GATE[result.verdict] if result.verdict in GATE.names else \
        GATE_FAILED if result.complete else PARTIAL
    return compose(word, _claim(result), _shortfalls(result), _details(result))


def tally(result: GateResult) -> Counter[str]:
    """How many findings came to each verdict."""
    return Counter(item.verdict for item in result.items())


def _claim(result: GateResult) -> str:
    count, total = tally(result), len(result.items())
    findings = f"{total} finding{'s' if total != 1 else ''}"
    if not total:
        return "Nothing was compared"
    if count[REGRESS]:
        return f"The candidate is slower in {count[REGRESS]} of {findings}{_most(result)}"
    if count[TOO_NOISY] + count[TOO_FEW]:
        return "No regression is shown, nor is its absence"
    if count[IMPROVED]:
        others = total - count[IMPROVED]
        return f"The candidate is faster in {count[IMPROVED]} of {findings}" + (
            ", and no slower in the others" if others else "")
    return f"No regression in {'any of ' if total > 1 else ''}{findings}"


def _most(result: GateResult) -> str:
    worst = max((item for item in result.findings if item.verdict == REGRESS),
                key=lambda item: item.shift.median, default=None)
    return f", most of all {worst.mode} on {case_label(worst.case)}: {change(worst.shift.median)}" \
        if worst else ""


def _shortfalls(result: GateResult) -> list[Shortfall]:
    count, total = tally(result), len(result.items())
    falls = [Shortfall(f"{count[name]} of {total} findings {words}", GATE[name])
             for name, words in ((TOO_NOISY, "are too noisy to tell"),
                                 (TOO_FEW, "have too few rounds to tell")) if count[name]]
    if result.verdict not in GATE.names and result.complete:
        falls.append(Shortfall("the measurement failed, so this is not all", GATE_FAILED))
    if not result.complete:
        falls.append(Shortfall("the run was stopped before its end", PARTIAL))
    if not all(finding.paired for finding in result.findings):
        falls.append(Shortfall("unpaired: the baseline was measured at another time", GATE[PASS]))
    allowed = [name for name in result.tolerated if count[name]]
    if allowed:
        falls.append(Shortfall(f"tolerated by request: "
                               f"{', '.join(GATE[name].text for name in allowed)}", GATE[PASS]))
    return falls


def _details(result: GateResult) -> list[str]:
    """What changed, the largest changes first."""
    lines = [(abs(item.shift.median - 1), _timed(item)) for item in result.findings
             if item.verdict in NOTABLE]
    lines += [(abs(item.candidate - item.baseline) / (item.baseline or 1.0), _counted(item))
              for item in result.counts if item.verdict in NOTABLE]
    return [text for _, text in sorted(lines, key=lambda pair: -pair[0])]


def _timed(item: Finding) -> str:
    shift = item.shift
    return (f"{item.mode} on {case_label(item.case)}, {item.metric}: {change(shift.median)} "
            f"[{change(shift.low)}, {change(shift.high)}], p {item.p_holm:.2g}")


def _counted(item: Count) -> str:
    return (f"{item.mode} on {case_label(item.case)}: {item.what.replace('_', ' ')} "
            f"{item.baseline:,.6g} → {item.candidate:,.6g} per I/O")

# SPDX-License-Identifier: MIT OR Apache-2.0
"""A result as text: one table per case, then the verdict in plain English."""

from __future__ import annotations

from typing import Sequence

from .model import Case, ContenderInfo, Result, Summary, left_out
from .stats import CONFIDENCE, VERDICTS
from .words import case_label, duration, same_workload

LABEL_WIDTH = 26


def render(result: Result) -> str:
    """The whole text."""
    sections = [_section(result, case) for case in cases(result)]
    lines = [line for section in sections for line in [*section, ""]]
    return "\n".join([*_head(result), "", *lines, *verdict_lines(result), ""])


def cases(result: Result) -> list[Case]:
    """The cases measured, in the order asked for."""
    settings = result.settings
    axes: list[list[object]] = [[target.name for target in result.targets],
                                [*settings.workloads], [*settings.block_sizes],
                                [*settings.depths], [*settings.numjobs]]

    def place(case: Case) -> list[int]:
        values = (case.target, case.rw, case.block_size, case.depth, case.numjobs)
        return [axis.index(value) if value in axis else len(axis)  # a file may hold anything
                for axis, value in zip(axes, values)]

    return sorted({summary.case for summary in result.summaries}, key=place)


def of_case(result: Result, case: Case) -> list[Summary]:
    """A case's summaries in the contenders' order."""
    order = [contender.name for contender in result.contenders]
    found = [summary for summary in result.summaries if summary.case == case]
    return sorted(found, key=lambda summary: order.index(summary.contender))


def labels(result: Result) -> dict[str, str]:
    return {contender.name: contender.label for contender in result.contenders}


def against(result: Result) -> dict[str, str]:
    """Whom each contender is compared with, "" for nobody."""
    return {contender.name: contender.against for contender in result.contenders}


def reference_name(result: Result) -> str:
    """The one contender that all are compared with; "" when there are several."""
    names = {contender.against for contender in result.contenders if contender.against}
    return names.pop() if len(names) == 1 else ""


def workload(result: Result) -> str:
    """The workload in words: 512-byte random reads; or that there are several."""
    return same_workload(cases(result)) or "several workloads"


def _head(result: Result) -> list[str]:
    settings = result.settings
    jobs = "one job on one CPU" if settings.numjobs == [1] else \
        f"{', '.join(map(str, settings.numjobs))} jobs on {len(settings.cpus)} CPUs"
    more = " or more" if settings.until is not None else ""
    lines = [f"{workload(result)}, {jobs}, {settings.rounds}{more} interleaved rounds of "
             f"{settings.runtime_ms} ms, seed {settings.seed}",
             "Latency is submission to completion (fio's lat); lower is better. Mean: median over "
             "the rounds;",
             "percentiles: all rounds' histograms merged; ratio: median of the rounds' ratios with "
             f"its {CONFIDENCE:.0%} interval."]
    if not result.complete:
        lines.insert(0, "PARTIAL RESULT: the run was stopped before its end.")
    return lines


def _section(result: Result, case: Case) -> list[str]:
    rows, names = of_case(result, case), labels(result)
    width = max([LABEL_WIDTH, *(len(names[row.contender]) for row in rows)])
    calls = {(c.case, c.contender): c.per_io for c in result.system_calls}
    versus = f"latency vs. {reference_name(result) or 'the other'}"
    return [case_title(result, case),
            f"  {'':{width}} {'mean':>9} {'p50':>9} {'p99':>9} {'kIOPS':>8} {'calls/IO':>9}   "
            f"{versus}",
            *(_row(names[row.contender].ljust(width), row, calls.get((case, row.contender)),
                   _partner(result, row)) for row in rows)]


def case_title(result: Result, case: Case, medium: bool = True) -> str:
    """The case with its target in full; the workload only where it is not the same for all."""
    info = next(item for item in result.targets if item.name == case.target)
    target = f"{info.label}, {info.medium}" if medium else info.label
    if not same_workload(cases(result)):
        return case_label(case, target)
    jobs = f", {case.numjobs} jobs" if case.numjobs > 1 else ""
    return f"{target}, queue depth {case.depth}{jobs}"


def _partner(result: Result, row: Summary) -> str:
    """Whom the ratio refers to, where the table's head cannot say it."""
    other = against(result)[row.contender]
    return f" (vs. {other})" if other and not reference_name(result) else ""


def _row(label: str, row: Summary, calls: float | None, partner: str) -> str:
    ratio = ""
    if row.ratio:
        ratio = f"{row.ratio.median:.3f} [{row.ratio.low:.3f}, {row.ratio.high:.3f}]  "
    return (f"  {label} {duration(row.mean):>9} {duration(row.p50):>9} "
            f"{duration(row.p99):>9} {row.iops / 1000:>8.1f} "
            f"{'-' if calls is None else f'{calls:.1f}':>9}   "
            f"{ratio}{VERDICTS[row.verdict]}{partner}").rstrip()


# ---- Verdict ---------------------------------------------------------------------------------


def verdict_lines(result: Result) -> list[str]:
    """One sentence per case, on the best of libblkio's modes."""
    lines = [f"{_where(result, case)}: {_case_verdict(result, case)}" for case in cases(result)]
    noise = disturbed_share(result)
    if noise:
        lines.append(f"Caution: other programs disturbed up to {noise:.0%} of the rounds behind a "
                     "figure; repeat on a quiet machine.")
    lines += [f"Left out: {line}" for line in left_out(result.skips)]
    return ["Verdict", *(f"  {line}" for line in lines)]


def disturbed_share(result: Result) -> float:
    """Of the rounds behind a figure, how many were disturbed; of the worst figure."""
    return max((row.disturbed / row.rounds for row in result.summaries), default=0.0)


def _where(result: Result, case: Case) -> str:
    if not same_workload(cases(result)):
        return case_label(case)
    jobs = f", {case.numjobs} jobs" if case.numjobs > 1 else ""
    return f"{case.target}, depth {case.depth}{jobs}"


def _case_verdict(result: Result, case: Case) -> str:
    rows = [row for row in of_case(result, case) if row.ratio and not is_native(row.contender)]
    rows = rows or [row for row in of_case(result, case) if row.ratio]
    if not rows:
        return "nothing to compare."
    if not reference_name(result):
        return " ".join(_each(result, row) for row in of_case(result, case) if row.ratio)
    names, best = labels(result), min(rows, key=merit)
    return (sentence(names[best.contender], best, against(result)[best.contender])
            + _worse(rows, names))


def _each(result: Result, row: Summary) -> str:
    """A sentence on one contender where there is no common reference."""
    text = sentence(labels(result)[row.contender], row, against(result)[row.contender])
    return text.replace("even ", "").replace("is the best and equals", "equals")


def is_native(contender: ContenderInfo | str) -> bool:
    """One of fio's own engines?"""
    return (contender if isinstance(contender, str) else contender.name).startswith("native")


def merit(row: Summary) -> tuple[int, float]:
    """A proven gain counts before a lower figure that may be chance."""
    words = ("faster", "same", "unclear", "too-few", "slower")
    return words.index(row.verdict), row.ratio.median if row.ratio else 1.0


def sentence(label: str, row: Summary, other: str) -> str:
    """The best mode against the other one."""
    assert row.ratio is not None
    ratio = row.ratio
    shift = f"{abs(1 - ratio.median):.1%}"
    low, high = sorted((abs(1 - ratio.low), abs(1 - ratio.high)))
    if row.verdict == "faster":
        return f"{label} has {shift} less latency than {other} ({low:.1%} to {high:.1%})."
    if row.verdict == "slower":
        return f"even {label} has {shift} more latency than {other} ({low:.1%} to {high:.1%})."
    if row.verdict == "same":
        return f"{label} is the best and equals {other} ({ratio.median - 1:+.1%})."
    if row.verdict == "too-few":
        return f"{label} is at {ratio.median:.3f} of {other}; too few rounds for a verdict."
    return (f"no clear difference; {label} is at {ratio.median:.3f} of {other} "
            f"[{ratio.low:.3f}, {ratio.high:.3f}].")


def _worse(rows: Sequence[Summary], names: dict[str, str]) -> str:
    """The modes that lose, which a reader must not overlook beside the best one."""
    slower = [row for row in rows if row.verdict == "slower"]
    if not slower or len(slower) == len(rows):
        return ""
    words = ", ".join(f"{names[row.contender]} ({row.ratio.median - 1:+.1%})"
                      for row in slower if row.ratio)
    return f" Slower: {words}."

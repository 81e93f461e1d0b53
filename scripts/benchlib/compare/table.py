# SPDX-License-Identifier: MIT OR Apache-2.0
"""A result as text: one table per case, then the verdict in plain English."""

from __future__ import annotations

from ..result.contents import against, cases, labels, of_case, reference_name
from ..result.model import Case, Result, Summary, left_out
from ..result.words import case_label, duration, same_workload
from ..stats.bootstrap import CONFIDENCE
from ..stats.summaries import VERDICTS
from .headline import headline

LABEL_WIDTH = 26
MOST_CASES = 8  # in the verdict, the largest differences first


def render(result: Result) -> str:
    """The whole text."""
    sections = [_section(result, case) for case in cases(result)]
    lines = [line for section in sections for line in [*section, ""]]
    return "\n".join([*_head(result), "", *lines, *verdict_lines(result), ""])


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
    width = max([LABEL_WIDTH, *(len(names[row.engine]) for row in rows)])
    calls = {(c.case, c.engine): c.per_io for c in result.system_calls}
    versus = f"latency vs. {reference_name(result) or 'the other'}"
    return [case_title(result, case),
            f"  {'':{width}} {'mean':>9} {'p50':>9} {'p99':>9} {'kIOPS':>8} {'calls/IO':>9}   "
            f"{versus}",
            *(_row(names[row.engine].ljust(width), row, calls.get((case, row.engine)),
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
    other = against(result)[row.engine]
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
    """The headline and the most important cases."""
    head = headline(result)
    shown, more = head.details[:MOST_CASES], len(head.details) - MOST_CASES
    lines = [head.line, *(f"- {line}" for line in shown)]
    if more > 0:
        lines.append(f"- and {more} more, in the tables above and in the report")
    lines += [f"Left out: {line}" for line in left_out(result.skips)]
    return ["Verdict", *(f"  {line}" for line in lines)]

# SPDX-License-Identifier: MIT OR Apache-2.0
"""A result as text: one table per target and depth, then the verdict in plain English."""

from __future__ import annotations

from typing import Sequence

from .model import Result, Summary, left_out
from .stats import CONFIDENCE, VERDICTS

LABEL_WIDTH = 26
HEAD = (f"  {'':{LABEL_WIDTH}} {'mean':>9} {'p50':>9} {'p99':>9} {'kIOPS':>8} "
        f"{'calls/IO':>9}   latency vs. native")


def render(result: Result) -> str:
    """The whole text."""
    sections = [_section(result, target, depth) for target, depth in cases(result)]
    lines = [line for section in sections for line in [*section, ""]]
    return "\n".join([*_head(result), "", *lines, *verdict_lines(result), ""])


def cases(result: Result) -> list[tuple[str, int]]:
    """(target, depth) in the order asked for, as far as measured."""
    measured = {(summary.target, summary.depth) for summary in result.summaries}
    return [(target.name, depth) for target in result.targets for depth in result.settings.depths
            if (target.name, depth) in measured]


def of_case(result: Result, target: str, depth: int) -> list[Summary]:
    """A case's summaries in the contenders' order."""
    order = [contender.name for contender in result.contenders]
    found = [s for s in result.summaries if (s.target, s.depth) == (target, depth)]
    return sorted(found, key=lambda summary: order.index(summary.contender))


def labels(result: Result) -> dict[str, str]:
    return {contender.name: contender.label for contender in result.contenders}


def workload(result: Result) -> str:
    """The workload in words: 512-byte random reads."""
    words = {"randread": "random reads", "read": "sequential reads", "randwrite": "random writes",
             "write": "sequential writes", "randrw": "random reads and writes"}
    size = result.settings.block_size
    unit = f"{size >> 10} KiB" if size >= 1024 and size % 1024 == 0 else f"{size}-byte"
    return f"{unit} {words.get(result.settings.rw, result.settings.rw)}"


def _head(result: Result) -> list[str]:
    settings = result.settings
    lines = [f"{workload(result)}, one job on one CPU, {settings.rounds} interleaved rounds of "
             f"{settings.runtime_ms} ms, seed {settings.seed}",
             "Latency is submission to completion (fio's lat); lower is better. Mean: median over "
             "the rounds;",
             "percentiles: all rounds' histograms merged; ratio: median of the rounds' ratios with "
             f"its {CONFIDENCE:.0%} interval."]
    if not result.complete:
        lines.insert(0, "PARTIAL RESULT: the run was stopped before its end.")
    return lines


def _section(result: Result, target: str, depth: int) -> list[str]:
    info = next(item for item in result.targets if item.name == target)
    names = labels(result)
    rows = of_case(result, target, depth)
    lines = [f"{info.label}, {info.medium}, queue depth {depth}", HEAD]
    calls = {(c.target, c.depth, c.contender): c.per_io for c in result.system_calls}
    lines += [_row(names[row.contender], row, calls.get((target, depth, row.contender)))
              for row in rows]
    return lines


def _row(label: str, row: Summary, calls: float | None) -> str:
    ratio = ""
    if row.ratio:
        ratio = f"{row.ratio.median:.3f} [{row.ratio.low:.3f}, {row.ratio.high:.3f}]  "
    return (f"  {label:{LABEL_WIDTH}} {duration(row.mean):>9} {duration(row.p50):>9} "
            f"{duration(row.p99):>9} {row.iops / 1000:>8.1f} "
            f"{'-' if calls is None else f'{calls:.1f}':>9}   "
            f"{ratio}{VERDICTS[row.verdict]}").rstrip()


def duration(nanoseconds: float) -> str:
    """With a unit and three significant digits: 738 ns, 1.13 µs, 50.8 µs, 2.40 ms."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            value = nanoseconds / size
            digits = 2 if value < 10 else 1 if value < 100 else 0
            return f"{value:.{digits}f} {unit}"
    return f"{nanoseconds:.0f} ns"


# ---- Verdict ---------------------------------------------------------------------------------


def verdict_lines(result: Result) -> list[str]:
    """One sentence per case, on the best of libblkio's modes."""
    names = labels(result)
    lines = [_case_verdict(result, target, depth, names) for target, depth in cases(result)]
    noise = disturbed_share(result)
    if noise:
        lines.append(f"Caution: other programs disturbed up to {noise:.0%} of the rounds behind a "
                     "figure; repeat on a quiet machine.")
    lines += [f"Left out: {line}" for line in left_out(result.skips)]
    return ["Verdict", *(f"  {line}" for line in lines)]


def disturbed_share(result: Result) -> float:
    """Of the rounds behind a figure, how many were disturbed; of the worst figure."""
    return max((row.disturbed / row.rounds for row in result.summaries), default=0.0)


def _case_verdict(result: Result, target: str, depth: int, names: dict[str, str]) -> str:
    where = f"{target}, depth {depth}:"
    rows = [row for row in of_case(result, target, depth)
            if row.ratio and not row.contender.startswith("native")]
    if not rows:
        return f"{where} nothing to compare."
    best = min(rows, key=_merit)
    return f"{where} {sentence(names[best.contender], best)}{_worse(rows, names)}"


def _merit(row: Summary) -> tuple[int, float]:
    """A proven gain counts before a lower figure that may be chance."""
    words = ("faster", "same", "unclear", "too-few", "slower")
    return words.index(row.verdict), row.ratio.median if row.ratio else 1.0


def sentence(label: str, row: Summary) -> str:
    """The best mode against native."""
    assert row.ratio is not None
    ratio = row.ratio
    shift = f"{abs(1 - ratio.median):.1%}"
    low, high = sorted((abs(1 - ratio.low), abs(1 - ratio.high)))
    if row.verdict == "faster":
        return f"{label} has {shift} less latency than native ({low:.1%} to {high:.1%})."
    if row.verdict == "slower":
        return f"even {label} has {shift} more latency than native ({low:.1%} to {high:.1%})."
    if row.verdict == "same":
        return f"{label} is the best and equals native ({ratio.median - 1:+.1%})."
    if row.verdict == "too-few":
        return f"{label} is at {ratio.median:.3f} of native; too few rounds for a verdict."
    return (f"no clear difference; {label} is at {ratio.median:.3f} of native "
            f"[{ratio.low:.3f}, {ratio.high:.3f}].")


def _worse(rows: Sequence[Summary], names: dict[str, str]) -> str:
    """The modes that lose, which a reader must not overlook beside the best one."""
    slower = [row for row in rows if row.verdict == "slower"]
    if not slower or len(slower) == len(rows):
        return ""
    words = ", ".join(f"{names[row.contender]} ({row.ratio.median - 1:+.1%})"
                      for row in slower if row.ratio)
    return f" Slower: {words}."

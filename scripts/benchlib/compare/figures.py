# SPDX-License-Identifier: MIT OR Apache-2.0
"""The figures of a comparison. Each function gives a figure whose title states what it shows, or
None where the data do not support it."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Sequence

import numpy as np

from ..page import bars, curves, heatmap, panels, tails
from ..page.page import Figure, Panel
from ..page.scale import PERCENTILES, change
from ..page.svg import Svg
from ..result.model import Case, Sample, Summary
from ..result.words import block_size, duration, workload
from ..stats import metrics
from ..stats.summaries import SAME_WITHIN
from .view import View

PROVEN = ("faster", "slower", "same")  # verdicts on a cell that may be coloured
P99 = metrics.tail(99, tails.ENOUGH)
MOST_SPANS, SPANS_OF_PART, MOST_MAPS = 36, 12, 12
FEWEST_DEPTHS = 3  # two points make no curve


def overview(view: View) -> Figure | None:
    """All ratios on one axis."""
    spans = [bars.Span(view.labels[row.engine], view.keys[row.engine].role,
                       view.keys[row.engine].marker, row.ratio.median, row.ratio.low,
                       row.ratio.high, change(row.ratio.median), view.title(case))
             for case in view.cases for row in view.rows(case) if row.ratio]
    if not spans or len(spans) > MOST_SPANS and _matrices(view):
        return None  # the heat maps show the same in less room
    count = Counter(row.verdict for case in view.cases for row in view.rows(case) if row.ratio)
    parts = [f"{count[word]} {words}" for word, words in (
        ("faster", "are faster than their reference"), ("slower", "slower"),
        ("same", "the same within 2 %"), ("unclear", "without a clear difference"),
        ("too-few", "have too few rounds to tell")) if count[word]]
    title = f"Of {len(spans)} comparisons, {', '.join(parts)}"
    alt = title + ". " + "; ".join(f"{row.group}, {row.name}: {row.words}" for row in spans) + "."

    def panel(part: list[bars.Span]) -> Panel:
        return Panel("", lambda width, _legend: bars.spans(
            width, part, alt, SAME_WITHIN, "mean latency against the reference; left is better",
            spans))

    return Figure(title, "Marks: median of the rounds' ratios; lines: its interval. A line that "
                  f"does not touch the dashed one is a proven difference; the shaded band is "
                  f"±{SAME_WITHIN:.0%}.".replace("%", " %"), list(map(panel, _parts(spans))),
                  stacked=True)


def _parts(spans: Sequence[bars.Span]) -> list[list[bars.Span]]:
    """As many whole cases as a part of a page holds, or one."""
    parts: list[list[bars.Span]] = []
    for _, case in itertools.groupby(spans, key=lambda span: span.group):
        own = list(case)
        if not parts or len(parts[-1]) + len(own) > SPANS_OF_PART:
            parts.append([])
        parts[-1] += own
    return parts


def means(view: View) -> Figure | None:
    """Bars of mean latency, one panel per case."""
    found = [mean_panel(view, case) for case in view.shown]
    if not found:
        return None
    proven = [(row.ratio.median, row) for row in view.result.summaries
              if row.ratio and row.verdict == "faster"]
    title = "No mode is proven to have less latency than its reference"
    if proven:
        ratio, top = min(proven, key=lambda pair: pair[0])
        title = (f"{view.labels[top.engine]} stands out most, on {view.title(top.case)}: "
                 f"{duration(top.mean)}, {change(ratio)}")
    return Figure(title, "Bars start at zero: lengths compare. Whiskers: 95 % interval of the "
                  "median over the rounds. Bold: proven faster than the reference. A torn bar goes "
                  "on beyond the panel." + panels.more(len(view.cases)), found)


def mean_panel(view: View, case: Case) -> Panel:
    """The mean latency of every mode in a case."""
    rows = [_bar(view, case, row) for row in view.rows(case)]
    references = [row.value for row in rows if row.role == "baseline"]
    limit = bars.CUT * min(references or [row.value for row in rows])
    alt = f"Mean latency, {view.title(case)}. " + "; ".join(f"{row.name}: {row.words}"
                                                            for row in rows) + "."
    return Panel(view.title(case),
                 lambda width, _legend: bars.bars(width, rows, alt, limit=limit))


def _bar(view: View, case: Case, row: Summary) -> bars.Bar:
    interval = view.mean(case, row.engine)
    low, high = (interval.low, interval.high) if interval else (row.mean, row.mean)
    words = duration(row.mean) + (f" · {change(row.ratio.median)}" if row.ratio else "")
    return bars.Bar(view.labels[row.engine], view.keys[row.engine].role, row.mean, low, high,
                    words, strong=row.verdict == "faster")


def ladders(view: View) -> Figure | None:
    """Percentile ladders, one panel per case."""
    found, used, winners = [], set(), Counter[str]()
    for case in view.shown:
        rows = view.rows(case)
        panel = panels.ladder(view.title(case), [
            (view.keys[row.engine], view.histogram(case, row.engine)) for row in rows])
        if panel:
            found.append(panel)
            used |= {row.engine for row in rows}
            best = view.least(case, P99)
            winners.update([view.labels[best]] if best else [])
    if not found:
        return None
    title = "No mode is proven to have the lowest 99th percentile"
    if winners:
        name, cases = winners.most_common(1)[0]
        title = f"{name} is proven to have the lowest 99th percentile" + (
            f" in {cases} of {len(found)} cases" if len(found) > 1 else "")
    return Figure(title, "A point at 99 says: 99 % of all I/Os took no longer than this. Further "
                  "right are the rarer, slower ones; lower is better. A line ends where fewer than "
                  f"{tails.ENOUGH} I/Os are left to tell{_not_carried(view)}."
                  f"{panels.more(len(view.cases))}", found, view.legend(list(used)))


def _not_carried(view: View) -> str:
    """Where all lines end, for who looks for more nines."""
    most = max((sum(view.histogram(case, row.engine).counts)
                for case in view.shown for row in view.rows(case)), default=0)
    lacking = next((percent for percent in PERCENTILES if tails.needed(percent) > most), None)
    return f": {tails.name(lacking)} takes {tails.needed(lacking):,}, and no mode has more than " \
        f"{most:,}" if lacking else ""


def rounds(view: View) -> Figure | None:
    """Every round's mean latency, in the order of time."""
    found, used, spreads = [], set(), []
    for case in view.shown:
        sides = [(row.engine, view.samples(case, row.engine)) for row in view.rows(case)]
        panel = panels.rounds(view.title(case), [(view.keys[name], samples)
                                                 for name, samples in sides])
        if panel:
            found.append(panel)
            used |= {name for name, _ in sides}
            spreads += [panels.spread(samples) for _, samples in sides if samples]
    if not found:
        return None
    typical = float(np.median(spreads))
    return Figure(f"Half of a mode's rounds typically lie within {typical:.0%} of each other: what "
                  "is slow for all in a round cancels out".replace("%", " %"),
                  "Each point is one fio process. Modes of the same round ran directly after each "
                  "other and are compared with each other only. Hollow points: other programs "
                  f"disturbed the round.{panels.more(len(view.cases))}", found,
                  view.legend(list(used)))


def within(view: View) -> list[Figure]:
    """What happened within a run of each mode, where that was logged: the last round of a case."""
    found = []
    for case in view.shown:
        sides = [(view.keys[row.engine], logs[-1]) for row in view.rows(case)
                 if (logs := [sample.within for sample in view.samples(case, row.engine)
                              if sample.within])]
        figure = panels.within(view.title(case), sides, "The last round of each mode, in intervals "
                               f"of {view.result.settings.log_ms} ms.") if sides else None
        found += [figure] if figure else []
    return found


# ---- Over the matrix -------------------------------------------------------------------------


def depths(view: View) -> list[Figure]:
    """Latency against IOPS, where there are enough depths for a curve."""
    found, used = [], set()
    groups: dict[tuple[str, str, int, int], list[Case]] = {}
    for case in view.cases:
        groups.setdefault((case.target, case.rw, case.block_size, case.numjobs), []).append(case)
    most, proven = 0.0, ""
    for group in list(groups.values())[:panels.MOST]:
        if len({case.depth for case in group}) < FEWEST_DEPTHS:
            continue
        series = _depth_series(view, sorted(group, key=lambda case: case.depth))
        used |= set(series)
        name, peak = max(((name, max(x for x, _ in item.points)) for name, item in series.items()),
                         key=lambda pair: pair[1])
        if peak > most:
            most = peak
            best = max(group, key=lambda case: max(row.iops for row in view.rows(case)))
            proven = view.least(best, _time_per_io)
        first = group[0]
        title = f"{first.target}, {block_size(first.block_size)} {workload(first.rw)}" + (
            f", {first.numjobs} jobs" if first.numjobs > 1 else "")
        alt = (f"Mean latency against I/Os per second at {len(group)} queue depths, {title}. The "
               f"most, {peak / 1000:.0f} thousand per second, has {view.labels[name]}.")
        found.append(panels.curve(title, curves.depth_curve, list(series.values()), alt))
    if not found:
        return []
    peak_words = f"{most / 1000:.0f} thousand"
    title = f"{view.labels[proven]} reaches the most I/Os per second: {peak_words}" if proven else \
        f"At most {peak_words} I/Os per second were measured; no mode is proven ahead"
    return [Figure(title,
                   "Along a line the queue gets deeper (the numbers). Right is more throughput, up "
                   "is more latency: good is right and low. Where a line turns upward, more depth "
                   "only adds waiting.", found, view.legend(list(used)))]


def _time_per_io(sample: Sample) -> float:
    return 1 / sample.iops if sample.iops else math.inf


def _depth_series(view: View, group: Sequence[Case]) -> dict[str, curves.Series]:
    """One line per mode; only the first one's points are numbered, or numbers would collide."""
    points: dict[str, list[tuple[float, float]]] = {}
    labels: dict[str, list[str]] = {}
    for case in group:
        for row in view.rows(case):
            points.setdefault(row.engine, []).append((row.iops, row.mean))
            labels.setdefault(row.engine, []).append(str(case.depth))
    first = next(iter(points))
    return {name: curves.Series(view.keys[name], places, labels[name] if name == first else [])
            for name, places in points.items()}


def _matrices(view: View) -> dict[tuple[str, str, int, str], list[Summary]]:
    """The rows of each mode on a target that vary in both block size and depth."""
    groups: dict[tuple[str, str, int, str], list[Summary]] = {}
    for case in view.cases:
        for row in view.rows(case):
            if row.ratio:
                groups.setdefault((case.target, case.rw, case.numjobs, row.engine),
                                  []).append(row)
    return {name: rows for name, rows in groups.items() if min(
        len({row.case.block_size for row in rows}), len({row.case.depth for row in rows})) > 1}


def maps(view: View) -> list[Figure]:
    """Heat maps of the ratio over block size and depth, a panel per mode."""
    groups = _matrices(view)
    found = []
    for (target, rw, _, engine), rows in list(groups.items())[:MOST_MAPS]:
        sizes = sorted({row.case.block_size for row in rows})
        counts = sorted({row.case.depth for row in rows})
        grid = heatmap.Grid(
            [block_size(size) for size in sizes], [str(depth) for depth in counts], "block size",
            "queue depth", {(block_size(row.case.block_size), str(row.case.depth)): heatmap.Tile(
                row.ratio.median, change(row.ratio.median), row.verdict in PROVEN)
                for row in rows if row.ratio},
            diverging=True)
        title = f"{view.labels[engine]}, {target}, {workload(rw)}"
        alt = f"Mean latency relative to the reference over block size and queue depth: {title}."
        found.append(Panel(title, lambda width, _legend, grid=grid, alt=alt:  # type: ignore[misc]
                           heatmap.heatmap(width, grid, alt)))
    if not found:
        return []
    every = [row for rows in groups.values() for row in rows]
    count = Counter(row.verdict for row in every)
    unproven = count["unclear"] + count["too-few"]
    title = f"In {count['faster']} of {len(every)} cells of the matrix the latency is proven to be " \
        f"below the reference, in {count['slower']} above" + (
            f"; {unproven} prove nothing" if unproven else "")
    return [Figure(title, "Each cell: the difference in mean latency. Blue and minus: less than the "
                   "reference; orange and plus: more. Dashed, without colour: not proven.", found)]

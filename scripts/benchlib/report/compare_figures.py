# SPDX-License-Identifier: MIT OR Apache-2.0
"""The figures of a comparison. Each function gives a figure whose title states what it shows, or
None where the data do not support it."""

from __future__ import annotations

from collections import Counter
from typing import Sequence

import numpy as np

from ..model import Case, Summary
from ..stats import SAME_WITHIN
from ..words import block_size, duration, workload
from . import bars, curves, heatmap, panels, tails
from .compare_view import View
from .page import Figure, Panel
from .scale import change
from .svg import Svg

FEWEST_DEPTHS = 3  # two points make no curve


def overview(view: View) -> Figure | None:
    """All ratios on one axis."""
    spans = [bars.Span(view.labels[row.contender], view.keys[row.contender].role,
                       view.keys[row.contender].marker, row.ratio.median, row.ratio.low,
                       row.ratio.high, change(row.ratio.median), view.title(case))
             for case in view.cases for row in view.rows(case) if row.ratio]
    if not spans:
        return None
    count = Counter(row.verdict for case in view.cases for row in view.rows(case) if row.ratio)
    title = (f"Of {len(spans)} comparisons, {count['faster']} are faster than the reference, "
             f"{count['slower']} slower, {len(spans) - count['faster'] - count['slower']} without "
             "a clear difference")
    alt = title + ". " + "; ".join(f"{row.group}, {row.name}: {row.words}" for row in spans) + "."

    def draw(width: float, _legend: bool) -> Svg:
        return bars.spans(width, spans, alt, SAME_WITHIN,
                          "mean latency against the reference; left is better")

    return Figure(title, "Marks: median of the rounds' ratios; lines: its interval. A line that "
                  f"does not touch the dashed one is a proven difference; the shaded band is "
                  f"±{SAME_WITHIN:.0%}.".replace("%", " %"), [Panel("", draw)])


def means(view: View) -> Figure | None:
    """Bars of mean latency, one panel per case."""
    found = [panel for case in view.cases[:panels.MOST] if (panel := _mean_panel(view, case))]
    if not found:
        return None
    proven = [(row.ratio.median, row) for row in view.result.summaries
              if row.ratio and row.verdict == "faster"]
    title = "No mode is proven to have less latency than its reference"
    if proven:
        ratio, top = min(proven, key=lambda pair: pair[0])
        title = (f"{view.labels[top.contender]} stands out most, on {view.title(top.case)}: "
                 f"{duration(top.mean)}, {change(ratio)}")
    return Figure(title, "Bars start at zero: lengths compare. Whiskers: 95 % interval of the "
                  "median over the rounds. Bold: proven faster than the reference. A torn bar goes "
                  "on beyond the panel." + panels.more(len(view.cases)), found)


def _mean_panel(view: View, case: Case) -> Panel | None:
    rows = [_bar(view, case, row) for row in view.rows(case)]
    if not rows:
        return None
    references = [row.value for row in rows if row.role == "baseline"]
    limit = bars.CUT * min(references or [row.value for row in rows])
    alt = f"Mean latency, {view.title(case)}. " + "; ".join(f"{row.name}: {row.words}"
                                                           for row in rows) + "."
    return Panel(view.title(case),
                 lambda width, _legend: bars.bars(width, rows, alt, limit=limit))


def _bar(view: View, case: Case, row: Summary) -> bars.Bar:
    interval = view.mean(case, row.contender)
    low, high = (interval.low, interval.high) if interval else (row.mean, row.mean)
    words = duration(row.mean) + (f" · {change(row.ratio.median)}" if row.ratio else "")
    return bars.Bar(view.labels[row.contender], view.keys[row.contender].role, row.mean, low, high,
                    words, strong=row.verdict == "faster")


def ladders(view: View) -> Figure | None:
    """Percentile ladders, one panel per case."""
    found, used, winners = [], set(), Counter[str]()
    for case in view.cases[:panels.MOST]:
        rows = view.rows(case)
        panel = panels.ladder(view.title(case), [
            (view.keys[row.contender], view.histogram(case, row.contender)) for row in rows])
        if panel:
            found.append(panel)
            used |= {row.contender for row in rows}
            winners[view.labels[min(rows, key=lambda row: row.p99).contender]] += 1
    if not found:
        return None
    name, cases = winners.most_common(1)[0]
    title = f"{name} has the lowest 99th percentile" + (
        f" in {cases} of {len(found)} cases" if len(found) > 1 else "")
    return Figure(title, "A point at 99 says: 99 % of all I/Os took no longer than this. Further "
                  "right are the rarer, slower ones; lower is better. A line ends where fewer than "
                  f"{tails.ENOUGH} I/Os are left to tell.{panels.more(len(view.cases))}", found,
                  view.legend(list(used)))


def rounds(view: View) -> Figure | None:
    """Every round's mean latency, in the order of time."""
    found, used, spreads = [], set(), []
    for case in view.cases[:panels.MOST]:
        sides = [(row.contender, view.samples(case, row.contender)) for row in view.rows(case)]
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


# ---- Over the matrix -------------------------------------------------------------------------


def depths(view: View) -> list[Figure]:
    """Latency against IOPS, where there are enough depths for a curve."""
    found, used = [], set()
    groups: dict[tuple[str, str, int, int], list[Case]] = {}
    for case in view.cases:
        groups.setdefault((case.target, case.rw, case.block_size, case.numjobs), []).append(case)
    most = ("", 0.0)
    for group in list(groups.values())[:panels.MOST]:
        if len({case.depth for case in group}) < FEWEST_DEPTHS:
            continue
        series = _depth_series(view, sorted(group, key=lambda case: case.depth))
        used |= set(series)
        name, peak = max(((name, max(x for x, _ in item.points)) for name, item in series.items()),
                         key=lambda pair: pair[1])
        most = max(most, (view.labels[name], peak), key=lambda pair: pair[1])
        first = group[0]
        title = f"{first.target}, {block_size(first.block_size)} {workload(first.rw)}" + (
            f", {first.numjobs} jobs" if first.numjobs > 1 else "")
        alt = (f"Mean latency against I/Os per second at {len(group)} queue depths, {title}. The "
               f"most, {peak / 1000:.0f} thousand per second, has {view.labels[name]}.")
        found.append(panels.curve(title, curves.depth_curve, list(series.values()), alt))
    if not found:
        return []
    return [Figure(f"{most[0]} reaches the most I/Os per second: {most[1] / 1000:.0f} thousand",
                   "Along a line the queue gets deeper (the numbers). Right is more throughput, up "
                   "is more latency: good is right and low. Where a line turns upward, more depth "
                   "only adds waiting.", found, view.legend(list(used)))]


def _depth_series(view: View, group: Sequence[Case]) -> dict[str, curves.Series]:
    """One line per mode; only the first one's points are numbered, or numbers would collide."""
    points: dict[str, list[tuple[float, float]]] = {}
    labels: dict[str, list[str]] = {}
    for case in group:
        for row in view.rows(case):
            points.setdefault(row.contender, []).append((row.iops, row.mean))
            labels.setdefault(row.contender, []).append(str(case.depth))
    first = next(iter(points))
    return {name: curves.Series(view.keys[name], places, labels[name] if name == first else [])
            for name, places in points.items()}


def maps(view: View) -> list[Figure]:
    """Heat maps of the ratio over block size and depth, a panel per mode."""
    groups: dict[tuple[str, str, int, str], list[Summary]] = {}
    for case in view.cases:
        for row in view.rows(case):
            if row.ratio:
                groups.setdefault((case.target, case.rw, case.numjobs, row.contender),
                                  []).append(row)
    found = []
    for (target, rw, _, contender), rows in list(groups.items())[:panels.MOST]:
        sizes = sorted({row.case.block_size for row in rows})
        counts = sorted({row.case.depth for row in rows})
        if len(sizes) < 2 or len(counts) < 2:
            continue
        grid = heatmap.Grid(
            [block_size(size) for size in sizes], [str(depth) for depth in counts], "block size",
            "queue depth", {(block_size(row.case.block_size), str(row.case.depth)): heatmap.Cell(
                row.ratio.median, change(row.ratio.median)) for row in rows if row.ratio},
            diverging=True)
        title = f"{view.labels[contender]}, {target}, {workload(rw)}"
        alt = f"Mean latency relative to the reference over block size and queue depth: {title}."
        found.append(Panel(title, lambda width, _legend, grid=grid, alt=alt:  # type: ignore[misc]
                            heatmap.heatmap(width, grid, alt)))
    if not found:
        return []
    every = [row for rows in groups.values() for row in rows if row.ratio]
    less = sum(row.ratio.median < 1 for row in every if row.ratio)
    return [Figure(f"In {less} of {len(every)} cells of the matrix the latency is below the "
                   "reference", "Each cell: the difference in mean latency. Blue and minus: less "
                   "than the reference; orange and plus: more.", found)]

# SPDX-License-Identifier: MIT OR Apache-2.0
"""The figures of a qualification, each only where the steps have the data for it."""

from __future__ import annotations

from typing import Callable, Sequence

from ..page import bars, curves, heatmap
from ..page.frame import Key, key
from ..page.page import Figure, Panel
from ..page.scale import change, short_count, short_duration
from ..page.svg import Svg
from ..page.tails import ladder_points
from ..result.words import block_size, duration, workload
from ..stats import summaries
from ..stats.pairing import ENOUGH_ROUNDS
from ..stats.summaries import SAME_WITHIN
from .model import Cell, Qualification, Steady, Step, Workload
from .steady import MOST_DRIFT, MOST_SPREAD

FEWEST_POINTS = 3
METRICS: dict[str, tuple[str, Callable[[float], str]]] = {
    "iops": ("I/Os per second", short_count), "mean": ("mean latency", short_duration),
    "bandwidth": ("bytes per second", short_count)}


def read_share(rw: str) -> int | None:
    """Per cent of reads in a workload; None for what is neither reading nor writing."""
    kind, _, share = rw.partition(":")
    if share.isdigit():
        return int(share)
    return {"read": 100, "randread": 100, "write": 0, "randwrite": 0, "rw": 50, "randrw": 50,
            "readwrite": 50}.get(kind)


def _steps(found: Qualification, *kinds: str) -> list[Step]:
    return [step for step in found.steps if step.kind in kinds]


def _panel(title: str, draw: Callable[[float], Svg]) -> Panel:
    """A drawing without a legend of its own."""
    return Panel(title, lambda width, _legend: draw(width))


def _short(title: str) -> str:
    return title.partition(":")[0]


# ---- Steady state ----------------------------------------------------------------------------


def steady_states(found: Qualification) -> list[Figure]:
    states = [(step, state) for step in found.steps for state in step.steady
              if len(state.values) >= FEWEST_POINTS]
    if not states:
        return []
    reached = sum(state.reached for _, state in states)
    title = f"{reached} of {len(states)} series reached their steady state"
    if reached == len(states):
        title = f"Steady after {min(len(s.values) for _, s in states)} to " \
                f"{max(len(s.values) for _, s in states)} rounds in all {len(states)} series" \
            if len(states) > 1 else f"Steady after {len(states[0][1].values)} rounds"
    return [Figure(title, "Shaded: the window that is judged. Dashed: the window's mean and the "
                   f"range of {MOST_SPREAD:.0%} in which its figures must lie. Dotted: the line "
                   f"fitted through them, which may drift by {MOST_DRIFT:.0%}. Hollow: rounds "
                   "before the window.".replace("%", " %"),
                   [_panel(f"{_short(step.title)}: {state.subject}",
                           lambda width, state=state: _steady(width, state))
                    for step, state in states])]


def _steady(width: float, state: Steady) -> Svg:
    last = state.first + state.rounds - 1
    title, words = METRICS[state.metric]
    half = MOST_SPREAD / 2 * state.mean
    levels = [(state.mean, "mean"), (state.mean + half, f"+{MOST_SPREAD / 2:.0%}"),
              (state.mean - half, f"−{MOST_SPREAD / 2:.0%}")]
    marks = curves.Marks(
        spans=[(state.first + 0.7, last + 1.3)], levels=levels,
        slopes=[((i + 1.0, state.intercept + state.slope * i),
                 (j + 1.0, state.intercept + state.slope * j)) for i, j in ((state.first, last),)])
    series = curves.Series(
        key("rounds", 0 if state.reached else 1),
        [(i + 1.0, value) for i, value in enumerate(state.values)],
        hollow=[not state.first <= i <= last for i in range(len(state.values))])
    axis = curves.near_axis(title, [*state.values, *(level for level, _ in levels)], words)
    alt = (f"{state.subject} over {len(state.values)} rounds: "
           f"{'steady' if state.reached else 'not steady'}, scatter {state.spread:.1%}, drift "
           f"{state.drift:.1%} of the mean {words(state.mean)}.")
    return curves.steady(width, series, alt, axis, marks)


# ---- Throughput ------------------------------------------------------------------------------


def iops(found: Qualification) -> list[Figure]:
    """Block size by share of reads."""
    figures = []
    for step in _steps(found, "iops"):
        settled = all(state.reached for state in step.steady)
        grid = _grid(step.cells, settled)
        if len(grid.rows) < 2 or len(grid.columns) < 2:
            figures += _bars([step], lambda cell: cell.iops, short_count, "I/Os per second")
            continue
        best = max(step.cells, key=lambda cell: cell.iops)
        alt = "I/Os per second by block size and share of reads: " + "; ".join(
            f"{row}, {column}: {cell.words}" for (row, column), cell in grid.cells.items()) + "."
        figures.append(Figure(
            f"The most is reached by {block_size(best.workload.block_size)} "
            f"{workload(best.workload.rw)}: {best.iops / 1000:,.1f} thousand I/Os per second"
            + ("" if settled else ", but not in a steady state"),
            "I/Os per second over the rounds that count; the deeper the blue, the more."
            + ("" if settled else " Without colour: no steady state was reached."),
            [_panel(_short(step.title), lambda width, grid=grid, alt=alt:
                    heatmap.heatmap(width, grid, alt))]))
    return figures


def _grid(cells: Sequence[Cell], settled: bool) -> heatmap.Grid:
    usable = [(cell, read_share(cell.workload.rw)) for cell in cells]
    shares = sorted({share for _, share in usable if share is not None}, reverse=True)
    sizes = sorted({cell.workload.block_size for cell, share in usable if share is not None})
    places = {(block_size(cell.workload.block_size), f"{share} %"):
              heatmap.Tile(cell.iops, short_count(cell.iops), settled)
              for cell, share in usable if share is not None}
    return heatmap.Grid([block_size(size) for size in sizes], [f"{share} %" for share in shares],
                        "block size", "share of reads", places)


def throughput(found: Qualification) -> list[Figure]:
    return _bars(_steps(found, "throughput"), lambda cell: cell.bandwidth,
                 lambda value: f"{value / 1e6:,.0f} MB/s", "bytes per second")


def mixed(found: Qualification) -> list[Figure]:
    return [figure for kind in ("mixed", "trim") for figure in _bars(
        _steps(found, kind), lambda cell: cell.iops, short_count, "I/Os per second")]


def latency(found: Qualification) -> list[Figure]:
    return _bars(_steps(found, "latency"), lambda cell: cell.mean, duration, "latency")


def _bars(steps: Sequence[Step], value: Callable[[Cell], float], words: Callable[[float], str],
          unit: str) -> list[Figure]:
    """One bar per cell, a panel per step."""
    panels, all_cells = [], []
    for step in steps:
        if not step.cells:
            continue
        all_cells += step.cells
        rows = [bars.Bar(work_name(cell.workload), _direction(cell).role, value(cell),
                         value(cell), value(cell), words(value(cell))) for cell in step.cells]
        alt = f"{step.title}. " + "; ".join(f"{row.name}: {row.words}" for row in rows) + "."
        panels.append(_panel(_short(step.title), lambda width, rows=rows, alt=alt:
                             bars.bars(width, rows, alt, unit)))
    if not panels:
        return []
    pick = min if unit == "latency" else max
    best = pick(all_cells, key=value)
    word = "The quickest are" if unit == "latency" else "The most is reached by"
    return [Figure(f"{word} {work_name(best.workload)}: {words(value(best))}",
                   f"{unit[0].upper()}{unit[1:]}; bars start at zero. Blue: reads, orange: writes "
                   "and trims, green: both.", panels)]


def work_name(work: Workload) -> str:
    """4 KiB random reads, depth 32"""
    size = "mixed sizes," if work.split else block_size(work.block_size)
    jobs = f", {work.numjobs} jobs" if work.numjobs > 1 else ""
    return f"{size} {workload(work.rw)}, depth {work.depth}{jobs}"


def _direction(cell: Cell) -> Key:
    """Reads, writes, both."""
    share = read_share(cell.workload.rw)
    return key("", 0 if share == 100 else 2 if share else 1)


# ---- Latency ---------------------------------------------------------------------------------


def depths(found: Qualification) -> list[Figure]:
    panels, best = [], ("", 0.0)
    for step in _steps(found, "depth"):
        groups: dict[tuple[str, int], list[Cell]] = {}
        for cell in step.cells:
            groups.setdefault((cell.workload.rw, cell.workload.block_size), []).append(cell)
        series = []
        for i, ((rw, size), cells) in enumerate(groups.items()):
            cells.sort(key=lambda cell: cell.workload.depth)
            if len(cells) >= FEWEST_POINTS:
                series.append(curves.Series(
                    key(f"{block_size(size)} {workload(rw)}", i),
                    [(cell.iops, cell.mean) for cell in cells],
                    [str(cell.workload.depth) for cell in cells]))
        if not series:
            continue
        top = max((cell for cell in step.cells), key=lambda cell: cell.iops)
        best = (f"depth {top.workload.depth}", top.iops)
        alt = f"{step.title}: mean latency against I/Os per second at {len(step.cells)} depths."
        panels.append(Panel(_short(step.title), lambda width, legend, series=series, alt=alt:
                            curves.depth_curve(width, series, alt, legend)))
    if not panels:
        return []
    return [Figure(f"The most I/Os per second, {best[1] / 1000:,.1f} thousand, come at {best[0]}",
                   "Along the line the queue gets deeper (the numbers). Right is more throughput, "
                   "up is more latency; where the line turns upward, more depth only adds waiting.",
                   panels)]


def tails_of(found: Qualification) -> list[Figure]:
    """Percentile ladders of the step that looks for the tail, else of the latency step."""
    steps = _steps(found, "qos") or _steps(found, "latency")
    panels, slowest = [], (0.0, "", 0.0)
    for step in steps:
        series = [curves.Series(key(work_name(cell.workload), i), points)
                  for i, cell in enumerate(step.cells) if (points := ladder_points(cell.latency))]
        if not series:
            continue
        for item in series:
            percent, value = item.points[-1]
            slowest = max(slowest, (value, item.key.name, percent))
        alt = f"{step.title}: latency at each percentile."
        panels.append((Panel(_short(step.title), lambda width, legend, series=series, alt=alt:
                             curves.ladder(width, series, alt, legend)),
                       [item.key for item in series]))
    if not panels:
        return []
    legend = panels[0][1] if len(panels) == 1 else []
    return [Figure(f"{slowest[2]:g} % of {slowest[1]} take at most {duration(slowest[0])}",
                   "A point at 99 says: 99 % of all I/Os took no longer than this. A line ends "
                   "where fewer than ten I/Os are left to tell.",
                   [panel for panel, _ in panels], legend)]


# ---- Over time -------------------------------------------------------------------------------


def saturation(found: Qualification) -> list[Figure]:
    panels, words = [], ""
    for step in _steps(found, "saturation"):
        if len(step.points) < FEWEST_POINTS:
            continue
        start = step.points[0].at
        points = [(point.at - start, point.iops) for point in step.points]
        values = [value for _, value in points]
        third = max(1, len(values) // 3)
        first, last = sum(values[:third]) / third, sum(values[-third:]) / third
        words = (f"Writing without a pause, the last third reaches {last / 1000:,.1f} thousand "
                 f"I/Os per second, {change(last / first)} against the first") if first > 0 else ""
        axis = curves.count_axis("I/Os per second", values)
        alt = f"{step.title}: {words}."
        panels.append(_panel(_short(step.title), lambda width, points=points, axis=axis, alt=alt:
                             curves.timeline(width, [curves.Series(key("writes", 0), points)], alt,
                                             axis)))
    if not panels:
        return []
    return [Figure(words or "Writing without a pause",
                   "Each point is one stretch of writing. A drop shows where caches are full or "
                   "the device began to clean up.", panels)]


def temperature(found: Qualification) -> list[Figure]:
    points = [(point.at, point.temperature_c) for step in found.steps for point in step.points
              if point.temperature_c is not None]
    if len(points) < FEWEST_POINTS:
        return []
    values = [value for _, value in points]
    axis = curves.near_axis("degrees Celsius", values, lambda value: f"{value:.0f} °C")
    alt = f"Temperature of the device, from {min(values):.0f} to {max(values):.0f} °C."
    return [Figure(f"The device got no hotter than {max(values):.0f} °C",
                   "Taken after each measurement.",
                   [_panel("", lambda width: curves.timeline(
                       width, [curves.Series(key("temperature", 1), points)], alt, axis))])]


def drivers(found: Qualification) -> list[Figure]:
    rows = [row for step in found.steps for row in step.drivers if row.ratio]
    if not rows:
        return []
    names = list(dict.fromkeys(row.label for row in rows))
    looks = {name: key(name, i) for i, name in enumerate(names)}
    spans = [bars.Span(row.label, looks[row.label].role, looks[row.label].marker, row.ratio.median,
                       row.ratio.low, row.ratio.high, change(row.ratio.median),
                       work_name(row.workload))
             for row in sorted(rows, key=lambda row: work_name(row.workload)) if row.ratio]
    proven = [row for row in rows if row.ratio and summaries.verdict(row.ratio) == "faster"]
    few = sum(row.ratio is not None and row.ratio.samples < ENOUGH_ROUNDS for row in rows)
    title = "No way is proven to have less latency than fio's own engine"
    if proven:
        best = min(proven, key=lambda row: row.ratio.median if row.ratio else 1.0)
        title = f"{best.label} is proven to have less latency than fio's own engine: " \
                f"{change(best.ratio.median if best.ratio else 1.0)}, {work_name(best.workload)}"
    elif few:
        title = f"Too few rounds to compare the ways: {few} of {len(rows)} have fewer than " \
                f"{ENOUGH_ROUNDS}"
    alt = "Mean latency relative to fio's own engine: " + "; ".join(
        f"{span.group}, {span.name}: {span.words}" for span in spans) + "."
    return [Figure(title, "Marks: median of the rounds' ratios; lines: its 95 % interval. A line "
                   "that does not touch the dashed one is a proven difference.",
                   [_panel("", lambda width: bars.spans(
                       width, spans, alt, SAME_WITHIN,
                       "mean latency against fio's own engine; left is better"))])]

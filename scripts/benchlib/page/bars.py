# SPDX-License-Identifier: MIT OR Apache-2.0
"""Charts of rows: bars with intervals, and intervals of ratios on a common axis.

Each row's name stands above or left of its mark, its figure beside it: nothing has to be looked up
in a legend, and nothing depends on colour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

from .frame import GAP, LINE, SMALL
from .scale import Linear, Log, change, from_zero, short_count, short_duration
from .svg import FONT_SIZE, Svg, shorten, text_width

CUT = 2.5  # bars longer than so many times the shortest reference are cut off, and say so
BAR = 15.0


@dataclass(frozen=True)
class Bar:
    name: str
    role: str
    value: float
    low: float
    high: float
    words: str  # the figure as text
    strong: bool = False


@dataclass(frozen=True)
class Span:
    """A ratio with its interval; 1 is no change."""

    name: str
    role: str
    marker: str
    median: float
    low: float
    high: float
    words: str
    group: str = ""  # rows of one group stand together under its name


def bars(width: float, rows: Sequence[Bar], alt: str, unit: str = "latency",
         limit: float | None = None) -> Svg:
    """Horizontal bars from zero. `limit`: the longest bar drawn, so that panels share a scale."""
    shown = [row for row in rows if math.isfinite(row.value) and row.value >= 0]
    step = LINE + BAR + 9
    svg = Svg(width, step * len(shown) + LINE * 1.7, alt)
    ends = [end for row in shown for end in (row.value, row.high)]
    _, high = from_zero([min(end, limit) for end in ends] if limit else ends, room=1.04)
    scale = Linear(0, high, 2, width - 8, max(3, int(width / 90)))
    foot = step * len(shown) + 2
    words = short_duration if unit == "latency" else short_count
    for tick in scale.ticks():
        svg.line(scale(tick), 0, scale(tick), foot, stroke="rule", stroke_width=1)
        text = words(tick)
        half = text_width(text, SMALL) / 2
        svg.text(min(max(scale(tick), half), width - half), foot + 14, text, anchor="middle",
                 size=SMALL, role="muted")
    for place, row in enumerate(shown):
        _bar(svg, row, place * step, scale)
    return svg


def _bar(svg: Svg, row: Bar, top: float, scale: Linear) -> None:
    """Name and figure above, the bar below them."""
    room = svg.width - text_width(row.words, bold=row.strong) - GAP * 2
    svg.text(2, top + LINE - 4, shorten(row.name, room, bold=row.strong), bold=row.strong)
    svg.text(svg.width - 4, top + LINE - 4, row.words, anchor="end", bold=row.strong)
    y = top + LINE + 1
    cut = row.value > scale.high
    end = scale(min(row.value, scale.high))
    svg.rect(scale(0), y, end - scale(0), BAR, fill=row.role, rx=1.5,
             tip=f"{row.name}: {row.words}")
    if cut:  # a torn edge says that it goes on
        for shift in (14, 20):
            svg.path([(end - shift - 3, y + BAR + 1), (end - shift + 3, y - 1)], stroke="paper",
                     stroke_width=3)
        return
    _whisker(svg, scale, row.low, row.high, y + BAR / 2)


def _whisker(svg: Svg, scale: Linear, low: float, high: float, y: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return
    left, right = scale(low), scale(min(high, scale.high))
    for role, stroke in (("paper", 3.6), ("ink", 1.5)):  # a light rim keeps it visible on the bar
        svg.line(left, y, right, y, stroke=role, stroke_width=stroke)
        svg.line(left, y - 4, left, y + 4, stroke=role, stroke_width=stroke)
        back = right - 5 if high > scale.high else right  # it goes on: an arrow head
        svg.path([(back, y - 4), (right, y), (back, y + 4)], stroke=role, stroke_width=stroke)


# ---- Ratios ----------------------------------------------------------------------------------

LEAST, MOST = 0.25, 4.0  # ratios beyond are drawn at the edge, with an arrow
# The most wanted first; those that find no room are left out.
TICKS = (1, 2, 0.5, 3, 4, 0.25, 1.5, 1.2, 0.8, 1.1, 0.9, 1.05, 0.95, 1.02, 0.98, 1.01, 0.99)


def spans(width: float, rows: Sequence[Span], alt: str, same: float, title: str,
          among: Sequence[Span] = ()) -> Svg:
    """Intervals of ratios on one logarithmic axis; `same`: the band that means no difference.
    `among` are all that share the axis, where the rows are drawn in several parts."""
    shown, every = ([row for row in some
                     if all(math.isfinite(v) and v > 0 for v in (row.median, row.low, row.high))]
                    for some in (rows, among or rows))
    stacked = width < 600  # names above the marks, where there is no room beside them
    step = LINE * 2 if stacked else LINE * 1.25
    groups = len(dict.fromkeys(row.group for row in shown if row.group))
    svg = Svg(width, step * len(shown) + groups * LINE * 1.5 + LINE * 3, alt)
    names = 0.0 if stacked else min(width * 0.4, max(
        (text_width(row.name) for row in every), default=0) + GAP * 2)
    figures = 0.0 if stacked else max((text_width(row.words) for row in every), default=0) + GAP
    scale = _ratio_scale(every, same, names + 8, width - figures - 12)
    _ratio_axis(svg, scale, same, title)
    y, group = LINE * 0.2, ""
    for row in shown:
        if row.group != group:
            y, group = y + LINE * 1.5, row.group
            svg.text(2, y - 5, shorten(group, width - 4, bold=True), bold=True,
                     rim=True)
        _span(svg, row, y, step, scale, stacked)
        y += step
    return svg


def _ratio_scale(rows: Sequence[Span], same: float, start: float, end: float) -> Log:
    ends = [min(max(v, LEAST), MOST) for row in rows for v in (row.low, row.high)]
    low = min([1 - 2.5 * same, *ends]) / 1.03
    high = max([1 + 2.5 * same, *ends]) * 1.03
    return Log(low, high, start, end)


def _ratio_axis(svg: Svg, scale: Log, same: float, title: str) -> None:
    foot = svg.height - LINE * 2.4
    left, right = scale(1 - same), scale(1 + same)
    svg.rect(left, 0, right - left, foot, fill="band")
    svg.line(scale(1), 0, scale(1), foot, stroke="muted", stroke_width=1.2, stroke_dasharray="5 3")
    taken: list[tuple[float, float]] = []
    for tick in TICKS:
        word = "same" if tick == 1 else change(tick).replace(".0", "")
        half = text_width(word, SMALL) / 2 + 3
        at = scale(tick)
        free = all(at + half <= start or at - half >= end for start, end in taken)
        if scale.low <= tick <= scale.high and free and half <= at <= svg.width - half:
            taken.append((at - half, at + half))
            svg.line(at, foot, at, foot + 4, stroke="muted", stroke_width=1)
            svg.text(at, foot + 16, word, anchor="middle", size=SMALL, role="muted")
    svg.line(scale.start, foot, scale.end, foot, stroke="muted", stroke_width=1)
    svg.text(svg.width - 4, foot + LINE * 2 - 3, shorten(title, svg.width - 8, SMALL), anchor="end",
             size=SMALL, role="muted")


def _span(svg: Svg, row: Span, top: float, step: float, scale: Log, stacked: bool) -> None:
    middle = top + step - LINE * 0.55
    text_y = top + LINE * 0.8 if stacked else middle + 4
    if stacked:
        room = svg.width - text_width(row.words) - GAP * 2
        svg.text(2, text_y, shorten(row.name, room), rim=True)
    else:
        svg.text(scale.start - GAP * 2, text_y, shorten(row.name, scale.start - GAP * 2),
                 anchor="end")
    svg.text(svg.width - 4, text_y, row.words, anchor="end")
    low, median, high = (min(max(v, scale.low), scale.high)
                         for v in (row.low, row.median, row.high))
    svg.line(scale(low), middle, scale(high), middle, stroke=row.role, stroke_width=2.4)
    for end, beyond in ((low, row.low < scale.low), (high, row.high > scale.high)):
        if beyond:  # goes on: an arrow head
            way = -5 if end == low else 5
            svg.path([(scale(end) - way, middle - 5), (scale(end), middle),
                      (scale(end) - way, middle + 5)], stroke=row.role, stroke_width=1.8)
        else:
            svg.line(scale(end), middle - 4, scale(end), middle + 4, stroke=row.role,
                     stroke_width=1.6)
    svg.marker(row.marker, scale(median), middle, row.role, size=FONT_SIZE / 3,
               tip=f"{row.name}: {row.words}")

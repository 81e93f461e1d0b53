# SPDX-License-Identifier: MIT OR Apache-2.0
"""Charts of lines: percentile ladder, latency over depth, over rounds, steady state, trend.

Each function takes plain series and gives a drawing of the asked width. Points that are not finite
are left out, and so is a series without points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Callable, Sequence

from .frame import SMALL, Axis, Frame, Key
from .scale import (PERCENTILES, Linear, Log, PercentileScale, around, finite, from_zero, log_range,
                    percent_name, short_count, short_duration)
from .svg import Point, Svg

TALL = 250.0  # height of a chart without its legend


@dataclass(frozen=True)
class Series:
    key: Key
    points: list[Point]
    labels: list[str] = field(default_factory=list)  # words beside the points
    hollow: list[bool] = field(default_factory=list)  # points of lesser weight
    spans: list[tuple[float, float]] = field(default_factory=list)  # low and high of each point


@dataclass(frozen=True)
class Marks:
    """What is drawn behind the lines, in values of the axes."""

    spans: list[Point] = field(default_factory=list)  # a shaded stretch, from x to x
    levels: list[tuple[float, str]] = field(default_factory=list)  # a horizontal limit
    slopes: list[tuple[Point, Point]] = field(default_factory=list)  # a fitted line


def clean(series: Sequence[Series], *, positive: bool = False) -> list[Series]:
    """The series that have points, without those that cannot be drawn."""
    kept = []
    for item in series:
        good = [i for i, (x, y) in enumerate(item.points)
                if math.isfinite(x) and math.isfinite(y) and (y > 0 or not positive)]
        if good:
            kept.append(replace(item, points=[item.points[i] for i in good],
                                labels=[item.labels[i] for i in good] if item.labels else [],
                                hollow=[item.hollow[i] for i in good] if item.hollow else [],
                                spans=[item.spans[i] for i in good] if item.spans else []))
    return kept


def _values(series: Sequence[Series]) -> list[float]:
    ends = [end for item in series for span in item.spans for end in span]
    return finite([y for item in series for _, y in item.points] + ends)


def _draw(size: tuple[float, float], alt: str, axes: tuple[Axis, Axis], series: Sequence[Series],
          marks: Marks = Marks(), legend: bool = True, stepped: bool = False) -> Svg:
    """Frame, marks, lines, points: in that order, so that data lie on top."""
    keys = [item.key for item in series] if legend else []
    frame = Frame(size, alt, *axes, legend=keys)
    _behind(frame, marks)
    for item in series:
        _line(frame, item, stepped)
    for item in series:
        _points(frame, item, axes)
    return frame.svg


def _behind(frame: Frame, marks: Marks) -> None:
    for start, end in marks.spans:
        left, right = sorted(min(max(frame.x(x), frame.left), frame.right) for x in (start, end))
        frame.svg.rect(left, frame.top, right - left, frame.bottom - frame.top, fill="band")
    taken: list[float] = []
    for value, words in marks.levels:
        at = frame.y(value)
        if not frame.top - 1 <= at <= frame.bottom + 1:
            continue
        frame.svg.line(frame.left, at, frame.right, at, stroke="muted", stroke_width=1.2,
                       stroke_dasharray="5 3")
        if all(abs(at - other) >= 13 for other in taken):  # or the words would lie on others
            frame.svg.text(frame.left + 4, at - 4, words, size=SMALL, role="muted", rim=True)
            taken.append(at)
    for (x1, y1), (x2, y2) in marks.slopes:
        frame.svg.line(frame.x(x1), frame.y(y1), frame.x(x2), frame.y(y2), stroke="ink",
                       stroke_width=1.6, stroke_dasharray="2 3")


def _line(frame: Frame, item: Series, stepped: bool) -> None:
    style = {"stroke_dasharray": item.key.dash} if item.key.dash else {}
    places = [(frame.x(x), frame.y(y)) for x, y in item.points]
    if stepped:
        places = [place for (x, y), (_, below) in zip(places, [places[0], *places])
                  for place in ((x, below), (x, y))]
    frame.svg.path(places, stroke=item.key.role, stroke_width=1.8, **style)


def _points(frame: Frame, item: Series, axes: tuple[Axis, Axis]) -> None:
    for i, (x, y) in enumerate(item.points):
        place_x, place_y = frame.x(x), frame.y(y)
        if item.spans:
            low, high = (frame.y(end) for end in item.spans[i])
            frame.svg.line(place_x, low, place_x, high, stroke=item.key.role, stroke_width=1.4)
        tip = f"{item.key.name}: {axes[1].words(y)} at {axes[0].words(x)}"
        frame.svg.marker(item.key.marker, place_x, place_y, item.key.role,
                         hollow=bool(item.hollow) and item.hollow[i], tip=tip,
                         size=3.2)
        if item.labels and item.labels[i]:
            anchor = "end" if place_x > frame.right - 30 else "start"
            shift = -8 if anchor == "end" else 8
            frame.svg.text(place_x + shift, place_y - 7, item.labels[i], anchor=anchor, size=SMALL,
                           role="muted")


# ---- Axes ------------------------------------------------------------------------------------


def latency_axis(title: str, values: Sequence[float]) -> Axis:
    """From zero, or logarithmic where the values lie far apart."""
    good = [value for value in finite(values) if value > 0]
    if good and max(good) / min(good) > 8:
        return log_latency_axis(title, values)
    low, high = from_zero(values)
    return Axis(title, lambda a, b, most: Linear(low, high, a, b, most), short_duration)


def near_axis(title: str, values: Sequence[float], words: Callable[[float], str]) -> Axis:
    """Around the values, to see how they scatter."""
    low, high = around(values)
    note = "" if low == 0 else " (not from zero)"
    return Axis(title + note, lambda a, b, most: Linear(low, high, a, b, most), words)


def near_latency_axis(title: str, values: Sequence[float]) -> Axis:
    """Around the values; logarithmic where they lie far apart."""
    good = [value for value in finite(values) if value > 0]
    if good and max(good) / min(good) > 8:
        return log_latency_axis(title, values)
    return near_axis(title, values, short_duration)


def log_latency_axis(title: str, values: Sequence[float]) -> Axis:
    low, high = log_range(values)
    return Axis(f"{title}, logarithmic", lambda a, b, most: Log(low, high, a, b, most),
                short_duration)


def count_axis(title: str, values: Sequence[float]) -> Axis:
    low, high = from_zero(values)
    return Axis(title, lambda a, b, most: Linear(low, high, a, b, most), short_count)


def number_axis(title: str, first: float, last: float) -> Axis:
    """Whole numbers: rounds, positions."""
    low, high = first - 0.4, max(last, first + 1) + 0.4

    def make(start: float, end: float, most: int) -> Linear:
        return Linear(low, high, start, end, max(2, min(most, int(high - low))))

    return Axis(title, make, lambda value: f"{value:.0f}" if abs(value % 1) < 1e-6 else "")


# ---- The charts ------------------------------------------------------------------------------


def ladder(width: float, series: Sequence[Series], alt: str, legend: bool = True) -> Svg:
    """Latency at each percentile; each further nine takes the same room."""
    shown = clean(series, positive=True)
    values = _values(shown)
    highest = max((x for item in shown for x, _ in item.points), default=99.0)
    top = next((tick for tick in PERCENTILES if tick >= highest - 1e-9), PERCENTILES[-1])
    x = Axis("percentile of all I/Os (each nine takes the same room)",
             lambda a, b, _most: PercentileScale(top, a, b), percent_name)
    return _draw((width, _height(width)), alt, (x, log_latency_axis("latency", values)), shown,
                 legend=legend)


def depth_curve(width: float, series: Sequence[Series], alt: str, legend: bool = True) -> Svg:
    """Latency (up) against IOPS (right); the points of a line are queue depths."""
    shown = clean(series, positive=True)
    x = count_axis("I/Os per second", [x for item in shown for x, _ in item.points])
    y = latency_axis("mean latency", _values(shown))
    return _draw((width, _height(width)), alt, (x, y), shown, legend=legend)


def over_rounds(width: float, series: Sequence[Series], alt: str, legend: bool = True) -> Svg:
    """Each round's latency, in the order of time."""
    shown = clean(series, positive=True)
    rounds = [x for item in shown for x, _ in item.points]
    x = number_axis("round", min(rounds, default=1), max(rounds, default=1))
    y = near_latency_axis("mean latency of the round", _values(shown))
    return _draw((width, _height(width)), alt, (x, y), shown, legend=legend)


def steady(width: float, series: Series, alt: str, y: Axis, marks: Marks) -> Svg:
    """A figure over the rounds of preconditioning, with the window and its limits."""
    shown = clean([series])
    rounds = [x for item in shown for x, _ in item.points]
    x = number_axis("round", min(rounds, default=1), max(rounds, default=1))
    return _draw((width, _height(width)), alt, (x, y), shown, marks, legend=False)


def trend(width: float, series: Sequence[Series], alt: str, y: Axis, marks: Marks) -> Svg:
    """One figure over the entries of a history."""
    shown = clean(series)
    places = [x for item in shown for x, _ in item.points]
    x = number_axis("results, in the order of time", min(places, default=1), max(places, default=1))
    return _draw((width, _height(width)), alt, (x, y), shown, marks, legend=False)


def timeline(width: float, series: Sequence[Series], alt: str, y: Axis,
             legend: bool = False) -> Svg:
    """A figure over the seconds of a run."""
    shown = clean(series)
    seconds = [x for item in shown for x, _ in item.points]
    low, high = 0.0, max(seconds, default=1.0) * 1.02 or 1.0
    x = Axis("seconds since the beginning", lambda a, b, most: Linear(low, high, a, b, most),
             short_count)
    return _draw((width, _height(width)), alt, (x, y), shown, legend=legend)


def _height(width: float) -> float:
    return TALL + (40 if width > 700 else 0)

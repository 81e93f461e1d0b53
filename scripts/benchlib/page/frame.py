# SPDX-License-Identifier: MIT OR Apache-2.0
"""What all charts with two axes share: margins, grid, tick labels, axis titles, the legend.

The title of the vertical axis stands above it, where it is read without tilting the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Sequence

from .colours import DASHES, MARKERS, series_role
from .scale import Scale
from .svg import FONT_SIZE, Svg, shorten, text_width

GAP = 8.0
LINE = FONT_SIZE * 1.55
SMALL = 11.0
SWATCH = 26.0


@dataclass(frozen=True)
class Key:
    """How a series looks wherever it appears."""

    name: str
    role: str
    marker: str
    dash: str


def key(name: str, index: int) -> Key:
    """The look of the series number `index`."""
    return Key(name, series_role(index), MARKERS[index % len(MARKERS)], DASHES[index % len(DASHES)])


def baseline_key(name: str) -> Key:
    return Key(name, "baseline", "circle", "4 3")


@dataclass(frozen=True)
class Axis:
    """One axis: `make` gives the scale between two pixels, with at most so many ticks."""

    title: str
    make: Callable[[float, float, int], Scale]
    words: Callable[[float], str]


class Frame:
    """An empty chart; x and y place values in it."""

    def __init__(self, size: tuple[float, float], alt: str, x: Axis, y: Axis,
                 legend: Sequence[Key] = ()) -> None:
        width, height = size
        rows = legend_rows(legend, width)
        top = LINE * len(rows) + LINE + 6
        self.svg = Svg(width, height, alt)
        _legend(self.svg, rows)
        self.top, self.bottom = top, height - LINE * 2 - 4
        self.y = y.make(self.bottom, self.top, max(3, int((self.bottom - self.top) / 36)))
        wanted = [y.words(tick) for tick in self.y.ticks()]
        left = max((text_width(word, SMALL) for word in wanted), default=20) + GAP
        self.left, self.right = left, width - 14
        self.x = x.make(self.left, self.right, max(3, int((self.right - self.left) / 64)))
        self._y_axis(y)
        self._x_axis(x)

    def _y_axis(self, axis: Axis) -> None:
        room = self.right - 2
        self.svg.text(2, self.top - 10, shorten(axis.title, room, SMALL), size=SMALL, role="muted")
        for tick in self.y.ticks():
            at = self.y(tick)
            self.svg.line(self.left, at, self.right, at, stroke="rule", stroke_width=1)
            self.svg.text(self.left - GAP + 2, at + 4, axis.words(tick), anchor="end", size=SMALL,
                          role="muted")

    def _x_axis(self, axis: Axis) -> None:
        end = -1e9
        for tick in self.x.ticks():
            at, word = self.x(tick), axis.words(tick)
            half = text_width(word, SMALL) / 2
            middle = min(max(at, half), self.svg.width - half)
            self.svg.line(at, self.bottom, at, self.bottom + 4, stroke="muted", stroke_width=1)
            if middle - half > end + 4:  # or it would touch the label before
                self.svg.text(middle, self.bottom + 17, word, anchor="middle", size=SMALL,
                              role="muted")
                end = middle + half
        self.svg.line(self.left, self.bottom, self.right, self.bottom, stroke="muted",
                      stroke_width=1)
        room = self.svg.width - 4
        self.svg.text(self.right, self.bottom + LINE * 2 - 2, shorten(axis.title, room, SMALL),
                      anchor="end", size=SMALL, role="muted")


def legend_rows(keys: Sequence[Key], width: float) -> list[list[tuple[float, Key]]]:
    """The entries of a legend with their places, in as many rows as it takes."""
    rows: list[list[tuple[float, Key]]] = []
    at = width
    for item in keys:
        room = SWATCH + text_width(item.name) + 18
        if at + room - 18 > width:
            rows.append([])
            at = 2.0
        rows[-1].append((at, item))
        at += room
    return rows


def _legend(svg: Svg, rows: list[list[tuple[float, Key]]]) -> None:
    for number, row in enumerate(rows):
        y = LINE * (number + 0.6)
        for x, item in row:
            swatch(svg, x, y, item)
            svg.text(x + SWATCH, y + 4, shorten(item.name, svg.width - x - SWATCH))


def swatch(svg: Svg, x: float, y: float, item: Key) -> None:
    """A piece of a series' line with its marker."""
    style = {"stroke_dasharray": item.dash} if item.dash else {}
    svg.line(x, y, x + SWATCH - 7, y, stroke=item.role, stroke_width=2, **style)
    svg.marker(item.marker, x + (SWATCH - 7) / 2, y, item.role)

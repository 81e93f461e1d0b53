# SPDX-License-Identifier: MIT OR Apache-2.0
"""A table drawn as a map: one cell for each pair of values, its figure inside, its shade the rank.

Shades run from pale to blue (more) or from orange over white to blue (ratios around 1): they differ
in lightness or in hue that colour-blind readers tell apart, and the figure says the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Mapping, Sequence

from .frame import LINE, SMALL
from .svg import FONT_SIZE, Svg, shorten, text_width

PALE, DEEP = (230, 240, 248), (0, 92, 150)
ORANGE, WHITE, BLUE = (213, 94, 0), (247, 247, 247), (0, 114, 178)
CELL = 34.0


@dataclass(frozen=True)
class Tile:
    value: float
    words: str
    proven: bool = True  # else it has no colour: chance would show as a pattern


@dataclass(frozen=True)
class Grid:
    rows: Sequence[str]
    columns: Sequence[str]
    row_title: str
    column_title: str
    cells: Mapping[tuple[str, str], Tile]  # by row and column; a missing one stays empty
    diverging: bool = False  # values are ratios around 1, lower is better


def heatmap(width: float, grid: Grid, alt: str) -> Svg:
    left = max((text_width(row) for row in grid.rows), default=0) + 10
    left = min(max(left, text_width(grid.row_title, SMALL) + 8), width * 0.4)
    top, cell = LINE * 2.2, (width - left - 2) / max(1, len(grid.columns))
    svg = Svg(width, top + CELL * len(grid.rows) + 4, alt)
    svg.text(left, 12, shorten(grid.column_title, width - left, SMALL), size=SMALL, role="muted")
    svg.text(2, top - 6, shorten(grid.row_title, left, SMALL), size=SMALL, role="muted")
    for i, column in enumerate(grid.columns):
        svg.text(left + (i + 0.5) * cell, top - 6, shorten(column, cell), anchor="middle")
    for j, row in enumerate(grid.rows):
        y = top + j * CELL
        svg.text(left - 8, y + CELL / 2 + 4, shorten(row, left - 8), anchor="end")
        for i, column in enumerate(grid.columns):
            _cell(svg, grid, (row, column), (left + i * cell, y, cell))
    return svg


def _cell(svg: Svg, grid: Grid, place: tuple[str, str], box: tuple[float, float, float]) -> None:
    x, y, width = box
    found = grid.cells.get(place)
    if found is None or not math.isfinite(found.value):
        svg.rect(x + 1, y + 1, width - 2, CELL - 2, fill="none", stroke="rule",
                 stroke_dasharray="3 3", tip=f"{place[0]}, {place[1]}: not measured")
        return
    shade = WHITE if not found.proven else _diverging(found.value) if grid.diverging else _sequential(
        found.value, [cell.value for cell in grid.cells.values() if math.isfinite(cell.value)])
    edge = {} if found.proven else {"stroke": "muted", "stroke_dasharray": "3 3"}
    svg.rect(x + 1, y + 1, width - 2, CELL - 2, fill=_css(shade), rx=2,
             tip=f"{place[0]}, {place[1]}: {found.words}{'' if found.proven else ', not proven'}",
             **edge)
    size = min(FONT_SIZE, FONT_SIZE * (width - 6) / max(1.0, text_width(found.words)))
    if size >= 7.5:
        svg.text(x + width / 2, y + CELL / 2 + size * 0.35, found.words, anchor="middle",
                 size=size, role="cell-dark" if _light(shade) else "cell-light")


Colour = tuple[int, int, int]


def _sequential(value: float, values: Sequence[float]) -> Colour:
    """By order of magnitude where the values are positive and far apart."""
    low, high = min(values), max(values)
    if high <= low:
        return _between(PALE, DEEP, 0.35)
    if low > 0 and high / low > 10:
        share = math.log(value / low) / math.log(high / low)
    else:
        share = (value - low) / (high - low)
    return _between(PALE, DEEP, share)


def _diverging(ratio: float) -> Colour:
    """Blue: less latency than the baseline; orange: more. Full colour at half or twice."""
    share = max(-1.0, min(1.0, math.log2(max(ratio, 1e-6))))
    return _between(WHITE, ORANGE, share) if share > 0 else _between(WHITE, BLUE, -share)


def _between(start: Colour, end: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(start, end))
    return red, green, blue


def _light(colour: Colour) -> bool:
    """Whether dark text reads better on it: relative luminance as WCAG defines it."""
    linear: list[float] = [
        part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4
        for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.18


def _css(colour: Colour) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)

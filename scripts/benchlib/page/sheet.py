# SPDX-License-Identifier: MIT OR Apache-2.0
"""Several drawings on one: a headline, panels in two columns, and lines below them."""

from __future__ import annotations

from typing import Sequence

from .frame import LINE, SMALL
from .page import Panel
from .svg import FONT_SIZE, Svg, shorten

MARGIN, GUTTER = 16.0, 40.0
HEADLINE = FONT_SIZE * 1.4


def sheet(width: float, title: str, subtitle: str, panels: Sequence[Panel],
          foot: Sequence[str]) -> Svg:
    """One drawing; panels beside each other are as high as the higher one."""
    columns = min(2, max(1, len(panels)))
    column = (width - 2 * MARGIN - (columns - 1) * GUTTER) / columns
    drawn = [(panel.title, panel.draw(column, False)) for panel in panels]
    rows = [drawn[i:i + columns] for i in range(0, len(drawn), columns)]
    heights = [max(drawing.height for _, drawing in row) + LINE * 2.2 for row in rows]
    top = MARGIN + HEADLINE + LINE * 2
    svg = Svg(width, top + sum(heights) + LINE * len(foot) + MARGIN, f"{title}. {subtitle}.")
    room = width - 2 * MARGIN
    svg.text(MARGIN, MARGIN + HEADLINE, shorten(title, room, HEADLINE, bold=True), bold=True,
             size=HEADLINE)
    svg.text(MARGIN, MARGIN + HEADLINE + LINE * 1.2, shorten(subtitle, room))
    for row, height in zip(rows, heights):
        for i, (name, drawing) in enumerate(row):
            x = MARGIN + i * (column + GUTTER)
            svg.text(x, top + LINE, shorten(name, column, bold=True), bold=True)
            svg.put(drawing, x, top + LINE * 1.5)
        top += height
    for number, line in enumerate(foot):
        svg.text(MARGIN, top + LINE * (number + 0.8), shorten(line, room, SMALL), size=SMALL,
                 role="muted")
    return svg

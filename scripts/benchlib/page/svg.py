# SPDX-License-Identifier: MIT OR Apache-2.0
"""A small SVG writer. Everything is escaped, every number must be finite, no size negative.

Colours are roles of colours.py: each element gets the plain colour, for viewers without the page's
style sheet, and a class, by which the page changes it in dark mode.
"""

from __future__ import annotations

import math
from html import escape
from typing import Iterable

from .colours import ROLES

FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
FONT_SIZE = 12.0
WIDE, NARROW = 0.64, 0.34  # of the font size; errs on the wide side
BOLDER = 1.13  # so much wider
Point = tuple[float, float]


def text_width(text: str, size: float = FONT_SIZE, bold: bool = False) -> float:
    """About how wide a text will be; a little too much rather than too little."""
    return sum(NARROW if char in "iljtfrI.,:;'|!() [" else 0.9 if char in "mwMW%@" else WIDE
               for char in text) * size * (BOLDER if bold else 1)


def shorten(text: str, room: float, size: float = FONT_SIZE, bold: bool = False) -> str:
    """The text, or its beginning and an ellipsis where it would not fit."""
    if text_width(text, size, bold) <= room:
        return text
    while text and text_width(text + "…", size, bold) > room:
        text = text[:-1]
    return text.rstrip() + "…"


class Svg:
    """One drawing; (0, 0) is the top left corner."""

    def __init__(self, width: float, height: float, alt: str) -> None:
        self.width, self.height, self.alt = width, height, alt
        self._parts: list[str] = []

    def rect(self, x: float, y: float, width: float, height: float, *, tip: str = "",
             **style: object) -> None:
        if width < 0 or height < 0:
            raise ValueError(f"a rectangle of {width} by {height}")
        self._add("rect", {"x": x, "y": y, "width": width, "height": height}, style, tip)

    def line(self, x1: float, y1: float, x2: float, y2: float, **style: object) -> None:
        self._add("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2}, style)

    def path(self, points: Iterable[Point], *, closed: bool = False, **style: object) -> None:
        steps = [f"{number(x)} {number(y)}" for x, y in points]
        if len(steps) < 2:
            return
        style.setdefault("fill", "none")
        style.setdefault("stroke_linejoin", "round")
        self._add("path", {"d": "M" + "L".join(steps) + ("Z" if closed else "")}, style)

    def marker(self, shape: str, x: float, y: float, role: str, *, size: float = 4.0,
               hollow: bool = False, tip: str = "") -> None:
        """A data point; hollow ones are of lesser weight."""
        style: dict[str, object] = {"fill": "paper" if hollow else role, "stroke": role,
                                    "stroke_width": 1.5}
        if shape == "circle":
            self._add("circle", {"cx": x, "cy": y, "r": size}, style, tip)
            return
        if shape in ("cross", "plus"):
            style["stroke_width"] = 2.2
        self._add("path", {"d": _outline(shape, x, y, size)}, style, tip)

    def text(self, x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False,
             size: float = FONT_SIZE, role: str = "ink", rim: bool = False) -> None:
        """`rim`: a rim in the colour of the paper, where lines may run below the text."""
        style: dict[str, object] = {"fill": role, "font_size": size}
        if anchor != "start":
            style["text_anchor"] = anchor
        if bold:
            style["font_weight"] = 600
        if rim:
            below = {"fill": "paper", "stroke": "paper", "stroke_width": 4}
            self._add("text", {"x": x, "y": y}, {**style, **below}, text, content=True)
        self._add("text", {"x": x, "y": y}, style, text, content=True)

    def put(self, other: Svg, x: float, y: float) -> None:
        """Another drawing as part of this one, its top left corner at (x, y)."""
        self._parts += [f'<g transform="translate({number(x)} {number(y)})">', *other._parts, "</g>"]

    def render(self, standalone: bool = False) -> str:
        """The element; a standalone one is a whole file and has its own background."""
        size = f"{number(self.width)} {number(self.height)}"
        extra = ""
        if standalone:
            extra = (f' xmlns="http://www.w3.org/2000/svg" width="{number(self.width)}"'
                     f' height="{number(self.height)}"')
            self._parts.insert(0, _element("rect", {"width": self.width, "height": self.height,
                                                    "fill": ROLES["paper"][0]}, ""))
        return (f'<svg viewBox="0 0 {size}" role="img" aria-label="{escape(self.alt)}"'
                f' font-family="{escape(FONT)}" font-size="{number(FONT_SIZE)}"{extra}>\n'
                + "\n".join(self._parts) + "\n</svg>")

    def _add(self, tag: str, place: dict[str, object], style: dict[str, object], text: str = "",
             content: bool = False) -> None:
        """One element; `text` is its content, or else the tip shown on hovering."""
        values, classes = dict(place), []
        for name, value in style.items():
            name = name.replace("_", "-")
            if name in ("fill", "stroke") and value in ROLES:
                classes.append(f"{name[0]}-{value}")
                value = ROLES[str(value)][0]
            values[name] = value
        if classes:
            values["class"] = " ".join(classes)
        inner = escape(text) if content else f"<title>{escape(text)}</title>" if text else ""
        self._parts.append(_element(tag, values, inner))


def number(value: float) -> str:
    """Two digits are finer than any screen; NaN and infinity are errors of the caller."""
    if not math.isfinite(value):
        raise ValueError(f"cannot draw at {value}")
    return f"{value:.2f}".rstrip("0").rstrip(".").replace("-0", "0", value == 0) or "0"


def _element(tag: str, values: dict[str, object], inner: str) -> str:
    written = "".join(
        f' {name}="{number(value) if isinstance(value, (int, float)) else escape(str(value))}"'
        for name, value in values.items())
    return f"<{tag}{written}>{inner}</{tag}>" if inner else f"<{tag}{written}/>"


def _outline(shape: str, x: float, y: float, size: float) -> str:
    """The path of a marker other than a circle."""
    r = size * 1.15
    corners: dict[str, list[Point]] = {
        "square": [(-r, -r), (r, -r), (r, r), (-r, r)],
        "triangle": [(0, -r * 1.1), (r * 1.1, r), (-r * 1.1, r)],
        "wedge": [(0, r * 1.1), (r * 1.1, -r), (-r * 1.1, -r)],
        "diamond": [(0, -r * 1.3), (r * 1.3, 0), (0, r * 1.3), (-r * 1.3, 0)],
    }
    strokes: dict[str, list[list[Point]]] = {
        "cross": [[(-r, -r), (r, r)], [(-r, r), (r, -r)]],
        "plus": [[(-r, 0), (r, 0)], [(0, -r), (0, r)]],
    }
    lines, end = ([corners[shape]], "Z") if shape in corners else (strokes[shape], "")
    return "".join("M" + "L".join(f"{number(x + dx)} {number(y + dy)}" for dx, dy in line) + end
                   for line in lines)

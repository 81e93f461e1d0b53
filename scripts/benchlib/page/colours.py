# SPDX-License-Identifier: MIT OR Apache-2.0
"""Colours, markers and dashes of every chart: those of Okabe and Ito, for colour-blind readers.

A chart names a colour by its role ("ink", "series-1"); pages in dark mode replace the value of the
role. Colour alone distinguishes nothing: each series has a marker and a dash of its own as well.
"""

from __future__ import annotations

# role: (on white, on a dark page); dark ones are lighter versions of the same hue
ROLES: dict[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#171b21"),
    "ink": ("#1d2329", "#e8ebee"),
    "muted": ("#5a646e", "#a3adb8"),
    "rule": ("#dde2e7", "#343c46"),
    "band": ("#eef1f4", "#242b34"),
    "good": ("#00664a", "#4fd1a5"),
    "bad": ("#a83c00", "#ff9b63"),
    "caution": ("#7a5600", "#f0bf4c"),
    "cell-dark": ("#14181d", "#14181d"),  # on the cells of a heat map, the same in both modes
    "cell-light": ("#ffffff", "#ffffff"),
    "baseline": ("#6f7982", "#98a3ae"),
    "series-0": ("#0072b2", "#4aa8e0"),
    "series-1": ("#d55e00", "#f58a42"),
    "series-2": ("#009e73", "#2cc79a"),
    "series-3": ("#cc79a7", "#e29ac3"),
    "series-4": ("#e69f00", "#f2b93b"),
    "series-5": ("#56b4e9", "#8accf2"),
    "series-6": ("#333b44", "#d5dae0"),
}
SERIES = tuple(role for role in ROLES if role.startswith("series-"))

MARKERS = ("circle", "square", "triangle", "diamond", "wedge", "cross", "plus")
DASHES = ("", "7 3", "2 3", "8 3 2 3", "5 2", "1 3", "12 4")


def series_role(index: int) -> str:
    return SERIES[index % len(SERIES)]


def style_sheet() -> str:
    """CSS that makes every role follow the page's light or dark variables."""
    light = "".join(f"--{role}:{value[0]};" for role, value in ROLES.items())
    dark = "".join(f"--{role}:{value[1]};" for role, value in ROLES.items())
    use = "".join(f".f-{role}{{fill:var(--{role})}}.s-{role}{{stroke:var(--{role})}}"
                  for role in ROLES)
    return (f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
            f"@media screen{{{use}}}")

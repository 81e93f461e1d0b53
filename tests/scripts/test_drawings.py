#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Drawings of reports: whatever a result holds, they lie on the paper, and their scales are round."""

from __future__ import annotations

import math
import unittest
import xml.etree.ElementTree as xml

from support import main
from test_report import MAKERS, WIDTHS, figures
from benchlib.page import bars, curves, heatmap, scale, svg
from benchlib.page.frame import key


class Drawings(unittest.TestCase):
    """What is drawn lies on the paper and is finite, however wide the paper."""

    def check(self, drawing: svg.Svg) -> None:
        root = xml.fromstring(drawing.render())
        for element in root.iter():
            for name, value in element.attrib.items():
                self.assertNotRegex(value, r"(?i)\bnan\b|\binf", f"{element.tag} {name}")
            if element.tag == "rect":
                x, width = float(element.get("x", 0)), float(element.get("width", 0))
                self.assertGreaterEqual(width, 0)
                self.assertLessEqual(x + width, drawing.width + 1)
            if element.tag == "text":
                self.check_text(element, drawing)

    def check_text(self, element: xml.Element, drawing: svg.Svg) -> None:
        x, y = float(element.get("x", 0)), float(element.get("y", 0))
        wide = svg.text_width(element.text or "", float(element.get("font-size", 12)))
        start = x - {"end": wide, "middle": wide / 2}.get(element.get("text-anchor", ""), 0)
        # text_width() errs on the wide side
        self.assertGreaterEqual(start, -0.15 * wide - 2, element.text)
        self.assertLessEqual(start + wide, drawing.width + 0.15 * wide + 2, element.text)
        self.assertTrue(0 < y <= drawing.height, element.text)

    def test_every_figure_of_every_kind(self) -> None:
        for name, make in MAKERS.items():
            for figure in figures(make()):
                for panel in figure.panels:
                    for width in WIDTHS:
                        with self.subTest(f"{name}: {figure.title}", width=width):
                            self.check(panel.draw(width, True))

    def test_values_that_cannot_be_drawn_are_left_out(self) -> None:
        bad = (math.nan, math.inf, -math.inf, 0.0, -5.0)
        series = curves.Series(key("s", 0), [(1.0, 5.0), *((2.0, value) for value in bad)],
                               spans=[(4.0, 6.0)] * 6, hollow=[False] * 6)
        for chart in (curves.ladder, curves.depth_curve, curves.over_rounds):
            with self.subTest(chart.__name__):
                self.check(chart(400, [series], "alt"))
        rows = [bars.Bar("b", "series-0", value, value, value, "words")
                for value in (1.0, *bad)]
        self.check(bars.bars(400, rows, "alt"))
        spans = [bars.Span("s", "series-0", "circle", value, value, value, "words")
                 for value in (1.0, *bad)]
        self.check(bars.spans(400, spans, "alt", 0.02, "title"))
        cells = {("r", str(i)): heatmap.Tile(value, "words") for i, value in enumerate((1.0, *bad))}
        grid = heatmap.Grid(["r"], [str(i) for i in range(6)], "row", "column", cells)
        self.check(heatmap.heatmap(400, grid, "alt"))

    def test_nothing_to_draw(self) -> None:
        for chart in (curves.ladder, curves.depth_curve, curves.over_rounds):
            self.check(chart(400, [], "alt"))
            self.check(chart(400, [curves.Series(key("s", 0), [])], "alt"))
        self.check(bars.bars(400, [], "alt"))
        self.check(bars.spans(400, [], "alt", 0.02, "title"))
        self.check(heatmap.heatmap(400, heatmap.Grid([], [], "row", "column", {}), "alt"))

    def test_one_value_and_equal_values(self) -> None:
        for points in ([(1.0, 7.0)], [(1.0, 7.0), (2.0, 7.0), (3.0, 7.0)]):
            for chart in (curves.ladder, curves.depth_curve, curves.over_rounds):
                self.check(chart(400, [curves.Series(key("s", 0), points)], "alt"))

    def test_long_names_are_shortened(self) -> None:
        rows = [bars.Bar("a name that never ends " * 20, "series-0", 1.0, 1.0, 1.0, "1 ns")]
        self.check(bars.bars(350, rows, "alt"))
        self.check(curves.over_rounds(350, [curves.Series(key("name " * 60, 0), [(1, 1), (2, 2)])],
                                      "alt"))

    def test_absurd_numbers_are_an_error_of_the_program(self) -> None:
        drawing = svg.Svg(10, 10, "alt")
        for call in (lambda: drawing.rect(0, 0, -1, 1), lambda: drawing.line(0, math.nan, 1, 1),
                     lambda: drawing.marker("circle", math.inf, 0, "ink")):
            with self.assertRaises(ValueError):
                call()


class Scales(unittest.TestCase):
    def test_places(self) -> None:
        self.assertEqual(scale.Linear(0, 10, 100, 200)(5), 150)
        self.assertAlmostEqual(scale.Log(1, 100, 0, 200)(10), 100)
        ladder = scale.PercentileScale(99.99, 0, 400)
        for percent, place in ((0, 0), (90, 100), (99, 200), (99.9, 300), (99.99, 400)):
            self.assertAlmostEqual(ladder(percent), place)

    def test_ticks_are_round_few_and_inside(self) -> None:
        for low, high in ((0, 1), (0, 983), (3.2e-7, 9e-7), (0.98, 1.02), (5e3, 7e9), (17, 18)):
            for kind in (scale.Linear, scale.Log):
                if kind is scale.Log and low <= 0:
                    continue
                ticks = kind(low, high, 0, 100).ticks()
                self.assertTrue(1 <= len(ticks) <= 8, (kind, low, high, ticks))
                self.assertTrue(all(low * 0.99 <= tick <= high * 1.01 for tick in ticks), ticks)

    def test_words(self) -> None:
        for value, words in ((0, "0"), (500, "500 ns"), (1000, "1 µs"), (2.5e6, "2.5 ms"),
                             (3e9, "3 s")):
            self.assertEqual(scale.short_duration(value), words)
        for ratio, words in ((0.909, "−9.1 %"), (1.0, "±0 %"), (1.23, "+23 %"), (5.0, "×5")):
            self.assertEqual(scale.change(ratio), words)
        self.assertEqual(scale.percent_name(99.999), "99.999")


if __name__ == "__main__":
    main()

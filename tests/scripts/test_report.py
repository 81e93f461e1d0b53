#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reports: whatever a result holds, the page is well-formed, loads nothing, draws no nonsense."""

from __future__ import annotations

import dataclasses
import math
import re
import tempfile
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any, Callable, Iterator

from report_support import HOSTILE, comparison, gated, qualification
from support import main
from benchlib import codec, model, results
from benchlib.errors import BenchError
from benchlib.qualify import store as qualify_store
from benchlib.report import (bars, command, curves, heatmap, html, markdown, of_compare, of_gate,
                             of_qualify, pdf, scale, sources, svg, tails)
from benchlib.report.frame import key
from benchlib.report.page import Chapter, Download, Figure, Page

MAKERS: dict[str, Callable[[], Chapter]] = {
    "comparison": lambda: of_compare.chapter(comparison(), []),
    "matrix": lambda: of_compare.chapter(
        comparison(depths=(1, 4, 16), sizes=(512, 4096)), []),
    "gate": lambda: of_gate.chapter(gated(), []),
    "qualification": lambda: of_qualify.chapter(qualification(), []),
}
WIDTHS = (html.NARROW, html.HALF, html.WIDE)


def page(chapter: Chapter) -> Page:
    return Page(chapter.title, [chapter])


def figures(chapter: Chapter) -> list[Figure]:
    return [block for section in chapter.sections for block in section.blocks
            if isinstance(block, Figure)]


def spoiled(value: Any, text: str) -> Any:
    """The value with all free text replaced, and what refers to each other still doing so."""
    if dataclasses.is_dataclass(value):
        fixed = {"schema", "verdict", "state", "kind", "metric", "rw", "what", "contender",
                 "against", "name", "target", "mode", "started", "source", "workloads"}
        return dataclasses.replace(value, **{  # type: ignore[type-var]
            field.name: getattr(value, field.name) if field.name in fixed
            else spoiled(getattr(value, field.name), text)
            for field in dataclasses.fields(value)})
    if isinstance(value, list):
        return [spoiled(item, text) for item in value]
    if isinstance(value, dict):
        return {name: spoiled(item, text) for name, item in value.items()}
    return text if isinstance(value, str) else value


def elements(text: str) -> Iterator[xml.Element]:
    """Of a well-formed page; raises for any other."""
    return xml.fromstring(text).iter()


class WellFormed(unittest.TestCase):
    def check(self, text: str) -> None:
        for element in elements(text):
            self.assertNotIn(element.tag, ("script", "iframe", "object", "embed", "img", "link"))
            for name, value in element.attrib.items():
                self.assertFalse(name.startswith("on"), f"{element.tag} has {name}")
                if name in ("href", "src", "action", "data"):
                    self.assertRegex(value, r"^(#|data:application/gzip;base64,)")
        style = " ".join(element.text or "" for element in elements(text)
                         if element.tag == "style")
        self.assertNotRegex(style, r"url\(|@import|expression")

    def test_every_kind_is_well_formed_and_refers_to_nothing_else(self) -> None:
        for name, make in MAKERS.items():
            with self.subTest(name):
                self.check(html.render(page(make())))

    def test_hostile_text_stays_text(self) -> None:
        for name, make in (("comparison", lambda: of_compare.chapter(
                spoiled(comparison(), HOSTILE), [Download(HOSTILE, b"{}")])),
                           ("gate", lambda: of_gate.chapter(spoiled(gated(), HOSTILE), [])),
                           ("qualification", lambda: of_qualify.chapter(
                               spoiled(qualification(), HOSTILE), []))):
            with self.subTest(name):
                chapter = make()
                text = html.render(page(chapter))
                self.check(text)
                self.assertIn("&lt;script&gt;", text)
                self.assertNotIn("49", re.findall(r"alert\(1\).{0,90}", text)[0])  # 7*7
                self.check_drawings(chapter)

    def check_drawings(self, chapter: Chapter) -> None:
        for figure in figures(chapter):
            for panel in figure.panels:
                xml.fromstring(panel.draw(html.HALF, True).render(standalone=True))

    def test_tables_and_drawings_speak(self) -> None:
        """Each header cell has a scope, each drawing that is no ornament a text."""
        for name, make in MAKERS.items():
            with self.subTest(name):
                for element in elements(html.render(page(make()))):
                    if element.tag == "th":
                        self.assertIn(element.get("scope"), ("row", "col"))
                    if element.tag == "svg" and element.get("aria-hidden") != "true":
                        self.assertEqual(element.get("role"), "img")
                        self.assertGreater(len(element.get("aria-label", "")), 20)

    def test_raw_data_are_inside(self) -> None:
        import base64
        import gzip
        raw = b'{"a": 1}' * 1000
        chapter = of_compare.chapter(comparison(), [Download("result.json", raw)])
        text = html.render(page(chapter))
        link = next(element for element in elements(text) if element.get("download"))
        packed = link.get("href", "").partition("base64,")[2]
        self.assertEqual(gzip.decompress(base64.b64decode(packed)), raw)
        self.assertEqual(text, html.render(page(chapter)))  # the same for the same result

    def test_markdown_escapes(self) -> None:
        chapter = of_compare.chapter(spoiled(comparison(), HOSTILE), [])
        text, drawings = markdown.render(page(chapter), "charts")
        self.assertNotRegex(text, r"(?<!\\)<script")
        self.assertTrue(drawings)
        for drawing in drawings.values():
            xml.fromstring(drawing)
        for line in text.splitlines():  # a name with a bar must not add a column
            if line.startswith("| ") and "fio-3.33" in line:
                self.assertEqual(len(re.findall(r"(?<!\\)\|", line)), 3)


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
        cells = {("r", str(i)): heatmap.Cell(value, "words") for i, value in enumerate((1.0, *bad))}
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
        ladder = scale.Percentile(99.99, 0, 400)
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


class OnlyWhatTheDataSupport(unittest.TestCase):
    def titles(self, chapter: Chapter) -> str:
        return " | ".join(section.title for section in chapter.sections)

    def test_curves_need_depths_and_maps_need_both(self) -> None:
        two = of_compare.chapter(comparison(depths=(1, 32)), [])
        self.assertNotIn("More I/O in flight", self.titles(two))
        many = of_compare.chapter(comparison(depths=(1, 4, 16), sizes=(512, 4096)), [])
        self.assertIn("More I/O in flight", self.titles(many))
        self.assertIn("cells of the matrix", " ".join(f.title for f in figures(many)))
        self.assertNotIn("cells of the matrix", " ".join(f.title for f in figures(two)))

    def test_percentiles_end_where_ios_end(self) -> None:
        histogram = model.Histogram([1000, 2000], [990, 10])
        self.assertEqual(max(percent for percent, _ in tails.ladder_points(histogram)), 99.0)
        self.assertEqual(tails.ladder_points(model.Histogram()), [])
        few = model.Histogram([1000], [5])
        self.assertEqual(tails.ladder_points(few), [])
        self.assertEqual(tails.deepest([histogram]), 99.0)
        self.assertIsNone(tails.deepest([histogram, few]))

    def test_a_result_without_figures(self) -> None:
        empty = comparison(summaries=[], samples=[])
        chapter = of_compare.chapter(empty, [])
        self.assertIn("nothing to compare", chapter.verdict.sentence)
        self.assertEqual(figures(chapter), [])
        list(elements(html.render(page(chapter))))

    def test_a_qualification_that_was_refused(self) -> None:
        found = qualification(verdict="refused", reasons=["the device is mounted"], steps=[],
                              criteria=[], checks=[], health_after=None, complete=False)
        chapter = of_qualify.chapter(found, [])
        self.assertIn("was not measured: the device is mounted", chapter.verdict.sentence)
        list(elements(html.render(page(chapter))))

    def test_partial_results_say_so(self) -> None:
        chapter = of_compare.chapter(comparison(complete=False), [])
        self.assertEqual(chapter.verdict.word, "partial result")
        self.assertIn("stopped before its end", chapter.verdict.sentence)

    def test_what_was_left_out_is_told(self) -> None:
        text = html.render(page(of_compare.chapter(comparison(), [])))
        self.assertIn("polling needs O_DIRECT", text)
        text = html.render(page(of_qualify.chapter(qualification(), [])))
        self.assertIn("the device cannot trim", text)


class Verdicts(unittest.TestCase):
    def test_comparisons(self) -> None:
        for speed, word in ((0.9, "faster"), (1.0, "no difference"), (1.2, "slower")):
            with self.subTest(word):
                found = of_compare.chapter(comparison(speed=speed), []).verdict
                self.assertEqual(found.word, word)
        few = of_compare.chapter(comparison(rounds=3), []).verdict
        self.assertEqual(few.word, "too few rounds")

    def test_the_sentence_has_the_figures(self) -> None:
        sentence = of_compare.chapter(comparison(speed=0.9), []).verdict.sentence
        self.assertRegex(sentence, r"less mean latency than fio's io_uring in every case\.$")
        shares = [float(found) for found in re.findall(r"(\d+\.\d) ", sentence)]
        self.assertTrue(all(8.5 < share < 11.5 for share in shares), sentence)

    def test_qualifications(self) -> None:
        for word, mood in (("qualified", "good"), ("not-qualified", "bad"),
                           ("incomplete", "caution")):
            found = of_qualify.chapter(qualification(verdict=word), []).verdict
            self.assertEqual((found.mood, found.word), (mood, word.replace("-", " ")))

    def test_gates(self) -> None:
        for shift, word, words in ((1.0, "pass", "No regression in any"),
                                   (1.06, "regress", "The candidate is slower in"),
                                   (0.93, "improved", "got faster")):
            found = of_gate.chapter(gated(shift), []).verdict
            self.assertEqual(found.word, word)
            self.assertIn(words, found.sentence)


class Files(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        results.write(self.folder, comparison())

    def run_report(self, *names: str, output: str | None = None, title: str | None = None) -> int:
        import argparse
        import contextlib
        import io
        with contextlib.redirect_stdout(io.StringIO()):
            return command.report(argparse.Namespace(results=list(names), output=output,
                                                     title=title))

    def test_each_suffix(self) -> None:
        source = str(self.folder)
        self.assertEqual(self.run_report(source), 0)
        self.assertTrue((self.folder / "report.html").read_text().startswith("<!DOCTYPE html>"))
        self.run_report(source, output=str(self.folder / "r.md"))
        text = (self.folder / "r.md").read_text()
        named = set(re.findall(r"\]\(r-charts/([^)]+)\)", text))
        self.assertTrue(named)
        self.assertEqual({file.name for file in (self.folder / "r-charts").iterdir()}, named)
        self.run_report(source, output=str(self.folder / "r.pdf"))
        self.assertEqual((self.folder / "r.pdf").read_bytes()[:5], b"%PDF-")

    def test_several_results_are_chapters(self) -> None:
        other = self.folder / "other"
        other.mkdir()
        qualify_store.write(other, qualification())
        self.run_report(str(self.folder), str(other), output=str(self.folder / "all.html"),
                        title="Both & more")
        text = (self.folder / "all.html").read_text()
        list(elements(text))
        self.assertIn('id="chapter2"', text)
        self.assertIn("Both &amp; more", text)

    def test_refusals_name_the_remedy(self) -> None:
        source = str(self.folder)
        (self.folder / "text.json").write_text("no JSON")
        (self.folder / "other.json").write_text('{"schema": "something/1"}')
        empty = self.folder / "empty"
        empty.mkdir()
        for names, output, words in (
                ((source,), "r.txt", "a report is .html, .pdf, .md"),
                ((source, source), None, "Add --output"),
                ((str(empty),), None, "holds no result"),
                ((str(self.folder / "none.json"),), None, "cannot read"),
                ((str(self.folder / "text.json"),), None, "is not JSON"),
                ((str(self.folder / "other.json"),), None, "'something/1'"),
                ((source,), "/proc/no/r.html", "cannot write")):
            with self.subTest(words), self.assertRaises(BenchError) as caught:
                self.run_report(*names, output=output)
            self.assertIn(words, str(caught.exception))

    def test_pdf_has_the_raw_data_attached(self) -> None:
        data = pdf.render(page(sources.chapter(self.folder)))
        self.assertIn(b"/EmbeddedFile", data)
        self.assertIn(b"result.json", data)

    def test_missing_fields_are_refused_not_drawn(self) -> None:
        tree = codec.encode(comparison())
        del tree["samples"][0]["mean"]
        import json
        (self.folder / "result.json").write_text(json.dumps(tree))
        with self.assertRaises(BenchError) as caught:
            sources.chapter(self.folder)
        self.assertIn("missing field mean", str(caught.exception))


if __name__ == "__main__":
    main()

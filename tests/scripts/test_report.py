#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reports: whatever a result holds, the page is well-formed, loads nothing, draws no nonsense."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
import re
import tempfile
import unittest
import xml.etree.ElementTree as xml
import zlib
from pathlib import Path
from typing import Any, Callable, Iterator

from report_support import HOSTILE, comparison, gated, qualification, within
from support import main
from benchlib.compare import chapter as of_compare
from benchlib.errors import BenchError
from benchlib.gate import chapter as of_gate, run as gate_run, store as gate_store
from benchlib.page import html, markdown, pdf, tails
from benchlib.page.page import CAUTION, GOOD, Chapter, Download, Facts, Figure, Page, Verdict
from benchlib.qualify import chapter as of_qualify, store as qualify_store
from benchlib.qualify.model import Qualification
from benchlib.report import command, sources
from benchlib.result import codec, model, storage

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
        fixed = {"schema", "verdict", "state", "kind", "metric", "rw", "what", "engine",
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

    def test_what_happened_within_a_run_is_drawn(self) -> None:
        found = {figure.title: figure for figure in figures(of_qualify.chapter(qualification(), []))
                 if "within a run of" in figure.title}
        self.assertEqual(len(found), 3)  # the steps that last
        for title, figure in found.items():
            self.assertEqual([panel.title for panel in figure.panels],
                             ["Mean latency", "I/Os per second", "Bytes per second"])
            self.assertRegex(title, r"the slowest interval has (2\.[89]|3\.[01])\d times")
        plain = comparison()
        self.assertFalse([figure for figure in figures(of_compare.chapter(plain, []))
                          if "within a run" in figure.title])
        source = random.Random(1)
        logged = dataclasses.replace(plain, samples=[dataclasses.replace(
            item, within=within(source, item.mean, item.iops, 512)) for item in plain.samples])
        shown = [figure for figure in figures(of_compare.chapter(logged, []))
                 if "within a run" in figure.title]
        self.assertEqual(len(shown), 2)  # one per case
        self.assertEqual(len(shown[0].legend), 3)

    def test_percentiles_end_where_ios_end(self) -> None:
        histogram = model.Histogram([1000, 2000], [990, 10])
        self.assertEqual(max(percent for percent, _ in tails.ladder_points(histogram)), 99.0)
        self.assertEqual(tails.ladder_points(model.Histogram()), [])
        few = model.Histogram([1000], [5])
        self.assertEqual(tails.ladder_points(few), [])
        self.assertEqual(tails.deepest([histogram]), 99.0)
        many = model.Histogram([1000, 2000], [10 ** 7 - 10, 10])
        self.assertEqual(tails.ladder_points(many)[-1], (99.9999, 1000.0))
        self.assertEqual(tails.deepest([many]), 99.9999)
        short = [figure.caption for figure in figures(of_compare.chapter(comparison(), []))
                 if "99th percentile" in figure.title]
        self.assertRegex(short[0], r"p99\.999 takes 1,000,000, and no mode has more than 1\d\d,")
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

    def test_a_comparison_claims_no_more_than_its_worst_case(self) -> None:
        """Of two cases, one proven; then each change that takes something from the other."""
        sure = comparison()
        first, second = (row for row in sure.summaries if row.engine == "block")
        assert first.ratio is not None

        def changed(**changes: Any) -> Verdict:
            rows = [dataclasses.replace(row, **changes) if row == second else row
                    for row in sure.summaries if row.engine != "loop"]
            engines = [item for item in sure.engines if item.name != "loop"]
            return of_compare.chapter(comparison(summaries=rows, engines=engines), []).verdict

        wide = dataclasses.replace(first.ratio, low=0.7, high=1.2)
        self.assertEqual((changed().word, changed().mood), ("faster", GOOD))
        for changes, word, mood, said in (
                ({"verdict": "unclear", "ratio": wide}, "faster in 1 of 2 cases", CAUTION,
                 "1 is without a clear difference"),
                ({"verdict": "too-few"}, "faster in 1 of 2 cases", CAUTION,
                 "1 of 2 cases have too few rounds (fewer than 5)"),
                ({"verdict": "alone", "ratio": None}, "not all compared", CAUTION,
                 "1 of 4 figures have no reference"),
                ({"verdict": "same"}, "faster in 1 of 2 cases", GOOD, "1 is the same within 2 %"),
                ({"verdict": "slower"}, "mixed", CAUTION, "even at its best"),
                ({"disturbed": 7}, "disturbed", CAUTION, "disturbed up to 100 % of the rounds")):
            with self.subTest(said):
                found = changed(**changes)
                self.assertEqual((found.word, found.mood), (word, mood))
                self.assertIn(said, found.sentence)

    def test_lines_are_sorted_and_the_rest_is_folded(self) -> None:
        many = comparison(depths=(1, 2, 4, 8), sizes=(512, 4096, 65536))
        found = of_compare.chapter(many, []).verdict
        self.assertEqual((len(found.details), len(found.folded)), (8, 4))
        shares = [float(re.findall(r"has (\d+\.\d) %", line)[0])
                  for line in [*found.details, *found.folded]]
        self.assertEqual(shares, sorted(shares, reverse=True))
        text = html.render(page(of_compare.chapter(many, [])))
        self.assertIn("<summary>and 4 more</summary>", text)
        self.assertNotIn("<summary>", html.render(page(of_compare.chapter(many, [])), True))

    def test_only_what_is_proven_has_a_colour_or_a_title(self) -> None:
        sure = comparison(depths=(1, 4), sizes=(512, 4096))
        sure = dataclasses.replace(sure, samples=[dataclasses.replace(
            item, latency=model.Histogram([int(item.mean)], [20000])) for item in sure.samples])
        few = comparison(depths=(1, 4), sizes=(512, 4096), rounds=3)
        titles = {name: " | ".join(figure.title for figure in figures(of_compare.chapter(made, [])))
                  for name, made in (("sure", sure), ("few", few))}
        self.assertIn("In 4 of 8 cells of the matrix the latency is proven to be below the "
                      "reference, in 4 above", titles["sure"])
        self.assertIn("In 0 of 8 cells of the matrix the latency is proven to be below the "
                      "reference, in 0 above; 8 prove nothing", titles["few"])
        self.assertIn("blocking is proven to have the lowest 99th percentile in 4 of 4 cases",
                      titles["sure"])
        self.assertIn("No mode is proven to have the lowest 99th percentile", titles["few"])
        for made, proven in ((sure, True), (few, False)):
            [drawing] = [figure.panels[0].draw(480, True).render() for figure in figures(
                of_compare.chapter(made, [])) if "cells of the matrix" in figure.title]
            self.assertEqual("not proven" in drawing, not proven)
            self.assertEqual('fill="#f7f7f7"' in drawing, not proven)

    def test_the_sentence_has_the_figures(self) -> None:
        sentence = of_compare.chapter(comparison(speed=0.9), []).verdict.sentence
        self.assertRegex(sentence, r"less mean latency than fio's io_uring in every case\.$")
        shares = [float(found) for found in re.findall(r"(\d+\.\d) ", sentence)]
        self.assertTrue(all(8.5 < share < 11.5 for share in shares), sentence)

    def test_qualifications(self) -> None:
        for word, mood in (("qualified", "good"), ("failed", "bad"), ("incomplete", "caution"),
                           ("measured", "caution")):
            found = of_qualify.chapter(qualification(verdict=word), []).verdict
            self.assertEqual((found.mood, found.word.split(",")[0]), (mood, word))

    def test_a_gate_of_git_revisions_names_both(self) -> None:
        """The tree that was built has no history; the sides know what they are."""
        made = gated()
        bare = dataclasses.replace(made.environment, libblkio="unknown")
        self.assertEqual(gate_run.named(bare, made.sides).libblkio, "1.5.1")
        chapter = of_gate.chapter(dataclasses.replace(made, environment=bare), [])
        [facts] = [block for section in chapter.sections for block in section.blocks
                   if section.title == "Environment" and isinstance(block, Facts)]
        self.assertEqual(dict(facts.items)["libblkio"],
                         "baseline 1.5.0, candidate 1.5.1 (release)")
        self.assertNotIn("unknown", html.render(page(chapter)))

    def test_a_gate_says_what_it_cannot_tell(self) -> None:
        noisy = gated()
        findings = [dataclasses.replace(noisy.findings[0], verdict="too-noisy"), noisy.findings[1]]
        found = of_gate.chapter(dataclasses.replace(noisy, verdict="too-noisy",
                                                    findings=findings), []).verdict
        self.assertEqual((found.mood, found.word), (CAUTION, "too-noisy"))
        self.assertIn("1 of 4 findings are too noisy to tell", found.sentence)
        one = dataclasses.replace(noisy.findings[0], verdict="improved")
        found = of_gate.chapter(dataclasses.replace(
            noisy, verdict="improved", findings=[one, noisy.findings[1]]), []).verdict
        self.assertEqual(found.sentence, "The candidate is faster in 1 of 4 findings, and no slower "
                         "in the others.")

    def test_gates(self) -> None:
        for shift, word, words in ((1.0, "pass", "No regression in any"),
                                   (1.06, "regress", "The candidate is slower in"),
                                   (0.93, "improved", "is faster in")):
            found = of_gate.chapter(gated(shift), []).verdict
            self.assertEqual(found.word, word)
            self.assertIn(words, found.sentence)


def streams(data: bytes) -> Iterator[bytes]:
    """What is in the compressed streams of a PDF."""
    for found in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", data, re.DOTALL):
        with contextlib.suppress(zlib.error):
            yield zlib.decompress(found[1])


class Files(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        storage.write(self.folder, comparison())

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
        data = pdf.render(page(sources.chapters(self.folder)[0]))
        texts = [data, *streams(data)]  # newer versions of WeasyPrint compress objects, too
        for words in (b"/EmbeddedFile", b"result.json"):
            self.assertTrue(any(words in text for text in texts), words)
        self.assertIn((self.folder / "result.json").read_bytes(), texts)

    def test_paper_is_used(self) -> None:
        """No page ends with a heading or is less than half full, and a matrix takes few pages."""
        sizes = (512, 4096, 16384, 65536, 131072, 1048576)
        matrix = of_compare.chapter(comparison(depths=(1, 2, 4, 8, 16, 32), sizes=sizes), [])
        for chapter, most in ((matrix, 8), (of_qualify.chapter(qualification(), []), 9)):
            pages = pdf.document(page(chapter)).render().pages
            self.assertLessEqual(len(pages), most)
            for number, sheet in enumerate(pages[:-1], 1):
                shown = [box for box in sheet._page_box.descendants()
                         if type(box).__name__ in ("LineBox", "TableCellBox", "BlockReplacedBox")
                         and box.height]
                lowest = max(shown, key=lambda box: box.position_y)
                with self.subTest(chapter=chapter.kind, page=number):
                    self.assertGreater((lowest.position_y + lowest.height) / sheet.height, 0.5)
                    self.assertNotIn(lowest.element_tag, ("h1", "h2", "h3", "h4", "h5", "caption"))

    def test_missing_fields_are_refused_not_drawn(self) -> None:
        tree = codec.encode(comparison())
        del tree["samples"][0]["mean"]
        import json
        (self.folder / "result.json").write_text(json.dumps(tree))
        with self.assertRaises(BenchError) as caught:
            sources.chapters(self.folder)
        self.assertIn("missing field mean", str(caught.exception))


def _without_logs(found: Qualification) -> Qualification:
    """As nothing but today's version writes them."""
    return dataclasses.replace(found, steps=[dataclasses.replace(step, points=[
        dataclasses.replace(point, within=None) for point in step.points])
        for step in found.steps])


class OlderSchemas(unittest.TestCase):
    """Results that an earlier version wrote, when engines were called contenders."""

    def test_they_are_read_as_those_of_today(self) -> None:
        older = {"engine": "contender", "engines": "contenders"}

        def aged(value: Any) -> Any:
            if isinstance(value, list):
                return [aged(item) for item in value]
            if isinstance(value, dict):
                return {older.get(key, key): item if key == "plan"
                        else aged(item) for key, item in value.items()}
            return value

        for made, schema, file, read in (
                (comparison(), "libblkio-bench/2", "result.json", storage.read),
                (gated(), "libblkio-gate/1", "gate.json", gate_store.read),
                (_without_logs(qualification()), "libblkio-qualification/1", "qualification.json",
                 qualify_store.read)):
            with self.subTest(schema=schema), tempfile.TemporaryDirectory() as name:
                path = Path(name, file)
                path.write_text(json.dumps({**aged(codec.encode(made)), "schema": schema}))
                self.assertIn('"contender"', path.read_text())
                self.assertEqual(read(path), made)


if __name__ == "__main__":
    main()

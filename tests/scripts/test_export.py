#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Exports, each checked by the published rules of its format, or by its own parser."""

from __future__ import annotations

import contextlib
import csv
import datetime
import importlib.util
import io
import json
import re
import tempfile
import unittest
from pathlib import Path

from report_support import HOSTILE, comparison, gated
from support import main
from benchlib import cli
from benchlib.result import storage

# Of Bencher, https://bencher.dev/bmf.json: numbers only, and a value in each metric.
BENCHER_KEYS = {"value", "lower_value", "upper_value"}


class Export(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        targets = [comparison().targets[0]]
        for day in (1, 2, 3):
            place = cls.folder / f"gate-{day}"
            place.mkdir()
            storage.write_json(place / storage.GATE, gated(
                started=f"2026-01-0{day}T00:00:00+00:00",
                targets=[type(targets[0])(**{**vars(targets[0]), "medium": HOSTILE})]))
        cls.compared = cls.folder / "compared"
        cls.compared.mkdir()
        storage.write(cls.compared, comparison())
        cls.history = cls.folder / "history.sqlite"
        cls.bench("history", "--history", cls.history, "add",
                  *(cls.folder / f"gate-{day}" for day in (3, 1, 2)), "--label", HOSTILE)

    @classmethod
    def bench(cls, *arguments: object, status: int = 0) -> str:
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            code = cli.main([str(word) for word in arguments])
        if code != status:
            raise AssertionError(f"exit status {code}: {output.getvalue()}{errors.getvalue()}")
        return output.getvalue() + errors.getvalue()

    def test_csv(self) -> None:
        rows = list(csv.DictReader(io.StringIO(self.bench(
            "export", "--history", self.history, "--format", "csv"))))
        self.assertEqual({row["label"] for row in rows}, {HOSTILE})
        self.assertEqual({row["medium"] for row in rows}, {HOSTILE})
        found = [float(row["value"]) for row in rows if row["metric"] == "instructions"]
        self.assertEqual(found, [641.0] * 3)
        self.assertEqual({(row["metric"], row["unit"]) for row in rows}, {
            ("instructions", ""), ("calls", ""), ("typical", "ns"), ("shift-typical", "")})

    def test_otava(self) -> None:
        """As Otava's CsvImporter reads it: a header, rows as long, a time with its zone, floats."""
        output = self.folder / "trend.csv"
        self.bench("export", "--history", self.history, "--format", "otava", "--output", output)
        config = json.loads(output.with_suffix(".yaml").read_text())["tests"]["libblkio"]
        with open(config["file"], newline="", encoding="utf-8") as file:
            reader = csv.reader(file, delimiter=config["csv_options"]["delimiter"],
                                quotechar=config["csv_options"]["quote_char"])
            head, *rows = list(reader)
        self.assertEqual(len(set(head)), len(head))
        self.assertNotIn("branch", head)
        self.assertLessEqual(set(config["attributes"]), set(head))
        times = [datetime.datetime.strptime(row[head.index(config["time_column"])],
                                            "%Y-%m-%d %H:%M:%S %z") for row in rows]
        self.assertEqual(times, sorted(times))
        self.assertEqual(len(times), 3)
        self.assertTrue(config["metrics"])
        for metric in config["metrics"].values():
            self.assertIn(metric["direction"], (-1, 1))
            values = [float(row[head.index(metric["column"])]) for row in rows]
            self.assertEqual(len(values), 3)
        self.assertTrue(all(len(row) == len(head) for row in rows))

    def test_github_action_benchmark(self) -> None:
        """An array of objects with name, unit and value; range and extra are text."""
        for form, metrics in (("github-smaller", {"mean", "p99", "ratio"}),
                              ("github-bigger", {"iops"})):
            entries = json.loads(self.bench("export", self.compared, "--format", form))
            self.assertEqual({entry["name"].rpartition(" ")[2] for entry in entries}, metrics)
            self.assertEqual(len({entry["name"] for entry in entries}), len(entries))
            for entry in entries:
                self.assertLessEqual(set(entry), {"name", "unit", "value", "range", "extra"})
                self.assertIsInstance(entry["value"], float)
                self.assertRegex(entry["range"], r"^± \d")
                self.assertTrue(entry["unit"])

    def test_bencher(self) -> None:
        found = json.loads(self.bench("export", self.compared, "--format", "bencher"))
        self.assertTrue(found)
        for name, measures in found.items():
            self.assertLessEqual(len(name), 1024)
            self.assertLessEqual({"latency", "throughput"}, set(measures))
            for measure, metric in measures.items():
                self.assertLessEqual(len(measure), 64)
                self.assertEqual(set(metric), BENCHER_KEYS)
                self.assertLessEqual(metric["lower_value"], metric["value"])
                self.assertLessEqual(metric["value"], metric["upper_value"])

    def test_openmetrics(self) -> None:
        """By the parser of Prometheus' own client."""
        if importlib.util.find_spec("prometheus_client") is None:
            self.skipTest("the parser is not installed (python3-prometheus-client)")
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
        text = self.bench("export", "--history", self.history, "--format", "openmetrics")
        families = {family.name: family for family in text_string_to_metric_families(text)}
        self.assertIn("libblkio_instructions", families)
        typical = families["libblkio_typical_seconds"]
        self.assertEqual((typical.type, typical.unit), ("gauge", "seconds"))
        samples = [s for s in typical.samples if "/qd1/" in s.labels["series"]]
        self.assertEqual(len(samples), 3)
        self.assertEqual(samples[0].labels["medium"], HOSTILE)
        self.assertTrue(all(0.5e-6 < sample.value < 2e-6 for sample in samples))
        low = families["libblkio_typical_low_seconds"].samples[0].value
        self.assertLess(low, samples[0].value)
        both = self.bench("export", self.compared, self.folder / "gate-1", "--format", "openmetrics")
        self.assertIn("libblkio_iops_per_second", {
            family.name for family in text_string_to_metric_families(both)})

    def test_choices_and_refusals(self) -> None:
        two = [self.folder / "gate-1", self.folder / "gate-2"]
        for arguments, words in (
                ((*two, "--format", "bencher"), "holds one result, not 2"),
                ((two[0], "--history", self.history, "--format", "csv"), "one of both"),
                (("--format", "csv"), "one of both"),
                ((two[0], "--format", "csv", "--metric", "p42"), "nothing to export"),
                ((two[0], "--format", "github-bigger"), "no figure of which more is better"),
                ((two[0], "--format", "csv", "--machine", "none"), "nothing to export"),
                ((self.compared, two[0], "--format", "otava"), "no figure in common")):
            with self.subTest(words):
                self.assertIn(words, self.bench("export", *arguments, status=2))
        one = self.bench("export", "--history", self.history, "--entry", "2", "--format", "bencher",
                         "--metric", "instructions")
        self.assertEqual(len(re.findall('"value"', one)), 1)


if __name__ == "__main__":
    main()

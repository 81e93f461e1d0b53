#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Results survive the way to disk and back, and nothing else is read as one."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import unittest
from pathlib import Path
from typing import Any, Callable

from support import CASE, ROOT, main, sample
from benchlib.compare import chart, table
from benchlib.errors import BenchError
from benchlib.result import codec, model, storage, words
from benchlib.stats import summaries


AGAINST = {"native": "", "block": "native", "loop": "native", "poll": "native"}


def engine(name: str, label: str, against: str = "native") -> model.EngineInfo:
    return model.EngineInfo(name, label, against, "1.5", "fio-3.33", ["--x"], ["CQSIZE"])


def result(**changes: Any) -> model.Result:
    """A small complete comparison."""
    samples = []
    for number in range(6):
        samples += [sample(round=number),
                    sample(engine="block", round=number, mean=900.0 + 2 * number),
                    sample(engine="loop", round=number, mean=4000.0 + number)]
    fields: dict[str, Any] = {
        "schema": model.SCHEMA, "complete": True, "started": "2026-01-01T00:00:00+00:00",
        "seconds": 12.5,
        "settings": model.Settings(["randread"], [512], [1], [1], [], 6, None, None, 500, 100,
                                   1, [1], 0.05),
        "environment": model.Environment(
            fio="fio-3.33", libblkio="1.5", libblkio_build="release", kernel="Linux 6.1",
            distribution="Debian", cpu="CPU", cpus=2, threads_per_core=1, numa_nodes=1,
            virtualised="no", memory_mib=1024, governor="performance", idle_states="C1",
            cpu_latency_held=True, clock="tsc", mitigations="", python="3.11", notes=[]),
        "targets": [model.TargetInfo("page-cache", "page cache", "page-cache", False, 1 << 20,
                                     "ext4", "", {"io_poll": "0"})],
        "engines": [engine("native", "fio's io_uring", against=""),
                       engine("block", "libblkio, blocking"),
                       engine("loop", "libblkio, busy loop")],
        "skips": [model.Skip("page-cache", "poll", "polling needs O_DIRECT")],
        "summaries": summaries.summarise(samples, AGAINST, 1),
        "system_calls": [model.SystemCalls(CASE, "native", 2.0)], "retried_rounds": 0,
        "samples": samples}
    return model.Result(**{**fields, **changes})


class OnDisk(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_round_trip(self) -> None:
        written = result()
        storage.write(self.folder, written)
        self.assertEqual(storage.read(self.folder), written)
        self.assertEqual(storage.read(self.folder / "result.json"), written)
        self.assertEqual([file.name for file in self.folder.iterdir()], ["result.json"])

    def test_what_does_not_fit_is_refused_and_named(self) -> None:
        def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
            def apply(tree: Any) -> None:
                *way, last = path.split(".")
                for step in way:
                    tree = tree[int(step) if step.isdigit() else step]
                if value is None:
                    del tree[last]
                else:
                    tree[last] = value
            return apply

        for path, value, words in (
                ("schema", "libblkio-bench/0", "this program reads"),
                ("samples.3.iops", "fast", "samples[3].iops: must be a finite number"),
                ("samples.3.iops", True, "samples[3].iops"),
                ("samples.0.round", 1.5, "samples[0].round: must be of type int"),
                ("samples.0.calm", 1, "samples[0].calm: must be of type bool"),
                ("samples.0.case.target", "elsewhere",
                 "samples[0]: elsewhere/native is not listed"),
                ("samples.0.case.depth", "deep", "samples[0].case.depth: must be of type int"),
                ("summaries.0.engine", "nobody", "summaries[0]: page-cache/nobody is not"),
                ("engines.1.against", "nobody", "block is compared with nobody"),
                ("samples.0.mean", 0, "mean and ios must be positive"),
                ("samples.0.latency.counts", [1], "samples[0].latency"),
                ("samples.0.latency", [], "samples[0].latency: must be an object"),
                ("summaries.1.ratio.low", None, "summaries[1].ratio: missing field low"),
                ("targets.0.queue", {"io_poll": 0}, "targets[0].queue.io_poll"),
                ("environment.fio", None, "environment: missing field fio"),
                ("settings.extra", 1, "settings: unknown field extra"),
                ("engines", {}, "engines: must be a list")):
            with self.subTest(path=path, value=value):
                tree = codec.encode(result())
                change(path, value)(tree)
                (self.folder / "result.json").write_text(json.dumps(tree))
                with self.assertRaises(BenchError) as caught:
                    storage.read(self.folder)
                self.assertIn(words, str(caught.exception))

    def test_not_a_number_is_neither_written_nor_read(self) -> None:
        with self.assertRaises(ValueError):
            storage.write(self.folder, result(seconds=float("nan")))
        text = json.dumps(codec.encode(result()))
        (self.folder / "result.json").write_text(text.replace("12.5", "NaN"))
        with self.assertRaisesRegex(BenchError, "seconds: must be a finite number"):
            storage.read(self.folder)

    def test_unreadable(self) -> None:
        for content, words in ((None, "No such file"), ("{", "is not JSON"), ("[]", "schema None")):
            with self.subTest(content=content):
                if content is not None:
                    (self.folder / "result.json").write_text(content)
                with self.assertRaisesRegex(BenchError, words):
                    storage.read(self.folder)

    def test_an_unwritable_folder_is_found_before_measuring(self) -> None:
        (self.folder / "file").write_text("")
        with self.assertRaisesRegex(BenchError, "cannot write results"):
            storage.prepare_folder(self.folder / "file" / "below")


class Text(unittest.TestCase):
    def test_table_and_verdict(self) -> None:
        text = table.render(result())
        self.assertIn("libblkio, blocking has 9.5 % less latency than fio's io_uring (9.1 % to 9.9 %)", text)
        self.assertIn("Slower: libblkio, busy loop (+300.2 %)", text)
        self.assertIn("Left out: poll on page-cache: polling needs O_DIRECT", text)
        self.assertNotIn("PARTIAL", text)
        self.assertNotIn("Caution", text)

    def test_partial_and_disturbed_are_said(self) -> None:
        samples = [dataclasses.replace(s, calm=False) for s in result().samples]
        text = table.render(result(complete=False,
                                   summaries=summaries.summarise(samples, AGAINST, 1)))
        self.assertTrue(text.startswith("PARTIAL RESULT"))
        self.assertIn("disturbed up to 100 % of the rounds", text)

    def test_a_proven_gain_counts_before_a_lower_figure(self) -> None:
        samples = result().samples + [
            sample(engine="poll", round=i, mean=mean)
            for i, mean in enumerate((100.0, 200.0, 300.0, 1200.0, 1300.0, 1400.0))]
        poll = engine("poll", "libblkio, driver polling")
        text = table.render(result(summaries=summaries.summarise(samples, AGAINST, 1),
                                   engines=[*result().engines, poll]))
        self.assertIn("depth 1: libblkio, blocking has 9.5 % less", text)

    def test_durations(self) -> None:
        for value, text in ((738.4, "738 ns"), (1130, "1.13 µs"), (50800, "50.8 µs"),
                             (123456, "123 µs"), (2.4e6, "2.40 ms"), (3e9, "3.00 s")):
            self.assertEqual(words.duration(value), text)


class Chart(unittest.TestCase):
    def test_it_says_what_is_better(self) -> None:
        svg = chart.draw(result()).render(standalone=True)
        for text in ("shorter bars are better", "libblkio, blocking", "−9.5 %", "×4",
                     "a torn bar goes on"):
            self.assertIn(text, svg)

    def test_nothing_to_draw(self) -> None:
        with self.assertRaises(BenchError):
            chart.draw(result(summaries=[]))


class Reference(unittest.TestCase):
    def test_the_stored_reference_is_readable_and_its_table_its_own(self) -> None:
        # only this one: what users measured here is theirs, and may be of any age
        stored = storage.read(ROOT / "results" / "reference")
        self.assertTrue(stored.complete)
        self.assertEqual((ROOT / "results" / "reference" / "table.txt").read_text(),
                         table.render(stored))


if __name__ == "__main__":
    main()

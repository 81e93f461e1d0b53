#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The parts of scripts/bench qualify that need no device: steady state, plans, limits, verdicts,
the schema."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from support import main
from benchlib.errors import BenchError
from benchlib.machine import inuse
from benchlib.qualify import cells, limits, plan, preflight, steady, store, verdict
from benchlib.qualify.model import (SCHEMA, Cell, Check, Criterion, Device, Health, Plan,
                                    Point, Qualification, Steady, Step, Workload)
from benchlib.qualify.profiles import GIB, MIB, PROFILES
from benchlib.result.codec import encode
from benchlib.result.model import Environment, Histogram

RANDREAD = Workload("randread", 4096, 1)


class SteadyState(unittest.TestCase):
    def test_a_constant_series_is_steady_after_five_rounds(self) -> None:
        self.assertFalse(steady.window([100.0] * 4).steady())
        found = steady.window([100.0] * 5)
        self.assertTrue(found.steady())
        self.assertEqual((found.spread, found.drift, found.slope, found.intercept),
                         (0, 0, 0, 100))

    def test_scatter_up_to_a_fifth_of_the_mean(self) -> None:
        # symmetric, so without a slope
        for excess, word in ((10, True), (10.1, False)):
            up, down = 100 + excess, 100 - excess
            found = steady.window([up, down, 100, down, up])
            self.assertAlmostEqual(found.spread, 2 * excess / 100)
            self.assertAlmostEqual(found.drift, 0)
            self.assertEqual(found.steady(), word)

    def test_drift_up_to_a_tenth_of_the_mean(self) -> None:
        for rise, word in ((2.5, True), (2.6, False)):
            found = steady.window([100 + rise * x for x in (-2, -1, 0, 1, 2)])
            self.assertAlmostEqual(found.slope, rise)
            self.assertAlmostEqual(found.drift, 4 * rise / 100)
            self.assertEqual(found.steady(), word)
            falling = steady.window([100 - rise * x for x in (-2, -1, 0, 1, 2)])
            self.assertEqual((falling.steady(), round(falling.slope, 6)), (word, -rise))

    def test_only_the_last_five_count(self) -> None:
        found = steady.window([900, 500, 300, 100, 101, 99, 100, 100])
        self.assertEqual((found.first, found.rounds, found.steady()), (3, 5, True))
        self.assertAlmostEqual(found.intercept + found.slope * 5, 100, delta=0.5)

    def test_nonsense_is_refused(self) -> None:
        for series in ([], [0.0] * 5, [-1.0] * 5):
            with self.assertRaises(ValueError):
                steady.window(series)


def device(**changes: Any) -> Device:
    return Device(**{**{
        "path": "/dev/nvme0n1", "kind": "nvme", "created": False, "name": "nvme0n1",
        "medium": "NVMe", "model": "M", "serial": "S1", "firmware": "F1", "size": 8 * GIB,
        "logical_block": 512, "physical_block": 4096, "pci_address": "", "link": "",
        "numa_node": -1, "queue": {}, "unknown": []}, **changes})


class Plans(unittest.TestCase):
    def specs(self, name: str = "smoke", unit: int = 512, read_only: bool = False,
              no_trim: str = "") -> list[plan.StepSpec]:
        return plan.specs(PROFILES[name], device(logical_block=unit), 8 * GIB, read_only, no_trim)

    def test_every_profile_has_every_step_once(self) -> None:
        names = [spec.name for spec in self.specs()]
        self.assertEqual(len(names), len(set(names)))
        for name in PROFILES:
            self.assertEqual([spec.name for spec in self.specs(name)], names)

    def test_reading_only_writes_nothing(self) -> None:
        for spec in self.specs("full", read_only=True):
            self.assertFalse(spec.destructive, spec.name)
            self.assertEqual(spec.planned(plan.OTHERWISE, 1).estimate_written, 0)
            self.assertTrue(all(work in spec.workloads for work, _ in spec.track))

    def test_no_block_is_smaller_than_the_device_s(self) -> None:
        sizes = {work.block_size for spec in self.specs("full", 4096) for work in spec.workloads}
        self.assertEqual(min(sizes), 4096)

    def test_the_names_are_those_of_the_steps(self) -> None:
        self.assertEqual([spec.name for spec in self.specs()], list(plan.NAMES))
        self.assertEqual([spec.name for spec in self.specs(read_only=True)], list(plan.READING))

    def test_what_is_tracked_is_measured(self) -> None:
        for name in PROFILES:
            for spec in self.specs(name):
                self.assertTrue(all(work in spec.workloads for work, _ in spec.track), spec.name)

    def test_trims_are_left_out_with_the_reason(self) -> None:
        steps = [spec.planned(plan.OTHERWISE, 1) for spec in self.specs(no_trim="it cannot")]
        skipped = {step.name: step.reason for step in steps if step.state == "skipped"}
        self.assertEqual(skipped, {"purge": "it cannot", "trim": "it cannot"})

    def test_a_fill_writes_twice_the_extent(self) -> None:
        fill = next(spec for spec in self.specs() if spec.name == "fill")
        self.assertEqual(fill.planned(plan.OTHERWISE, 1).estimate_written, 16 * GIB)

    def test_chunks(self) -> None:
        for amount in (1, 100 * MIB, 512 * MIB, 10 * GIB, 4000 * GIB):
            chunk = plan.chunk_size(amount)
            self.assertTrue(plan.LEAST_CHUNK <= chunk <= plan.MOST_CHUNK and chunk % MIB == 0)


class Percentiles(unittest.TestCase):
    def test_only_with_enough_requests(self) -> None:
        self.assertEqual([cells.needed(p) for p in (50, 99, 99.9, 99.99, 99.999)],
                         [20, 1000, 10000, 100000, 1000000])
        for count, known in ((999, False), (1000, True)):
            found = {p.percent: p for p in cells.percentiles(Histogram([100], [count]))}
            self.assertEqual(found[99].value is not None, known)
            self.assertEqual((found[90].value, found[99.9].value), (100.0, None))


def cell(iops: float = 5e4, mean: float = 20000.0, count: int = 2000) -> Cell:
    latency = Histogram([10000, 50000], [count - 40, 40])
    return Cell(RANDREAD, "block", 5, count, iops, iops * 4096, mean, 60000,
                cells.percentiles(latency), latency)


def step(**changes: Any) -> Step:
    return Step(**{**{"name": "latency", "kind": "latency", "title": "Latency: x", "purpose": "",
                      "destructive": True, "estimate_seconds": 1.0, "most_seconds": 1.0,
                      "estimate_written": 0, "state": "done", "cells": [cell()]}, **changes})


ENVIRONMENT = Environment("fio", "v", "b", "k", "d", "c", 1, 1, 1, "no", 1, "g", "i", True, "tsc",
                          "m", "3", [])


def qualification(**changes: Any) -> Qualification:
    before = Health("t", "NVMe SMART log", "", critical_warning=0, media_errors=3,
                    percentage_used=1, data_written=0)
    return Qualification(**{**{
        "schema": SCHEMA, "verdict": "incomplete", "reasons": [], "complete": True, "started": "t",
        "seconds": 1.0, "sittings": ["t"],
        "plan": Plan("smoke", 1.0, "block", "l", [], 1, False, [0], 1),
        "environment": ENVIRONMENT, "device": device(), "health_before": before,
        "health_after": before, "checks": [], "caveats": [], "steps": [step()], "criteria": []},
        **changes})


class Limits(unittest.TestCase):
    def judge(self, text: str, found: Qualification | None = None) -> list[tuple[str, str]]:
        with tempfile.NamedTemporaryFile("w", suffix=".limits") as file:
            file.write(text)
            file.flush()
            return [(c.verdict, c.value) for c in
                    (limit.criterion(found or qualification()) for limit in
                     limits.read(file.name))]

    def test_figures(self) -> None:
        for line, outcome in (
                ("latency 4k randread p99 <= 51us", ("pass", "50.0 µs")),
                ("latency 4k randread p99 <= 49us  # comment", ("fail", "50.0 µs")),
                ("latency 4k randread p50 < 0.02ms", ("pass", "10.0 µs")),
                ("latency 4k randread iops >= 50k", ("pass", "50,000 IOPS")),
                ("latency 4k randread depth 1 iops > 50000", ("fail", "50,000 IOPS")),
                ("latency 4k randread bandwidth >= 204.8MB/s", ("pass", "204.8 MB/s")),
                ("latency 4k randread max <= 1s", ("pass", "60.0 µs")),
                ("latency 4k randread p99.999 <= 1s", ("unknown", "not measured")),
                ("latency 4k randread depth 2 mean <= 1s", ("unknown", "not measured")),
                ("qos 4k randread mean <= 1s", ("unknown", "not measured"))):
            with self.subTest(line=line):
                self.assertEqual(self.judge(line), [outcome])

    def test_health_firmware_and_steady_state(self) -> None:
        after = dataclasses.replace(qualification().health_before, percentage_used=6,
                                    data_written=2 * 10**9)
        restless = Steady("s", RANDREAD, "mean", [1.0], False, 7, 0, 1, 1.0, 0.0, 0.0, 0.0, 1.0)
        found = qualification(health_after=after, steps=[step(steady=[restless])])
        self.assertEqual(
            self.judge("health percentage_used <= 5\nchange data_written <= 2000000000\n\n"
                       "firmware == F1\nfirmware==F2\nsteady latency\nhealth spare >= 10\n", found),
            [("fail", "6 %"), ("pass", "2.0 GB"), ("pass", "F1"), ("fail", "F1"),
             ("fail", "not reached"), ("unknown", "not measured")])

    def test_lines_that_are_none(self) -> None:
        for line, words in (("latency 4k randread p98 <= 1us", "no percentile p98"),
                            ("latency 4k randread p99 <= 1 parsec", "not a requirement"),
                            ("latency 4k randread p99 <= 1parsec", "is not a value for p99"),
                            ("iops 4k randread iops >= 3us", "is not a value for iops"),
                            ("health beauty <= 3", "no health field beauty"),
                            ("iops 4q randread iops >= 3", "4q"),
                            ("speed > 9000", "not a requirement")):
            with self.subTest(line=line), self.assertRaisesRegex(BenchError, words) as caught:
                self.judge("# first\n" + line)
            self.assertIn(":2:", str(caught.exception))
            self.assertEqual(caught.exception.code, 2)

    def test_no_file(self) -> None:
        with self.assertRaisesRegex(BenchError, "No such file"):
            limits.read("/nonexistent.limits")


def good(**changes: Any) -> Qualification:
    """A device that is qualified: every step done, in its steady state, nobody in the way."""
    calm = Steady("s", RANDREAD, "mean", [1.0] * 5, True, 7, 0, 5, 1.0, 0.0, 0.0, 0.0, 1.0)
    steps = [step(name=name, kind=name.partition("-")[0], title=f"{name}: x", verified=MIB,
                  points=[point(0.0)] * 20, steady=[calm] if name in ("iops", "latency") else [])
             for name in plan.NAMES]
    made = qualification(**{"steps": steps, "plan": Plan("standard", 1.0, "block", "l", [], 8 * GIB,
                                                         False, [0], 1), **changes})
    return verdict.judged(dataclasses.replace(made, criteria=verdict.criteria(made, [])))


def point(load: float) -> Point:
    return Point(0.0, 0, RANDREAD, "block", 1, 1.0, 1.0, 1.0, 0.0, 1, 1, 1.0, 0.0, 0.0, load, None,
                 0)


def with_step(name: str, **changes: Any) -> list[Step]:
    return [dataclasses.replace(item, **changes) if item.name == name else item
            for item in good().steps]


class Verdicts(unittest.TestCase):
    def say(self, found: Qualification) -> tuple[str, int, str]:
        """(word, exit status, headline)"""
        head = verdict.headline(found, "It")
        self.assertEqual(head.word.name, found.verdict)
        return found.verdict, head.word.code, head.line

    def test_all_is_well(self) -> None:
        self.assertEqual(self.say(good()), (
            "qualified", 0, "QUALIFIED: It is qualified: 13 steps done, 3 of 3 requirements met."))

    def test_no_word_is_better_than_what_it_rests_on(self) -> None:
        """Each change alone takes "qualified" away, and is named in the headline."""
        latency = next(item for item in good().steps if item.name == "latency")
        restless = dataclasses.replace(latency.steady[0], reached=False)
        busy = [*[point(0.06)] * 3, *[point(0.0)] * 17]
        ends = qualification().health_before
        check = Check("link", "PCI link", "x1", "refuse", True, "w", "")
        for changes, word, code, said in (
                ({"steps": with_step("latency", steady=[restless])}, "measured", 4,
                 "1 of 2 series reached no steady state"),
                ({"steps": [dataclasses.replace(item, steady=[]) for item in good().steps]},
                 "measured", 4, "No steady state was looked for"),
                ({"steps": with_step("qos", points=busy)}, "measured", 4,
                 "disturbed 3 of 260 measurements"),
                ({"steps": good().steps[:5]}, "measured", 4, "8 steps of the profile were not asked"),
                ({"plan": dataclasses.replace(good().plan, read_only=True)}, "measured", 4,
                 "run was read only"),
                ({"plan": dataclasses.replace(good().plan, extent=GIB)}, "measured", 4,
                 "nly 1024 MiB of 8192 MiB were used"),
                ({"plan": dataclasses.replace(good().plan, scale=0.01)}, "measured", 4,
                 "ll times and sizes were scaled by 0.01"),
                ({"checks": [check]}, "measured", 4, "were accepted: PCI link"),
                ({"steps": with_step("qos", state="failed", reason="bang")}, "incomplete", 1,
                 "qos: failed, bang"),
                ({"health_after": dataclasses.replace(ends, media_errors=4)}, "failed", 3,
                 "no new media errors: is 1 new"),
                ({"health_after": dataclasses.replace(ends, critical_warning=4)}, "failed", 3,
                 "no critical warning"),
                ({"steps": with_step("integrity", corrupt=["x"])}, "failed", 3,
                 "all data read back as written: is 1 stretches")):
            with self.subTest(said):
                found = self.say(good(**changes))
                self.assertEqual(found[:2], (word, code))
                self.assertIn(said, found[2])

    def test_what_does_not_lower_the_word_is_named_all_the_same(self) -> None:
        for changes, said in (({"steps": with_step("trim", state="skipped", reason="r")},
                               "1 of 13 steps were left out: trim."),
                              ({"steps": with_step("qos", points=[point(0.06),
                                                                  *[point(0.0)] * 19])},
                               "disturbed 1 of 260 measurements.")):
            word, code, line = self.say(good(**changes))
            self.assertEqual((word, code), ("qualified", 0))
            self.assertIn(said, line)

    def test_a_requirement_that_failed_outweighs_the_rest(self) -> None:
        steps = with_step("integrity", corrupt=["x"])
        steps[8] = dataclasses.replace(steps[8], state="failed")
        self.assertEqual(self.say(good(steps=steps))[0], "failed")

    def test_what_is_missing_makes_it_incomplete(self) -> None:
        for state in ("failed", "partial", "planned", "running"):
            self.assertEqual(good(steps=with_step("qos", state=state)).verdict, "incomplete")
        self.assertEqual(good(steps=with_step("integrity", state="skipped")).verdict, "incomplete")

    def test_unknown_requirements_make_it_incomplete(self) -> None:
        asked = [Criterion("a", "a", "not measured", "unknown", "")]
        found = verdict.judged(dataclasses.replace(good(), criteria=asked))
        self.assertEqual((found.verdict, found.reasons), ("incomplete", ["a: not measured"]))

    def test_a_file_that_claims_more_is_judged_again(self) -> None:
        boast = dataclasses.replace(good(steps=good().steps[:5]), verdict="qualified", reasons=[])
        with tempfile.TemporaryDirectory() as name:
            store.write(Path(name), boast)
            self.assertEqual(store.read(Path(name)).verdict, "measured")
            older = {**encode(boast), "schema": "libblkio-qualification/2"}
            del older["plan"]["scale"]
            for word, now in (("qualified", "measured"), ("not-qualified", "measured")):
                Path(name, store.FILE).write_text(json.dumps({**older, "verdict": word}))
                self.assertEqual(store.read(Path(name)).verdict, now)

    def test_after_a_resume_each_caveat_stands_once(self) -> None:
        warned = [Check("load", "Load", "9 %", "warn", False, "w", ""),
                  Check("link", "Link", "x1", "refuse", True, "w", "")]
        now = [Check("load", "Load", "7 %", "warn", False, "w", ""),
               Check("link", "Link", "x4", "ok", False, "w", "")]
        found = good(checks=preflight.merged(warned, now), sittings=["a", "b", "c"],
                     steps=with_step("qos", points=[point(0.5)] * 4))
        again = verdict.judged(verdict.judged(found))
        self.assertEqual(again.caveats, [
            "Load: 7 %. w", "Link: x1. w", "Resumed 2 times: the device rested in between.",
            "Other programs used more than 5 % of the machine during 4 of 244 measurements."])


class Acceptance(unittest.TestCase):
    def test_caveats_are_warnings_and_what_was_accepted(self) -> None:
        checks = [Check("a", "A", "1", "ok", False, "w", ""), Check("b", "B", "2", "warn", False,
                  "w", ""), Check("c", "C", "3", "refuse", True, "w", ""),
                  Check("d", "D", "4", "refuse", False, "w", "")]
        self.assertEqual(preflight.caveats(checks), ["B: 2. w", "C: 3. w"])
        self.assertEqual([check.name for check in preflight.refusals(checks)], ["d"])


class Users(unittest.TestCase):
    def test_a_process_that_ended_meanwhile_is_no_user(self) -> None:
        ours, gone = str(os.getpid()), "999999999"  # more than the kernel ever gives
        with tempfile.NamedTemporaryFile() as file, \
                mock.patch.object(inuse, "processes", return_value=[gone, ours]):
            self.assertEqual(len(inuse.users(file.name)), 1)  # we are


class Schema(unittest.TestCase):
    def test_round_trip(self) -> None:
        found = good(checks=[Check("a", "A", "1", "ok", False, "w", "")])
        with tempfile.TemporaryDirectory() as name:
            store.write(Path(name), found)
            self.assertEqual(store.read(Path(name)), found)

    def test_what_does_not_fit_is_refused(self) -> None:
        good = encode(qualification(steps=[step(), step(name="b")]))
        window = encode(Steady("s", RANDREAD, "mean", [1.0], False, 7, 0, 2, 1.0, 0.0, 0.0, 0.0,
                               1.0))
        for path, value, words in ((("schema",), "libblkio-qualification/0", "has schema"),
                                   (("verdict",), "fine", "must be one of"),
                                   (("steps", 0, "state"), "ready", "must be one of"),
                                   (("steps", 1, "name"), "latency", "is there twice"),
                                   (("steps", 0, "steady"), [window], "leaves the series"),
                                   (("steps", 0, "cells", 0, "latency", "bins"), [1], "differ"),
                                   (("seconds",), "1", "finite number")):
            with self.subTest(path=path), tempfile.TemporaryDirectory() as name:
                broken = json.loads(json.dumps(good))
                place = broken
                for key in path[:-1]:
                    place = place[key]
                place[path[-1]] = value
                (Path(name) / store.FILE).write_text(json.dumps(broken))
                with self.assertRaisesRegex(BenchError, words):
                    store.read(Path(name))


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Tests of differences against scipy, brute force, published figures and known distributions."""

from __future__ import annotations

import itertools
import unittest

import numpy as np
from scipy import stats as scipy_stats

from support import main, sample
from benchlib.errors import BenchError
from benchlib.result.model import Histogram
from benchlib.stats import bootstrap, inference, metrics

SOURCE = np.random.default_rng(11)


class Tests(unittest.TestCase):
    def test_signed_rank_is_scipys_and_exact(self) -> None:
        for n in (6, 20, 80):
            values = SOURCE.normal(0.3, 1, n)
            self.assertAlmostEqual(inference.signed_rank(values),
                                   scipy_stats.wilcoxon(values).pvalue)
        # by enumeration: of all 2^6 signs of the ranks, how many are as extreme as 1..6?
        ranks = np.arange(1, 7)
        sums = [sum(signs * ranks) for signs in itertools.product((-1, 1), repeat=6)]
        exact = sum(abs(total) >= 21 for total in sums) / len(sums)
        self.assertAlmostEqual(inference.signed_rank([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), exact)
        self.assertAlmostEqual(inference.least_p(6), exact)

    def test_rank_sum_is_exact(self) -> None:
        # 5 against 5, all larger: 2 of the 252 ways to draw 5 of 10
        self.assertAlmostEqual(inference.rank_sum([6, 7, 8, 9, 10], [1, 2, 3, 4, 5]), 2 / 252)
        self.assertAlmostEqual(inference.least_p_unpaired(5, 5), 2 / 252)

    def test_no_difference_at_all(self) -> None:
        self.assertEqual(inference.signed_rank([0.0] * 10), 1.0)
        self.assertGreaterEqual(inference.rank_sum([1.0] * 10, [1.0] * 10), 0.99)

    def test_false_alarms_are_as_many_as_promised(self) -> None:
        for draw in (SOURCE.normal, SOURCE.laplace):
            alarms = sum(inference.signed_rank(draw(0, 1, 20)) < 0.05 for _ in range(400))
            self.assertLess(scipy_stats.binom.sf(alarms - 1, 400, 0.05), 0.9999)
            self.assertGreater(scipy_stats.binom.sf(alarms - 1, 400, 0.05), 0.0001)

    def test_impossible_values(self) -> None:
        for wrong in ([], [1.0, float("nan")], [float("inf")]):
            for ask in (inference.signed_rank, inference.centre):
                with self.assertRaises(ValueError):
                    ask(wrong)


class Sizes(unittest.TestCase):
    def test_centre_is_the_median_of_all_means_of_pairs(self) -> None:
        values = list(SOURCE.normal(0, 1, 15))
        pairs = itertools.combinations_with_replacement(values, 2)
        self.assertAlmostEqual(inference.centre(values).median,
                               np.median([(a + b) / 2 for a, b in pairs]))

    def test_shift_is_the_median_of_all_differences(self) -> None:
        ours, others = list(SOURCE.normal(3, 1, 9)), list(SOURCE.normal(0, 1, 12))
        self.assertAlmostEqual(inference.shift(ours, others).median,
                               np.median([a - b for a in ours for b in others]))

    def test_intervals_hold_what_their_test_does_not_reject(self) -> None:
        values = SOURCE.normal(5, 1, 40)
        found = inference.centre(values)
        for inside in (found.low + 0.01, found.high - 0.01):
            self.assertGreater(inference.signed_rank(values - inside), 0.045)
        for outside in (found.low - 0.01, found.high + 0.01):
            self.assertLess(inference.signed_rank(values - outside), 0.055)
        others = SOURCE.normal(0, 1, 30)
        found = inference.shift(values, others)
        for inside in (found.low + 0.01, found.high - 0.01):
            self.assertGreater(inference.rank_sum(values - inside, others), 0.045)
        for outside in (found.low - 0.01, found.high + 0.01):
            self.assertLess(inference.rank_sum(values - outside, others), 0.055)

    def test_intervals_cover_the_truth_as_often_as_they_say(self) -> None:
        covered = {"centre": 0, "shift": 0, "difference": 0}
        for seed in range(300):
            ours, others = SOURCE.standard_t(3, 20) + 0.5, SOURCE.standard_t(3, 25)
            for name, found in (("centre", inference.centre(ours)),
                                ("shift", inference.shift(ours, others)),
                                ("difference", bootstrap.median_difference(ours, others, seed)
                                 if seed < 100 else None)):
                covered[name] += found is not None and found.low <= 0.5 <= found.high
        self.assertGreater(covered["centre"] / 300, 0.91)
        self.assertGreater(covered["shift"] / 300, 0.91)
        self.assertGreater(covered["difference"] / 100, 0.86)

    def test_equal_values_have_no_width(self) -> None:
        found = inference.centre([2.0] * 12)
        self.assertEqual((found.low, found.median, found.high), (2.0, 2.0, 2.0))

    def test_few_values_give_the_widest_interval(self) -> None:
        found = inference.centre([1.0, 2.0, 4.0])
        self.assertEqual((found.low, found.high), (1.0, 4.0))


class Corrections(unittest.TestCase):
    def test_holm_of_a_known_example(self) -> None:
        adjusted = inference.holm([0.01, 0.04, 0.03, 0.005])
        for value, known in zip(adjusted, (0.03, 0.06, 0.06, 0.02)):
            self.assertAlmostEqual(value, known)
        self.assertEqual(inference.holm([]), [])
        self.assertEqual(inference.holm([0.6, 0.9]), [1.0, 1.0])

    def test_holm_keeps_the_chance_of_any_false_alarm(self) -> None:
        wrong = sum(min(inference.holm(list(SOURCE.uniform(size=12)))) < 0.05 for _ in range(2000))
        self.assertLess(wrong / 2000, 0.065)

    def test_upper_rate(self) -> None:
        # none in n: the rule of three, exactly 1 - 0.05 ** (1 / n)
        for n in (1, 20, 100):
            self.assertAlmostEqual(inference.upper_rate(0, n), 1 - 0.05 ** (1 / n))
        self.assertEqual(inference.upper_rate(3, 3), 1.0)


class Metrics(unittest.TestCase):
    def test_the_typical_latency_is_the_mean_of_the_middle_half(self) -> None:
        values = np.sort(SOURCE.lognormal(7, 0.3, 4000).astype(int))
        bins, counts = np.unique(values, return_counts=True)
        found = metrics.middle_mean(Histogram(list(map(int, bins)), list(map(int, counts))))
        self.assertAlmostEqual(found, scipy_stats.trim_mean(values, 0.25), delta=0.5)

    def test_a_bin_counts_for_the_part_that_is_inside(self) -> None:
        # the middle half of eight values: two of the four at 10, two of the four at 20
        self.assertEqual(metrics.middle_mean(Histogram([10, 20], [4, 4])), 15.0)
        self.assertEqual(metrics.middle_mean(Histogram([10], [1])), 10.0)
        with self.assertRaises(ValueError):
            metrics.middle_mean(Histogram())

    def test_the_tail_does_not_move_it(self) -> None:
        calm = Histogram([1000, 1016], [500, 500])
        disturbed = Histogram([1000, 1016, 9_000_000], [500, 500, 40])
        self.assertAlmostEqual(metrics.middle_mean(disturbed) / metrics.middle_mean(calm), 1,
                               delta=0.001)

    def test_names(self) -> None:
        one = sample()
        for name, value in (("mean", 1000.0), ("p50", 1000.0), ("p99.9", 1016.0)):
            self.assertEqual(metrics.metric(name)(one), value)
        for wrong in ("median", "p0", "p100", "p", "px"):
            with self.assertRaises(BenchError):
                metrics.metric(wrong)


if __name__ == "__main__":
    main()

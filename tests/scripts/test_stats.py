#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Statistics against numpy, exact theory and known distributions."""

from __future__ import annotations

import unittest
from dataclasses import replace

import numpy as np
from scipy.stats import binom

from support import CASE, main, sample
from benchlib.result.model import Histogram, Interval
from benchlib.stats import bootstrap, histograms, summaries


AGAINST = {"native": "", "block": "native"}


def histogram(values: "np.ndarray[int, np.dtype[np.int64]]") -> Histogram:
    bins, counts = np.unique(values, return_counts=True)
    return Histogram([int(x) for x in bins], [int(x) for x in counts])


class Histograms(unittest.TestCase):
    def test_percentiles_are_those_of_the_pooled_values(self) -> None:
        source = np.random.default_rng(1)
        parts = [source.lognormal(7, 0.4, 5000).astype(int) for _ in range(4)]
        merged = histograms.merge([histogram(part) for part in parts])
        pooled = np.concatenate(parts)
        for percent in (0.1, 50, 99, 99.9, 100):
            self.assertEqual(histograms.percentile(merged, percent),
                             np.percentile(pooled, percent, method="inverted_cdf"))

    def test_merging_is_not_averaging(self) -> None:
        # 99 fast rounds' p99 of 1, one slow round's of 100: averaged 2, really 1.
        fast, slow = Histogram([1], [1000]), Histogram([100], [1000])
        merged = histograms.merge([fast] * 99 + [slow])
        self.assertEqual(histograms.percentile(merged, 98.9), 1)
        self.assertEqual(histograms.percentile(merged, 99.1), 100)

    def test_impossible_questions(self) -> None:
        for bad in (0, -1, 100.1):
            with self.assertRaises(ValueError):
                histograms.percentile(Histogram([1], [1]), bad)
        for empty in (Histogram(), Histogram([1], [0])):
            with self.assertRaises(ValueError):
                histograms.percentile(empty, 50)

    def test_bins_without_counts_are_refused(self) -> None:
        with self.assertRaises(ValueError):
            histograms.merge([Histogram([1, 2], [1])])


class Intervals(unittest.TestCase):
    def test_bootstrap_agrees_with_its_exact_distribution(self) -> None:
        # The bootstrap median of n distinct values is one of them, with binomial probabilities
        # that are known exactly, so the ends of the interval are known too.
        n = 11
        values = list(np.random.default_rng(2).normal(1, 0.05, n))
        ordered, half = sorted(values), (n + 1) // 2
        reached = [binom.sf(half - 1, n, (i + 1) / n) for i in range(n)]
        low = next(x for x, p in zip(ordered, reached) if p >= 0.025)
        high = next(x for x, p in zip(ordered, reached) if p >= 0.975)
        interval = bootstrap.median_interval(values, seed=3)
        self.assertEqual(interval.median, np.median(values))
        self.assertAlmostEqual(interval.low, low)
        self.assertAlmostEqual(interval.high, high)

    def test_interval_covers_the_true_median(self) -> None:
        source, trials = np.random.default_rng(4), 200
        covered = 0
        for seed in range(trials):
            interval = bootstrap.median_interval(list(source.lognormal(0, 0.1, 11)), seed)
            covered += interval.low <= 1 <= interval.high
        self.assertGreater(covered / trials, 0.88)

    def test_same_seed_same_interval(self) -> None:
        values = [1.0, 1.1, 0.9, 1.2, 1.05]
        self.assertEqual(bootstrap.median_interval(values, 5), bootstrap.median_interval(values, 5))

    def test_one_value_and_equal_values(self) -> None:
        for values in ([1.5], [1.5] * 6):
            interval = bootstrap.median_interval(values, 1)
            self.assertEqual((interval.low, interval.median, interval.high), (1.5, 1.5, 1.5))

    def test_no_or_impossible_values(self) -> None:
        impossible: list[list[float]] = [[], [1.0, float("nan")], [float("inf")]]
        for values in impossible:
            with self.assertRaises(ValueError):
                bootstrap.median_interval(values, 1)


class Verdicts(unittest.TestCase):
    def test_words(self) -> None:
        for low, high, samples, word in (
                (0.90, 0.95, 11, "faster"), (1.05, 1.10, 11, "slower"),
                (0.99, 1.01, 11, "same"), (0.981, 0.995, 11, "same"), (0.95, 1.05, 11, "unclear"),
                (0.90, 0.95, 4, "too-few")):
            ratio = Interval((low + high) / 2, low, high, 0.95, samples)
            self.assertEqual(summaries.verdict(ratio), word)
            self.assertIn(word, summaries.VERDICTS)

    def verdicts(self, shift: float, trials: int) -> list[str]:
        """Verdicts over simulated campaigns: drifting machine, 3 % noise, `shift` in latency."""
        source = np.random.default_rng(6)
        words = []
        for trial in range(trials):
            samples = []
            for number in range(11):
                drift = 1000 * source.uniform(1, 2)  # a machine twice as slow in some rounds
                for name, factor in (("native", 1.0), ("block", shift)):
                    mean = drift * factor * source.normal(1, 0.03)
                    samples.append(sample(engine=name, round=number, mean=mean))
            rows = summaries.summarise(samples, AGAINST, trial)
            words.append(next(row.verdict for row in rows if row.engine == "block"))
        return words

    def test_ten_per_cent_is_found_through_drift_and_noise(self) -> None:
        self.assertGreater(self.verdicts(0.9, 40).count("faster"), 36)
        self.assertGreater(self.verdicts(1.1, 40).count("slower"), 36)

    def test_nothing_is_found_where_nothing_is(self) -> None:
        words = self.verdicts(1.0, 60)
        self.assertLess((words.count("faster") + words.count("slower")) / len(words), 0.12)


class Summaries(unittest.TestCase):
    def test_ratio_pairs_rounds(self) -> None:
        samples = [sample(round=i, mean=1000.0 * 2 ** i) for i in range(5)]
        samples += [sample(engine="block", round=i, mean=900.0 * 2 ** i) for i in range(1, 5)]
        native, block = summaries.summarise(samples, AGAINST, 1)
        self.assertIsNone(native.ratio)
        self.assertEqual(native.verdict, "baseline")
        assert block.ratio is not None
        self.assertEqual((block.ratio.median, block.ratio.samples), (0.9, 4))

    def test_without_the_baseline(self) -> None:
        [alone] = summaries.summarise([sample(engine="block")], AGAINST, 1)
        self.assertEqual((alone.ratio, alone.verdict), (None, "alone"))

    def test_calm_rounds_are_preferred_when_there_are_enough(self) -> None:
        noisy = [sample(round=i, mean=5000.0, calm=False) for i in range(4)]
        calm = [sample(round=10 + i, mean=1000.0) for i in range(5)]
        [summary] = summaries.summarise(noisy + calm, AGAINST, 1)
        self.assertEqual((summary.rounds, summary.disturbed, summary.mean), (5, 0, 1000.0))
        [summary] = summaries.summarise(noisy + calm[:4], AGAINST, 1)
        self.assertEqual((summary.rounds, summary.disturbed), (8, 4))

    def test_cases_stay_apart(self) -> None:
        cases = [CASE, replace(CASE, depth=32), replace(CASE, target="tmpfs"),
                 replace(CASE, rw="read"), replace(CASE, numjobs=2)]
        samples = [sample(case=case) for case in cases]
        self.assertEqual([s.case for s in summaries.summarise(samples, AGAINST, 1)],
                         cases)


if __name__ == "__main__":
    main()

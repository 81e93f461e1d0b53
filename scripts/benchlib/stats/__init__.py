# SPDX-License-Identifier: MIT OR Apache-2.0
"""Figures from samples.

    histograms   merged latency histograms and their percentiles
    pairing      samples by case and round, ratios within rounds
    metrics      what one figure a run is judged by
    bootstrap    confidence intervals of medians
    summaries    a comparison's summaries and verdicts
    inference    rank tests, the sizes of differences, corrections for many tests

histograms and pairing need the standard library only, the others numpy and scipy.
"""

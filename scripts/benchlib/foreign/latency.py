# SPDX-License-Identifier: MIT OR Apache-2.0
"""A latency histogram from what fio's JSON has of it.

The best first: the bins of json+; the percentiles; the classes that every fio prints (per cent of
the I/Os up to 2, 4, 10, ... µs). The middle of the histogram of json+ is exact to 1.6 %; the others
put all I/Os between two known points at the upper one.
"""

from __future__ import annotations

from typing import Any, Mapping

from ..result.model import Histogram

Tree = dict[str, Any]
CLASSES = (("latency_ns", 1), ("latency_us", 1000), ("latency_ms", 1_000_000))
ABOVE = ">=2000"  # the last class; it ends nowhere, so that its I/Os are put at the maximum


def from_bins(bins: Mapping[str, Any], unit: int) -> Histogram:
    """Of json+. fio 2 has numbers of bins, with what it takes to turn them into values."""
    bits, size = bins.get("FIO_IO_U_PLAT_BITS"), bins.get("FIO_IO_U_PLAT_VAL")
    counts: dict[int, int] = {}
    for name, count in bins.items():
        if name.isdigit() and count:
            value = int(name) if bits is None or size is None else _middle(int(name), bits, size)
            counts[value * unit] = counts.get(value * unit, 0) + int(count)
    return _sorted(counts)


def _middle(number: int, bits: int, size: int) -> int:
    """The middle of fio's bin of this number: exact below 2 * size, then each power of two has
    `size` bins."""
    if number < size * 2:
        return number
    shift = (number >> bits) - 1
    return (1 << (shift + bits)) + int((number % size + 0.5) * (1 << shift))


def from_percentiles(percentiles: Mapping[str, Any], unit: int, ios: int, largest: int) -> Histogram:
    """Counts at the percentiles that fio printed; what is above the last is at the maximum."""
    counts: dict[int, int] = {}
    reached = 0
    for share, value in sorted((float(name), float(value))
                               for name, value in percentiles.items()):
        upto = round(share / 100 * ios)
        if upto > reached and value > 0:
            place = round(value * unit)
            counts[place] = counts.get(place, 0) + upto - reached
            reached = upto
    if counts and ios > reached:
        largest = max(largest, *counts)
        counts[largest] = counts.get(largest, 0) + ios - reached
    return _sorted(counts)


def from_classes(job: Tree, ios: int, largest: int) -> Histogram:
    """Counts at the upper ends of fio's classes."""
    counts: dict[int, int] = {}
    for key, unit in CLASSES:
        for name, share in job.get(key, {}).items():
            count = round(float(share) / 100 * ios)
            end = largest if name == ABOVE else min(int(name) * unit, max(largest, 1))
            if count:
                counts[end] = counts.get(end, 0) + count
    return _sorted(counts)


def _sorted(counts: dict[int, int]) -> Histogram:
    bins = sorted(counts)
    return Histogram(bins, [counts[value] for value in bins])

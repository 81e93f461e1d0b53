# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a series can be of: names, words, which direction is good. Standard library only.

A metric is one of METRICS, a percentile (p50, p99.9), or shift-NAME, a gate's candidate relative to
its baseline.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass

from .. import options


@dataclass(frozen=True)
class Metric:
    words: str  # for text
    title: str  # for axes
    less_is_better: bool = True
    exact: bool = False  # counted, not timed: it repeats


METRICS = {
    "ratio": Metric("mean latency relative to the reference", "mean latency against the reference"),
    "instructions": Metric("instructions per I/O in the library", "instructions per I/O",
                           exact=True),
    "calls": Metric("system calls per I/O", "system calls per I/O", exact=True),
    "typical": Metric("mean of the middle half of latencies, in ns", "typical latency"),
    "mean": Metric("mean latency in ns", "mean latency"),
    "iops": Metric("I/Os per second", "I/Os per second", less_is_better=False),
    "bandwidth": Metric("bytes per second", "bytes per second", less_is_better=False),
}
# What a trend follows unless it is told, by the kind of entry.
DEFAULT = {"compare": ("ratio",), "gate": ("instructions", "calls", "typical"),
           "qualify": ("mean", "iops"), "fio": ("mean", "iops")}
_PERCENTILE = re.compile(r"p\d{1,2}(\.\d+)?")


def of(name: str) -> Metric:
    """The metric of a name that names() or a result has given."""
    if name in METRICS:
        return METRICS[name]
    if name.startswith("shift-"):
        return Metric(f"{name[6:]} latency relative to the baseline of that day",
                      f"{name[6:]} latency against its baseline")
    return Metric(f"{name} latency in ns", f"{name} of latency")


def names(text: str) -> list[str]:
    """instructions,p99"""
    found = options.names(text)
    for name in found:
        base = name.removeprefix("shift-")
        if name not in METRICS and base not in ("typical", "mean") \
                and not _PERCENTILE.fullmatch(base):
            raise argparse.ArgumentTypeError(
                f"{name!r} is not a metric; there are {', '.join(METRICS)}, percentiles such as p99, "
                "and shift-NAME")
    return found

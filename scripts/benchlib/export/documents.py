# SPDX-License-Identifier: MIT OR Apache-2.0
"""Exports of one result as JSON: for github-action-benchmark and for Bencher."""

from __future__ import annotations

import json
import math
from typing import Any, Sequence

from ..errors import refuse
from ..history import metrics
from ..history.figures import Reading
from .model import Exported, unit

BENCHER_MEASURES = {"mean": "latency", "iops": "throughput"}  # built in, in ns and 1/s
LONGEST_NAME = 1024


def github(results: Sequence[Exported], less_is_better: bool) -> str:
    """For the action's tools customSmallerIsBetter and customBiggerIsBetter, a file for each."""
    item = _one(results)
    found = [_entry(item, figure) for figure in item.figures
             if metrics.of(figure.metric).less_is_better == less_is_better]
    if not found:
        raise refuse("the result has no figure of which "
                     f"{'less' if less_is_better else 'more'} is better", "Choose the other format.")
    return json.dumps(found, indent=1, allow_nan=False) + "\n"


def _entry(item: Exported, figure: Reading) -> dict[str, Any]:
    half = max(figure.high - figure.value, figure.value - figure.low)
    words = [f"on {figure.medium}", f"libblkio {item.libblkio}", figure.verdict]
    return {"name": f"{figure.series} {figure.metric}", "unit": unit(figure.metric) or "1",
            "value": figure.value, "range": f"± {half:.6g}",
            "extra": "\n".join(word for word in words if word)}


def bencher(results: Sequence[Exported]) -> str:
    """Bencher's metric format: benchmark, measure, value with its limits."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for figure in _one(results).figures:
        if math.isfinite(figure.value):
            measure = BENCHER_MEASURES.get(figure.metric, figure.metric)
            found.setdefault(figure.series[:LONGEST_NAME], {})[measure] = {
                "value": figure.value, "lower_value": min(figure.low, figure.value),
                "upper_value": max(figure.high, figure.value)}
    return json.dumps(found, indent=1, allow_nan=False) + "\n"


def _one(results: Sequence[Exported]) -> Exported:
    if len(results) != 1:
        raise refuse(f"this format holds one result, not {len(results)}",
                     "Name one RESULT, or an entry of the history with --entry.")
    return results[0]

# SPDX-License-Identifier: MIT OR Apache-2.0
"""Exports as CSV: a line per figure, and a line per result as Apache Otava reads it."""

from __future__ import annotations

import csv
import datetime
import io
import json
from typing import Sequence

from ..errors import refuse
from ..history import metrics
from .model import Exported, unit

HEAD = ("kind", "started", "label", "machine", "libblkio", "result_verdict", "series", "medium",
        "metric", "unit", "value", "low", "high", "rounds", "verdict")
ATTRIBUTES = ("version", "label", "verdict")


def table(results: Sequence[Exported]) -> str:
    """A line per figure, for spreadsheets and programs."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(HEAD)
    for item in results:
        out.writerows([item.kind, item.started, item.label, item.machine, item.libblkio,
                       item.verdict, f.series, f.medium, f.metric, unit(f.metric), repr(f.value),
                       repr(f.low), repr(f.high), len(f.rounds), f.verdict] for f in item.figures)
    return text.getvalue()


def columns(results: Sequence[Exported]) -> list[tuple[str, str]]:
    """The figures that all results have: a CSV of Otava can have no gaps."""
    found = [{(f.series, f.metric) for f in item.figures} for item in results]
    both = set.intersection(*found)
    return [(f.series, f.metric) for f in results[0].figures if (f.series, f.metric) in both]


def otava(results: Sequence[Exported]) -> str:
    """A line per result, in the order of time; results of several machines are refused."""
    if len({item.machine for item in results}) > 1:
        raise refuse("the results are of several machines, which do not compare",
                     "Choose one with --machine.")
    if not (shared := columns(results)):
        raise refuse("the results have no figure in common")
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["time", *ATTRIBUTES, *map(_column, shared)])
    for item in sorted(results, key=lambda item: item.started):
        values = {(f.series, f.metric): f.value for f in item.figures}
        started = datetime.datetime.fromisoformat(item.started)
        out.writerow([f"{started:%Y-%m-%d %H:%M:%S %z}", item.libblkio, item.label, item.verdict,
                      *(repr(values[key]) for key in shared)])
    return text.getvalue()


def otava_config(results: Sequence[Exported], file: str) -> str:
    """Otava's configuration for that CSV: JSON, which is YAML too."""
    shared = {_column(key): {"column": _column(key), "scale": 1,
                             "direction": -1 if metrics.of(key[1]).less_is_better else 1}
              for key in columns(results)}
    return json.dumps({"tests": {"libblkio": {
        "type": "csv", "file": file, "time_column": "time", "attributes": list(ATTRIBUTES),
        "metrics": shared, "csv_options": {"delimiter": ",", "quote_char": '"'}}}}, indent=2) + "\n"


def _column(key: tuple[str, str]) -> str:
    return f"{key[0]} {key[1]}"

# SPDX-License-Identifier: MIT OR Apache-2.0
"""Export as OpenMetrics text, with the time of each result: promtool and every scraper that takes
OpenMetrics can read it.

Times are in seconds, as the format asks for. A family's samples are together, those of one label set
in the order of time.
"""

from __future__ import annotations

import datetime
import re
from typing import Sequence

from ..history import metrics
from .model import Exported, unit

UNITS = {"ns": ("seconds", 1e-9), "bytes/s": ("bytes_per_second", 1.0),
         "1/s": ("per_second", 1.0)}
BOUNDS = (("value", ""), ("low", "_low"), ("high", "_high"))


def text(results: Sequence[Exported]) -> str:
    lines: list[str] = []
    names = sorted({figure.metric for item in results for figure in item.figures})
    for metric in names:
        for bound, suffix in BOUNDS:
            lines += _family(results, metric, bound, suffix)
    return "\n".join([*lines, "# EOF"]) + "\n"


def _family(results: Sequence[Exported], metric: str, bound: str, suffix: str) -> list[str]:
    """One family: the value of a metric, or an end of its interval."""
    word, scale = UNITS.get(unit(metric), ("", 1.0))
    base = re.sub(r"\W", "_", f"libblkio_{metric}{suffix}")
    name = f"{base}_{word}" if word else base
    samples: dict[str, dict[float, float]] = {}
    for item in results:
        time = datetime.datetime.fromisoformat(item.started).timestamp()
        for figure in item.figures:
            if figure.metric == metric:
                labels = _labels(series=figure.series, medium=figure.medium, machine=item.machine)
                samples.setdefault(labels, {})[time] = getattr(figure, bound) * scale
    head = [f"# TYPE {name} gauge", *([f"# UNIT {name} {word}"] if word else []),
            f"# HELP {name} {_escaped(_help(metric, bound))}"]
    return head + [f"{name}{labels} {value!r} {time:.0f}" for labels in sorted(samples)
                   for time, value in sorted(samples[labels].items())]


def _help(metric: str, bound: str) -> str:
    words = metrics.of(metric).words.replace(" in ns", "").replace(", in ns", "")
    return words if bound == "value" else f"{words}: the {bound} end of the interval"


def _labels(**values: str) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items())
    return "{" + inside + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

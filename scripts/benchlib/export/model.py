# SPDX-License-Identifier: MIT OR Apache-2.0
"""What is exported: results with their figures, wherever they are from."""

from __future__ import annotations

from dataclasses import dataclass

from ..history.figures import Reading


@dataclass(frozen=True)
class Exported:
    """One result."""

    kind: str
    started: str  # UTC, ISO 8601
    label: str
    machine: str  # fingerprint
    libblkio: str
    verdict: str
    figures: list[Reading]


def unit(metric: str) -> str:
    """ns, 1/s, bytes/s; "" for a ratio or a count."""
    if metric == "iops":
        return "1/s"
    if metric == "bandwidth":
        return "bytes/s"
    if metric in ("ratio", "instructions", "calls") or metric.startswith("shift-"):
        return ""
    return "ns"

# SPDX-License-Identifier: MIT OR Apache-2.0
"""gate.json: written whole, read back only if it fits the schema."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..result import storage
from ..result.codec import DecodeError
from ..result.model import Result, Sample
from .model import CANDIDATE, SCHEMA, GateResult

FILE = storage.GATE


def read(path: Path) -> GateResult:
    """The gate's result in a folder or file."""
    file = path / FILE if path.is_dir() else path
    return storage.read_as(file, GateResult, SCHEMA, _check)


def _check(result: GateResult) -> None:
    sides = {side.name for side in result.sides}
    for i, sample in enumerate(result.samples):
        if sample.engine.partition("@")[2] not in sides:
            raise DecodeError(f"samples[{i}]: {sample.engine} is of no side")


def stored_runs(path: Path) -> GateResult | Result:
    """What may serve as a baseline: a gate's result or a comparison's."""
    if path.name == FILE or (path / FILE).exists():
        return read(path)
    return storage.read(path)


def baseline_samples(stored: GateResult | Result) -> list[Sample]:
    """The samples to compare with: a gate's candidate, or all of a comparison."""
    if isinstance(stored, Result):
        return stored.samples
    return [sample for sample in stored.samples if sample.engine.endswith(f"@{CANDIDATE}")]


def renamed(sample: Sample, side: str) -> Sample:
    """The sample as one of a side."""
    mode = sample.engine.partition("@")[0]
    return replace(sample, engine=f"{mode}@{side}")

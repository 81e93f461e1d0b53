# SPDX-License-Identifier: MIT OR Apache-2.0
"""qualification.json: written after every step, so that whatever ends a run leaves what was known;
read back, for a report or to resume, only if it fits the schema of model.py.
"""

from __future__ import annotations

from pathlib import Path

from ..result.codec import DecodeError
from ..result.storage import QUALIFICATION, read_as, write_json
from . import verdict
from .model import CHECK_VERDICTS, CRITERION_VERDICTS, SCHEMA, STEP_STATES, VERDICTS, Qualification

FILE = QUALIFICATION


def write(folder: Path, qualification: Qualification) -> None:
    """Write it, complete or not at all."""
    write_json(folder / FILE, qualification)


def read(path: Path) -> Qualification:
    """The qualification in a folder or file, checked. What it concludes follows from the figures in
    it and is concluded again, so that an older file claims no more than one of today."""
    file = path / FILE if path.is_dir() else path
    return verdict.judged(read_as(file, Qualification, SCHEMA, _check))


def _check(found: Qualification) -> None:
    """What types alone do not say."""
    _one_of(found.verdict, VERDICTS, "verdict")
    for i, check in enumerate(found.checks):
        _one_of(check.verdict, CHECK_VERDICTS, f"checks[{i}].verdict")
    for i, criterion in enumerate(found.criteria):
        _one_of(criterion.verdict, CRITERION_VERDICTS, f"criteria[{i}].verdict")
    names = [step.name for step in found.steps]
    for i, step in enumerate(found.steps):
        _one_of(step.state, STEP_STATES, f"steps[{i}].state")
        if names.count(step.name) > 1:
            raise DecodeError(f"steps[{i}].name: {step.name!r} is there twice")
        for j, cell in enumerate(step.cells):
            if len(cell.latency.bins) != len(cell.latency.counts):
                raise DecodeError(f"steps[{i}].cells[{j}].latency: bins and counts differ in number")
        for j, steady in enumerate(step.steady):
            if steady.rounds < 1 or steady.first + steady.rounds > len(steady.values):
                raise DecodeError(f"steps[{i}].steady[{j}]: the window leaves the series")


def _one_of(word: str, words: tuple[str, ...], where: str) -> None:
    if word not in words:
        raise DecodeError(f"{where}: must be one of {', '.join(words)}, got {word!r:.60}")

# SPDX-License-Identifier: MIT OR Apache-2.0
"""What is demanded of a device: a text file, one requirement a line; GRAMMAR in options.py is the
manual.

Every line becomes a Criterion: pass, fail, or unknown where the figure is not there.
"""

from __future__ import annotations

import argparse
import operator
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from .. import options
from ..errors import refuse
from ..result import words
from . import health
from .cells import PERCENTS
from .model import Cell, Criterion, Health, Qualification, Step
from .options import GRAMMAR

COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt, "==": operator.eq}
UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9,
         "kb/s": 1e3, "mb/s": 1e6, "gb/s": 1e9, "kib/s": 1024.0, "mib/s": 2.0 ** 20,
         "gib/s": 2.0 ** 30}
KINDS = {"iops": ("", "k", "m"), "bandwidth": ("kb/s", "mb/s", "gb/s", "kib/s", "mib/s", "gib/s"),
         "time": ("ns", "us", "µs", "ms", "s")}
_FIGURE = re.compile(r"(\S+)\s+(\S+)\s+(\S+)(?:\s+depth\s+(\d+))?\s+"
                     r"(iops|bandwidth|mean|max|p[\d.]+)\s*(<=|>=|<|>)\s*(\S+)")
_FIELD = re.compile(r"(health|change)\s+(\w+)\s*(<=|>=|<|>|==)\s*(\d+(?:\.\d+)?)")
_FIRMWARE = re.compile(r"firmware\s*==\s*(\S+)")
_STEADY = re.compile(r"steady\s+(\S+)")

Judge = Callable[[Qualification], tuple[str, str]]  # -> (the value in words, verdict)
MISSING = "not measured"
DETAIL = "demanded by the limits file"  # tells these criteria from those that hold always


@dataclass(frozen=True)
class Limit:
    name: str
    text: str
    judge: Judge

    def criterion(self, found: Qualification) -> Criterion:
        value, verdict = self.judge(found)
        return Criterion(self.name, self.text, value, verdict, DETAIL)


def read(path: str) -> list[Limit]:
    """The limits in a file; refused as a whole when a line is not understood."""
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise refuse(f"--limits {path}: {getattr(error, 'strerror', None) or error}") from error
    bare = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
    return [_parse(text, f"{path}:{number}") for number, text in bare if text]


def again(criteria: list[Criterion]) -> list[Limit]:
    """The limits of an earlier sitting, from their outcomes."""
    return [_parse(item.requirement, "an earlier sitting") for item in criteria
            if item.detail == DETAIL]


def _parse(text: str, where: str) -> Limit:
    for pattern, make in ((_FIRMWARE, _firmware), (_STEADY, _steady), (_FIELD, _field),
                          (_FIGURE, _figure)):
        match = pattern.fullmatch(text)
        if match:
            try:
                name, judge = make(match)
            except ValueError as error:
                raise refuse(f"{where}: {text}: {error}") from error
            return Limit(name, text, judge)
    raise refuse(f"{where}: {text!r} is not a requirement", "Write lines such as\n" + GRAMMAR)


# ---- Lines -----------------------------------------------------------------------------------


def _firmware(match: re.Match[str]) -> tuple[str, Judge]:
    def judge(found: Qualification) -> tuple[str, str]:
        value = found.device.firmware
        return (value, _word(value == match[1])) if value else (MISSING, "unknown")
    return "firmware", judge


def _steady(match: re.Match[str]) -> tuple[str, Judge]:
    def judge(found: Qualification) -> tuple[str, str]:
        step = _step(found, match[1])
        if step is None or not step.steady:
            return MISSING, "unknown"
        reached = all(state.reached for state in step.steady)
        return ("reached" if reached else "not reached"), _word(reached)
    return f"steady.{match[1]}", judge


def _field(match: re.Match[str]) -> tuple[str, Judge]:
    which, name, sign, bound = match[1], match[2], match[3], float(match[4])
    if name not in health.LABELS:
        raise ValueError(f"no health field {name}; choose from {', '.join(health.LABELS)}")

    def judge(found: Qualification) -> tuple[str, str]:
        value = _number(found.health_after, name)
        if value is not None and which == "change":
            before = _number(found.health_before, name)
            value = None if before is None else value - before
        if value is None:
            return MISSING, "unknown"
        return health.in_words(name, value), _word(COMPARE[sign](value, bound))
    return f"{which}.{name}", judge


def _figure(match: re.Match[str]) -> tuple[str, Judge]:
    step_name, size_text, rw, depth, metric, sign, bound_text = match.groups()
    size, bound = _size(size_text), _bound(metric, bound_text)
    if metric.startswith("p") and float(metric[1:]) not in PERCENTS:
        raise ValueError(f"no percentile {metric}; choose from "
                         f"{', '.join(f'p{p:g}' for p in PERCENTS)}")

    def fits(cell: Cell) -> bool:
        work = cell.workload
        return (work.rw, work.block_size) == (rw, size) and depth in (None, str(work.depth))

    def judge(found: Qualification) -> tuple[str, str]:
        step = _step(found, step_name)
        values = [_metric(cell, metric) for cell in step.cells if fits(cell)] if step else []
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values):
            return MISSING, "unknown"
        met = [COMPARE[sign](value, bound) for value in known]
        worst = max(known) if sign in ("<", "<=") else min(known)
        return in_words(metric, worst), _word(all(met))
    return ".".join(filter(None, (step_name, size_text, rw, depth and f"qd{depth}", metric))), judge


# ---- Values ----------------------------------------------------------------------------------


def in_words(metric: str, value: float) -> str:
    if metric == "iops":
        return f"{value:,.0f} IOPS"
    if metric == "bandwidth":
        return f"{value / 1e6:,.1f} MB/s"
    return words.duration(value)


def _metric(cell: Cell, metric: str) -> float | None:
    if metric.startswith("p"):
        return next((item.value for item in cell.percentiles
                     if item.percent == float(metric[1:])), None)  # an older file has fewer
    return float(getattr(cell, metric))


def _step(found: Qualification, name: str) -> Step | None:
    return next((step for step in found.steps if step.name == name and step.state == "done"), None)


def _number(state: Health | None, name: str) -> float | int | None:
    value = getattr(state, name) if state else None
    return value if isinstance(value, (int, float)) else None


def _word(met: bool) -> str:
    return "pass" if met else "fail"


def _size(text: str) -> int:
    try:
        return options.size(text)
    except argparse.ArgumentTypeError as error:
        raise ValueError(str(error)) from error


def _bound(metric: str, text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zµ/]*)", text.lower())
    units = KINDS.get(metric, KINDS["time"])
    if not match or match[2] not in units:
        raise ValueError(f"{text!r} is not a value for {metric}: write a number with one of the units "
                         f"{', '.join(unit or '(none)' for unit in units)}")
    return float(match[1]) * UNITS[match[2]]

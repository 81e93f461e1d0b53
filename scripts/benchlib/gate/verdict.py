# SPDX-License-Identifier: MIT OR Apache-2.0
"""The decision table of the gate.

A difference must be large enough to matter *and* too large for chance. What is neither proven nor
excluded is too noisy: silence about it would be a pass that nobody has shown.
"""

from __future__ import annotations

from typing import Iterable

from ..errors import Exit
from ..result.model import Interval
from ..verdict import GATE, IMPROVED, PASS, REGRESS, TOO_FEW, TOO_NOISY
from .model import Limits

def of_shift(shift: Interval, p: float, least_p: float, limits: Limits) -> str:
    """For a ratio candidate / baseline. `p` is corrected already; `least_p` is the smallest that
    so many samples could have given, corrected too."""
    if least_p > limits.alpha:
        return TOO_FEW
    significant = p < limits.alpha
    if significant and shift.median >= 1 + limits.effect:
        return REGRESS
    if significant and shift.median <= 1 - limits.effect:
        return IMPROVED
    return PASS if shift.high < 1 + limits.effect else TOO_NOISY


def of_count(baseline: float, candidate: float, repeatable: bool, limit: float) -> str:
    """For figures that repeat exactly: `limit` is what they may differ by."""
    if not repeatable:
        return TOO_NOISY
    if candidate > baseline + limit:
        return REGRESS
    return IMPROVED if candidate < baseline - limit else PASS


def worst(verdicts: Iterable[str]) -> str:
    """PASS when there are none."""
    return GATE.worst(verdicts).name


def exit_status(verdicts: Iterable[str], tolerated: Iterable[str]) -> Exit:
    """Of the worst verdict that is not tolerated."""
    allowed = set(tolerated)
    return Exit(GATE.worst(word for word in verdicts if word not in allowed).code)

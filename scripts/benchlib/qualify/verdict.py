# SPDX-License-Identifier: MIT OR Apache-2.0
"""Good enough? What every device must satisfy, what the limits file adds, and the final word."""

from __future__ import annotations

import enum
from typing import Sequence

from . import health
from .limits import Limit
from .model import Criterion, Qualification


class QualifyExit(enum.IntEnum):
    """Exit codes of scripts/bench qualify."""

    QUALIFIED = 0
    INCOMPLETE = 1  # something failed or is missing; what is known is kept
    REFUSED = 2  # before anything was measured
    NOT_QUALIFIED = 3
    INTERRUPTED = 130  # Ctrl-C; --resume goes on


EXITS = {"qualified": QualifyExit.QUALIFIED, "not-qualified": QualifyExit.NOT_QUALIFIED,
         "incomplete": QualifyExit.INCOMPLETE, "refused": QualifyExit.REFUSED}


def criteria(found: Qualification, limits: Sequence[Limit]) -> list[Criterion]:
    """Everything demanded of the device, and how it was met."""
    always = [_integrity(found), _warning(found), _media_errors(found)]
    return [item for item in always if item] + [limit.criterion(found) for limit in limits]


def decide(found: Qualification) -> tuple[str, list[str]]:
    """(verdict, reasons) from criteria and steps."""
    failed = [f"{item.requirement}: is {item.value}" for item in found.criteria
              if item.verdict == "fail"]
    if failed:
        return "not-qualified", failed
    missing = [f"{step.title.partition(':')[0]}: {step.state}"
               f"{', ' + step.reason if step.reason else ''}"
               for step in found.steps if step.state not in ("done", "skipped")]
    missing += [f"{item.requirement}: {item.value}" for item in found.criteria
                if item.verdict == "unknown"]
    if missing:
        return "incomplete", missing
    met = sum(item.verdict == "pass" for item in found.criteria)
    done = sum(step.state == "done" for step in found.steps)
    without = len(found.steps) - done
    return "qualified", [", ".join([
        f"{done} steps done", *([f"{without} left out"] if without else []),
        f"{met} of {met} requirements met" if met else "nothing was demanded"])]


def complete(found: Qualification) -> bool:
    return all(step.state in ("done", "skipped") for step in found.steps)


def _integrity(found: Qualification) -> Criterion | None:
    step = next((step for step in found.steps if step.kind == "integrity"), None)
    if step is None:
        return None
    if step.corrupt:
        return Criterion("integrity", "all data read back as written",
                         f"{len(step.corrupt)} stretches with wrong data", "fail", step.corrupt[0])
    if step.state != "done":
        return Criterion("integrity", "all data read back as written", "not verified", "unknown",
                         step.reason)
    return Criterion("integrity", "all data read back as written",
                     f"{step.verified >> 20} MiB verified", "pass", "")


def _warning(found: Qualification) -> Criterion | None:
    after = found.health_after
    if after is None or after.critical_warning is None:
        return None
    return Criterion("health.critical_warning", "no critical warning afterwards",
                     health.in_words("critical_warning", after.critical_warning),
                     "fail" if after.critical_warning else "pass", "")


def _media_errors(found: Qualification) -> Criterion | None:
    before, after = found.health_before.media_errors, \
        found.health_after.media_errors if found.health_after else None
    if before is None or after is None:
        return None
    return Criterion("change.media_errors", "no new media errors", f"{after - before} new",
                     "fail" if after > before else "pass", f"{before} before, {after} after")

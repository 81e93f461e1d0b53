# SPDX-License-Identifier: MIT OR Apache-2.0
"""Good enough? What every device must satisfy, what the limits file adds, and the final word.

A steady state is not a requirement that a limits file may make, but what "qualified" rests on: a
figure of a device that still changes is not a figure of the device.
"""

from __future__ import annotations

import dataclasses
from typing import Sequence

from ..verdict import (FAILED, INCOMPLETE, MEASURED, QUALIFIED, QUALIFY, REFUSED, Headline,
                       Shortfall, compose, disturbed, lowest)
from . import caveats, health
from .limits import Limit
from .model import Criterion, Qualification, Step

INTERRUPTED = 130  # exit status after Ctrl-C; --resume goes on
CLAUSES = {QUALIFIED: "is qualified", MEASURED: "was measured, but is not qualified",
           INCOMPLETE: "cannot be judged yet", REFUSED: "was not measured",
           FAILED: "does not meet its requirements"}


def criteria(found: Qualification, limits: Sequence[Limit]) -> list[Criterion]:
    """Everything demanded of the device, and how it was met."""
    always = [_integrity(found), _warning(found), _failing(found),
              *(_no_more(found, name, words) for name, words in (
                  ("media_errors", "media errors"), ("reallocated_sectors", "reallocated sectors"),
                  ("pending_sectors", "unreadable sectors")))]
    return [item for item in always if item] + [limit.criterion(found) for limit in limits]


def judged(found: Qualification) -> Qualification:
    """With the verdict, the reasons and the caveats that follow from all the rest."""
    if found.verdict == REFUSED:
        return found
    found = dataclasses.replace(found, caveats=caveats.of(found))
    name, reasons = _claim(found)
    falls = shortfalls(found)
    return dataclasses.replace(found, verdict=lowest(QUALIFY[name], falls).name,
                               reasons=[*reasons, *(fall.words for fall in falls)])


def headline(found: Qualification, subject: str) -> Headline:
    """The verdict on a `subject`, in one sentence with all that it falls short in."""
    refused = found.verdict == REFUSED
    reasons = found.reasons if refused else _claim(found)[1]
    return compose(QUALIFY[found.verdict], f"{subject} {CLAUSES[found.verdict]}: {reasons[0]}",
                   [] if refused else shortfalls(found), reasons[1:])


def _claim(found: Qualification) -> tuple[str, list[str]]:
    """(verdict, reasons) from criteria and steps, whatever these rest on."""
    failed = [f"{item.requirement}: is {item.value}" for item in found.criteria
              if item.verdict == "fail"]
    if failed:
        return FAILED, failed
    lacking = [f"{_title(step)}: {step.state}{', ' + step.reason if step.reason else ''}"
               for step in found.steps if step.state not in ("done", "skipped")]
    lacking += [f"{item.requirement}: {item.value}" for item in found.criteria
                if item.verdict == "unknown"]
    if lacking:
        return INCOMPLETE, lacking
    met = len(found.criteria)
    done = sum(step.state == "done" for step in found.steps)
    return QUALIFIED, [f"{done} steps done, " + (f"{met} of {met} requirements met" if met
                                                 else "nothing was required")]


def shortfalls(found: Qualification) -> list[Shortfall]:
    """What the figures rest on and does not carry "qualified"; and what was left out, which the
    device cannot do."""
    lower, same = QUALIFY[MEASURED], QUALIFY[QUALIFIED]
    done = [step for step in found.steps if step.state == "done"]
    restless, series = caveats.restless(found), sum(len(step.steady) for step in done)
    falls = []
    if restless:
        falls.append(Shortfall(f"{len(restless)} of {series} series reached no steady state", lower))
    elif not series:
        falls.append(Shortfall("no steady state was looked for", lower))
    busy = [(caveats.disturbed(step), len(step.points)) for step in done]
    if sum(count for count, _ in busy):
        many = any(disturbed(count, total) for count, total in busy)
        falls.append(Shortfall(
            f"other programs disturbed {sum(count for count, _ in busy)} of "
            f"{sum(total for _, total in busy)} measurements", lower if many else same))
    falls += [Shortfall(words, lower) for words in _narrowed(found)]
    skipped = [_title(step) for step in found.steps if step.state == "skipped"]
    if skipped:
        falls.append(Shortfall(f"{len(skipped)} of {len(found.steps)} steps were left out: "
                               f"{', '.join(skipped)}", same))
    return falls


def _narrowed(found: Qualification) -> list[str]:
    """What the user asked for less of than the profile has."""
    accepted = [check.title for check in found.checks if check.accepted]
    absent, plan = caveats.missing(found), found.plan
    return [words for words, holds in (
        ("the run was read only", plan.read_only),
        (f"all times and sizes were scaled by {plan.scale:g}", plan.scale != 1),
        (f"{len(absent)} steps of the profile were not asked for", absent),
        (f"only {plan.extent >> 20} MiB of {found.device.size >> 20} MiB were used",
         not caveats.whole(found)),
        (f"refusals of the preflight were accepted: {', '.join(accepted)}", accepted)) if holds]


def _title(step: Step) -> str:
    return step.title.partition(":")[0]


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


def _failing(found: Qualification) -> Criterion | None:
    after = found.health_after
    if after is None or after.failing is None:
        return None
    return Criterion("health.failing", "no failure predicted",
                     "the disk predicts its failure" if after.failing else "none",
                     "fail" if after.failing else "pass", after.source)


def _no_more(found: Qualification, name: str, words: str) -> Criterion | None:
    """A counter that must stand still meanwhile."""
    before = getattr(found.health_before, name)
    after = getattr(found.health_after, name) if found.health_after else None
    if before is None or after is None:
        return None
    return Criterion(f"change.{name}", f"no new {words}", f"{after - before} new",
                     "fail" if after > before else "pass", f"{before} before, {after} after")

# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a reader of any figure must know. All of it follows from the rest of the qualification, so
that a run that was resumed says each thing once.
"""

from __future__ import annotations

from . import health, preflight
from .model import Qualification, Steady, Step
from .plan import NAMES, READING

MOST_LOAD = 0.05  # of the machine; a measurement with more is disturbed
WHOLE = 0.9  # share of the device from which on it counts as all of it


def of(found: Qualification) -> list[str]:
    """All caveats, one sentence or two each."""
    told = preflight.caveats(found.checks)
    if not whole(found):
        told.append(f"Only {found.plan.extent >> 20} MiB of {found.device.size >> 20} MiB were "
                    "used: caches may hold all of that.")
    if found.plan.scale != 1:
        told.append(f"All times and sizes of profile {found.plan.profile} were scaled by "
                    f"{found.plan.scale:g}: this shows that the steps work, not what the device does.")
    if found.plan.read_only:
        told.append("Read only: nothing was filled, no write was measured, nothing verified.")
    if missing(found):
        told.append("Only some steps were asked for: "
                    f"{', '.join(step.name for step in found.steps)}.")
    return told + _meanwhile(found)


def whole(found: Qualification) -> bool:
    """Was all of the device used?"""
    return found.plan.extent >= WHOLE * found.device.size


def missing(found: Qualification) -> list[str]:
    """Steps that were not asked for."""
    there = {step.name for step in found.steps}
    return [name for name in (READING if found.plan.read_only else NAMES) if name not in there]


def restless(found: Qualification) -> list[tuple[Step, Steady]]:
    """The series that reached no steady state, in the steps that were done."""
    return [(step, state) for step in found.steps for state in step.steady
            if step.state == "done" and not state.reached]


def disturbed(step: Step) -> int:
    """How many measurements of a step other programs disturbed."""
    return sum(point.other_load > MOST_LOAD for point in step.points)


def _meanwhile(found: Qualification) -> list[str]:
    """What happened during the run."""
    after = found.health_after
    grown = health.growth(found.health_before, after) if after else {}
    told = [f"The device counted {count} more: {health.LABELS[name]}."
            for name, count in grown.items()]
    names = list(dict.fromkeys(step.name for step, _ in restless(found)))
    if names:
        told.append(f"No steady state in {', '.join(names)}: what was measured there may not last.")
    again = len(found.sittings) - 1
    if again > 0:
        times = "once" if again == 1 else f"{again} times"
        told.append(f"Resumed {times}: the device rested in between.")
    busy = sum(map(disturbed, found.steps))
    if busy:
        told.append(f"Other programs used more than {MOST_LOAD:.0%} of the machine during {busy} of "
                    f"{sum(len(step.points) for step in found.steps)} measurements."
                    .replace("%", " %"))
    return told

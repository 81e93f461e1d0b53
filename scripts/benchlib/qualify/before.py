# SPDX-License-Identifier: MIT OR Apache-2.0
"""What qualify looks at before it does anything; printed for --dry-run. Standard library only."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from ..measure import targets
from ..verdict import QUALIFIED, QUALIFY, REFUSED
from . import health, limits, preflight, request, text
from .limits import Limit
from .model import Check, Health, Qualification
from .request import Request


@dataclass(frozen=True)
class Examined:
    request: Request
    limits: list[Limit]
    health: Health
    checks: list[Check]


def before(options: argparse.Namespace) -> int | None:
    if options.path:
        targets.check_new_or_named(options.path)
    if not options.dry_run:
        return None
    found = examine(options, request.earlier(options))
    print(text.preflight(found.checks), text.plan(found.request), sep="\n\n")
    return QUALIFY[REFUSED if preflight.refusals(found.checks) else QUALIFIED].code


def examine(options: argparse.Namespace, earlier: Qualification | None) -> Examined:
    """`earlier` is the run to go on with."""
    demanded = limits.read(options.limits) if options.limits else []
    asked = request.resumed(options, earlier) if earlier else request.fresh(options)
    if asked.earlier and not options.limits:
        demanded = limits.again(asked.earlier.criteria)
    state = health.record(asked.device) if not asked.to_make else health.of_no_device()
    return Examined(asked, demanded, state, _preflight(asked, state, options.accept))


def _preflight(asked: Request, state: Health, accept: list[str]) -> list[Check]:
    where = preflight.site(asked.device, state, asked.plan.cpus[-1], not asked.plan.read_only,
                           "--hipri=1" in asked.engine.options)
    earlier = asked.earlier.checks if asked.earlier else []
    now = preflight.run(where, [*accept, *(check.name for check in earlier if check.accepted)])
    return preflight.merged(earlier, now)

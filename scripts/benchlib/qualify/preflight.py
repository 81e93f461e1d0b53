# SPDX-License-Identifier: MIT OR Apache-2.0
"""May this device be measured, here and now? Each check has a value, a verdict, a reason to care
and a remedy. "warn" becomes a caveat of every figure; "refuse" ends the run before it begins,
unless the user accepts that check by name: then it is a caveat too. Nothing accepts a device that
others use.

To add a check, write a function that returns a Check, or None where it does not apply, and name it
in DEVICE of preflight_device.py or in MACHINE of preflight_machine.py.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import refuse
from .model import CHECK_VERDICTS, Check
from .preflight_device import DEVICE
from .preflight_machine import MACHINE
from .preflight_site import Site, site

__all__ = ["caveats", "refusals", "run", "site"]

NEVER_ACCEPTED = ("holder", "writable", "zoned")  # it could not work, or would harm others


def run(where: Site, accept: list[str]) -> list[Check]:
    """All checks that apply, with those accepted that the user named."""
    checks = [check for check in (ask(where) for ask in (*DEVICE, *MACHINE)) if check]
    unknown = set(accept) - {check.name for check in checks}
    if unknown:
        raise refuse(f"--accept {', '.join(sorted(unknown))}: there is no such check",
                     f"Choose from {', '.join(check.name for check in checks)}.")
    never = set(accept) & set(NEVER_ACCEPTED)
    if never:
        raise refuse(f"--accept {', '.join(sorted(never))}: this can not be accepted")
    return [replace(check, accepted=check.verdict == "refuse" and check.name in accept)
            for check in checks]


def merged(earlier: list[Check], now: list[Check]) -> list[Check]:
    """The checks of all sittings, each once, as it came out worst."""
    def badness(check: Check) -> int:
        return CHECK_VERDICTS.index(check.verdict) if check.verdict != "unknown" else 0

    before = {check.name: check for check in earlier}
    return [max(check, before.get(check.name, check), key=badness) for check in now]


def refusals(checks: list[Check]) -> list[Check]:
    return [check for check in checks if check.verdict == "refuse" and not check.accepted]


def caveats(checks: list[Check]) -> list[str]:
    """What the checks have to say to the reader of any figure."""
    return [f"{check.title}: {check.value}. {check.why}" for check in checks
            if check.verdict == "warn" or check.accepted]

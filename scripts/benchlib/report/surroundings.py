# SPDX-License-Identifier: MIT OR Apache-2.0
"""Where and with what a comparison was measured, in lines for people."""

from __future__ import annotations

from .. import environment
from ..model import Result


def lines(result: Result) -> list[tuple[str, str]]:
    """As (what, value)."""
    found = [("measured", f"{result.started}, {result.seconds:.0f} s"),
             *environment.describe(result.environment),
             ("fio's CPUs", ", ".join(map(str, result.settings.cpus)))]
    for target in result.targets:
        queue = ", ".join(f"{name}={value}" for name, value in target.queue.items())
        found.append((f"target {target.name}", f"{target.medium}, {target.size >> 20} MiB"
                                               f"{', queue: ' + queue if queue else ''}"))
    for contender in result.contenders:
        flags = "unknown" if contender.ring_flags is None else \
            " ".join(contender.ring_flags) or "none"
        found.append((f"mode {contender.name}", f"{' '.join(contender.options)}; "
                                                f"ring flags: {flags}"))
    return found

# SPDX-License-Identifier: MIT OR Apache-2.0
"""Where and with what a comparison was measured, in lines for people."""

from __future__ import annotations

from ..machine import environment
from ..result.model import Result


def lines(result: Result) -> list[tuple[str, str]]:
    """As (what, value)."""
    found = [("measured", f"{result.started}, {result.seconds:.0f} s"),
             *environment.describe(result.environment),
             ("fio's CPUs", ", ".join(map(str, result.settings.cpus)))]
    for target in result.targets:
        queue = ", ".join(f"{name}={value}" for name, value in target.queue.items())
        found.append((f"target {target.name}", f"{target.medium}, {target.size >> 20} MiB"
                                               f"{', queue: ' + queue if queue else ''}"))
    for engine in result.engines:
        flags = "unknown" if engine.ring_flags is None else \
            " ".join(engine.ring_flags) or "none"
        found.append((f"mode {engine.name}", f"{' '.join(engine.options)}; "
                      f"ring flags: {flags}"))
    return found

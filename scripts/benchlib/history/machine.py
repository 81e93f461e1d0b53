# SPDX-License-Identifier: MIT OR Apache-2.0
"""Which machine a result is from, by what it is made of, and what else may explain its figures.

Two machines of the same make have the same fingerprint: their figures compare. What may change on
one machine (kernel, fio, governor) is not part of it, but told wherever figures change.
"""

from __future__ import annotations

import hashlib
import json

from ..result.model import Environment

CIRCUMSTANCES = ("libblkio", "libblkio_build", "fio", "kernel", "distribution", "governor",
                 "cpu_latency_held", "clock", "mitigations")


def facts(environment: Environment) -> dict[str, str]:
    """What makes the machine; memory in GiB, since the kernel's count varies by a few MiB."""
    e = environment
    return {"cpu": e.cpu, "cpus": str(e.cpus), "threads_per_core": str(e.threads_per_core),
            "numa_nodes": str(e.numa_nodes), "virtualised": e.virtualised,
            "memory_gib": str(round(e.memory_mib / 1024))}


def fingerprint(environment: Environment) -> str:
    """Eight digits for the facts."""
    text = json.dumps(facts(environment), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def describe(known: dict[str, str]) -> str:
    """In words, from the facts: A CPU, 4 CPUs, 8 GiB."""
    if known.get("cpus") == "0":  # only a name is known
        return known.get("cpu", "unknown")
    virtual = ", virtual" if known.get("virtualised") == "yes" else ""
    return (f"{known.get('cpu', 'unknown')}, {known.get('cpus', '?')} CPUs, "
            f"{known.get('memory_gib', '?')} GiB{virtual}")


def circumstances(environment: Environment) -> dict[str, str]:
    return {name: str(getattr(environment, name)) for name in CIRCUMSTANCES}


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What differs, in words: kernel 6.1 → 6.2"""
    names = [name for name in CIRCUMSTANCES if before.get(name) != after.get(name)]
    return [f"{name.replace('_', ' ')} {before.get(name, '?')} → {after.get(name, '?')}"
            for name in names]

# SPDX-License-Identifier: MIT OR Apache-2.0
"""The preflight's checks of the machine: what makes figures wander or flatters none of them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Callable

from ..machine import environment
from ..machine.blockdev import read_text
from ..machine.quiet import LATENCY_REQUEST, LoadMeter
from ..measure import targets
from .model import Check
from .preflight_site import Site, verdict

CPUS = Path("/sys/devices/system/cpu")
MOST_LOAD = 0.05
LOOK_SECONDS = 0.5
LEAST_MEMORY = 256 << 20


def _governor(s: Site) -> Check:
    value = read_text(CPUS / f"cpu{s.cpu}" / "cpufreq" / "scaling_governor")
    word = "unknown" if not value else "ok" if value == "performance" else "warn"
    return verdict("governor", "CPU governor", value or "not visible", word,
                   "Clock changes add noise to every latency.",
                   "cpupower frequency-set -g performance" if word == "warn" else "")


def _turbo(_s: Site) -> Check:
    intel, other = (read_text(CPUS / name) for name in ("intel_pstate/no_turbo", "cpufreq/boost"))
    on = intel == "0" or other == "1"
    known = intel or other
    return verdict("turbo", "CPU turbo", "on" if on else "off" if known else "not visible",
                   "warn" if on else "ok" if known else "unknown",
                   "The clock then depends on temperature and on other cores.",
                   "echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo, or 0 to cpufreq/boost"
                   if on else "")


def _throttling(_s: Site) -> Check:
    counts = [read_text(file) for file in CPUS.glob("cpu*/thermal_throttle/*_throttle_count")]
    events = sum(int(text) for text in counts if text.isdigit())
    word = "unknown" if not counts else "warn" if events else "ok"
    return verdict("throttling", "CPU thermal throttling",
                   f"{events} times since boot" if counts else "not visible", word,
                   "A hot processor slows down when it is needed most.",
                   "Look at the cooling." if events else "")


def _idle(_s: Site) -> Check:
    held = os.access(LATENCY_REQUEST, os.W_OK)
    return verdict("idle", "Deep idle states", "forbidden meanwhile" if held else "allowed",
                   "ok" if held else "warn", "Waking up takes one of two times, by chance.",
                   "" if held else "Run as root.")


def _numa(s: Site) -> Check | None:
    nodes = list(Path("/sys/devices/system/node").glob("node[0-9]*"))
    if len(nodes) < 2 or s.device.numa_node < 0:
        return None
    near = s.cpu in environment.cpu_list(read_text(
        Path(f"/sys/devices/system/node/node{s.device.numa_node}/cpulist")))
    return verdict("numa", "NUMA node", f"device on {s.device.numa_node}, CPU {s.cpu} "
                   f"{'too' if near else 'on another'}", "ok" if near else "warn",
                   "Interrupts and data cross the sockets.",
                   "" if near else "Choose a CPU of the device's node with --cpu.")


def _cpus(_s: Site) -> Check:
    count = len(os.sched_getaffinity(0))
    return verdict("cpus", "CPUs", str(count), "warn" if count < 2 else "ok",
                   "On a single one the kernel's work and fio's compete.")


def _virtual(_s: Site) -> Check:
    guest = "hypervisor" in read_text(Path("/proc/cpuinfo")).split()
    return verdict("virtual", "Virtual machine", "yes" if guest else "no",
                   "warn" if guest else "ok",
                   "The host's other guests and its own cache are part of the figures.",
                   "Qualify hardware on the bare machine." if guest else "")


def _mitigations(_s: Site) -> Check:
    files = sorted((CPUS / "vulnerabilities").glob("*"))
    active = [file.name for file in files if "Mitigation" in read_text(file)]
    return verdict("mitigations", "CPU mitigations", ", ".join(active) or "none active", "ok",
                   "They make every system call dearer: compare only figures with the same ones.")


def _clock(_s: Site) -> Check:
    value = read_text(Path("/sys/devices/system/clocksource/clocksource0/current_clocksource"))
    word = "ok" if value in ("tsc", "kvm-clock", "arch_sys_counter") else "warn"
    return verdict("clock", "Clock source", value or "unknown", word,
                   "Reading a slow clock is part of every latency.",
                   "Find out in the kernel's log why it does not trust the TSC."
                   if word == "warn" else "")


def _memory(_s: Site) -> Check:
    free = targets.memory_available()
    return verdict("memory", "Memory available", f"{free >> 20} MiB",
                   "ok" if free >= LEAST_MEMORY else "refuse",
                   "A machine that swaps measures its swapping.",
                   "" if free >= LEAST_MEMORY else "End other programs.")


def _load(_s: Site) -> Check:
    meter = LoadMeter()
    time.sleep(LOOK_SECONDS)
    share = meter.share()
    return verdict("load", "Other programs", f"{share:.0%} of the machine now",
                   "ok" if share <= MOST_LOAD else "warn", "Their work delays this one's.",
                   "" if share <= MOST_LOAD else "End them, or wait for a quiet hour.")


MACHINE: tuple[Callable[[Site], Check | None], ...] = (
    _governor, _turbo, _throttling, _idle, _numa, _cpus, _virtual, _mitigations, _clock, _memory,
    _load,
)

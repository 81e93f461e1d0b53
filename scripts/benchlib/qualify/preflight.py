# SPDX-License-Identifier: MIT OR Apache-2.0
"""May this device be measured, here and now? Each check has a value, a verdict, a reason to care
and a remedy. "warn" becomes a caveat of every figure; "refuse" ends the run before it begins,
unless the user accepts that check by name: then it is a caveat too. Nothing accepts a device that
others use.

To add a check, write a function that returns a Check, or None where it does not apply, and name it
in DEVICE here or in MACHINE of preflight_machine.py.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable

from .. import inuse
from ..blockdev import BlockDevice, block_device, read_text
from ..errors import refuse
from . import health, identity, nvme_admin
from .model import Check, Device, Health

NEVER_ACCEPTED = ("holder", "writable", "zoned")  # it could not work, or would harm others


@dataclass(frozen=True)
class Site:
    """What the checks look at."""

    device: Device
    disk: BlockDevice | None  # under the file or device
    health: Health
    cpu: int  # that fio's job gets
    writes: bool
    polls: bool  # does the engine poll?


def site(device: Device, state: Health, cpu: int, writes: bool, polls: bool) -> Site:
    place = device.path if os.path.exists(device.path) else os.path.dirname(device.path)
    return Site(device, block_device(place), state, cpu, writes, polls)


def verdict(name: str, title: str, value: str, word: str, why: str, remedy: str = "") -> Check:
    return Check(name, title, value, word, False, why, remedy)


def run(where: Site, accept: list[str]) -> list[Check]:
    """All checks that apply, with those accepted that the user named."""
    from .preflight_machine import MACHINE
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


def refusals(checks: list[Check]) -> list[Check]:
    return [check for check in checks if check.verdict == "refuse" and not check.accepted]


def caveats(checks: list[Check]) -> list[str]:
    """What the checks have to say to the reader of any figure."""
    return [f"{check.title}: {check.value}. {check.why}" for check in checks
            if check.verdict == "warn" or check.accepted]


# ---- Checks of the device --------------------------------------------------------------------


def _holder(s: Site) -> Check:
    users = inuse.users(s.device.path) if os.path.exists(s.device.path) else []
    word = "ok" if not users else "refuse" if s.writes else "warn"
    return verdict("holder", "Used by others", "; ".join(users) or "nobody", word,
                   "Writing to it would destroy their data; their I/O disturbs the figures.",
                   "Unmount or stop what uses it." if users else "")


def _writable(s: Site) -> Check | None:
    if s.device.kind == "file" or s.disk is None or not s.writes:
        return None
    read_only = read_text(s.disk.node / "ro") == "1"
    return verdict("writable", "Writable", "no" if read_only else "yes",
                   "refuse" if read_only else "ok", "Most steps write.",
                   f"blockdev --setrw {s.device.path}, or --read-only here" if read_only else "")


def _zoned(s: Site) -> Check | None:
    model = s.disk.setting("zoned") if s.disk and s.device.kind != "file" else ""
    if model in ("", "none"):
        return None
    return verdict("zoned", "Zones", model, "refuse",
                   "Zones take writes at their write pointers only; the steps write anywhere.",
                   "Qualify a namespace without zones.")


def _medium(s: Site) -> Check | None:
    if s.device.kind not in ("file", "loop"):
        return None
    what = "file" if s.device.kind == "file" else "loop device"
    return verdict("medium", "Medium", f"a {what}: {s.device.medium}", "warn",
                   f"The figures are those of the {what}: filesystem and block layer included.",
                   "Name the disk itself to qualify the disk.")


def _extent(s: Site) -> Check | None:
    """A sparse file has no device behind its holes."""
    if s.device.kind != "file" or s.writes:
        return None
    stored = Path(s.device.path).stat().st_blocks * 512
    if stored >= s.device.size * 0.9:
        return None
    return verdict("sparse", "Allocated", f"{stored / s.device.size:.0%} of the file", "refuse",
                   "Holes are read without touching the disk.",
                   "Fill the file, or let qualify write it (--destroy instead of --read-only).")


def _firmware(s: Site) -> Check:
    known = s.device.firmware
    return verdict("firmware", "Firmware", known or "not told", "ok" if known else "unknown",
                   "Figures belong to one firmware; a limits file can demand it.")


def _warnings(s: Site) -> Check | None:
    bits = s.health.critical_warning
    if bits is None:
        return verdict("health", "Health", f"not known ({s.health.unavailable})", "unknown",
                       "Wear and defects cannot be told from slowness.")
    return verdict("health", "Health", ", ".join(nvme_admin.warnings(bits)) or "no warning",
                   "refuse" if bits else "ok",
                   "What a device does that is about to fail says nothing of others.",
                   "Replace it, or see its SMART log." if bits else "")


def _wear(s: Site) -> Check | None:
    used = s.health.percentage_used
    if used is None:
        return None
    return verdict("wear", "Wear", f"{used} % of the rated life used",
                   "warn" if used >= 100 else "ok",
                   "A worn device is slower, and its vendor promises nothing any more.",
                   "Qualify a fresher one." if used >= 100 else "")


def _temperature(s: Site) -> Check:
    now, limit = s.health.temperature_c, s.health.warning_temperature_c
    if now is None:
        return verdict("temperature", "Temperature", "not known", "unknown",
                       "A hot device throttles itself.")
    hot = limit is not None and now >= limit
    return verdict("temperature", "Temperature",
                   f"{now:.0f} °C" + (f", warns at {limit:.0f} °C" if limit else ""),
                   "refuse" if hot else "ok", "A hot device throttles itself.",
                   "Let it cool, improve the air flow." if hot else "")


def _link(s: Site) -> Check | None:
    pci = identity.pci_function(s.disk) if s.disk and s.device.kind != "file" else None
    if pci is None:
        return None
    now, most = (identity.link_state(pci, which) for which in ("current", "max"))
    if not now:
        return verdict("link", "PCI link", "not visible", "unknown",
                       "A link that came up slower or narrower limits the device.")
    return verdict("link", "PCI link", now if now == most else f"{now} of {most}",
                   "ok" if now == most else "refuse",
                   "A link that came up slower or narrower limits the device.",
                   "" if now == most else "Reseat it, use a slot with all lanes, look at the "
                   "slot's settings in the firmware.")


# ---- Checks of its queue ---------------------------------------------------------------------


def _setting(name: str, title: str, wanted: Callable[[str], bool], why: str,
             remedy: str) -> Callable[[Site], Check | None]:
    """A check of one file in the disk's queue folder."""
    def ask(s: Site) -> Check | None:
        value = s.disk.setting(name) if s.disk else ""
        if not value or s.disk is None:
            return None
        fine = wanted(value)
        return verdict(name, title, value, "ok" if fine else "warn", why,
                       "" if fine else f"echo {remedy} > /sys/block/{s.disk.name}/queue/{name}")
    return ask


def _poll_queues(s: Site) -> Check | None:
    if s.disk is None:
        return None
    polls = s.disk.polls()
    return verdict("io_poll", "Poll queues", "yes" if polls else "none",
                   "refuse" if s.polls and not polls else "ok",
                   "Without them a polled mode waits for interrupts like any other.",
                   "For NVMe boot with nvme.poll_queues=1." if s.polls and not polls else "")


DEVICE: tuple[Callable[[Site], Check | None], ...] = (
    _holder, _writable, _zoned, _medium, _extent, _firmware, _warnings, _wear, _temperature, _link,
    _setting("scheduler", "I/O scheduler", lambda text: "[none]" in text or text == "none",
             "A scheduler holds requests back and reorders them.", "none"),
    _setting("nomerges", "Merging", lambda text: text == "2",
             "The kernel joins neighbouring requests: the device sees fewer and larger ones.", "2"),
    _setting("iostats", "I/O statistics", lambda text: text == "0",
             "Accounting costs time on every request.", "0"),
    _setting("wbt_lat_usec", "Write-back throttling", lambda text: text == "0",
             "The kernel holds back trims and buffered writes when reads get slow.", "0"),
    _poll_queues,
)

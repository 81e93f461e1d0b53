# SPDX-License-Identifier: MIT OR Apache-2.0
"""The preflight's checks of the device and of its queue: who uses it, is it well, does it go as fast
as it could."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

from ..machine import inuse
from ..machine.blockdev import read_text
from . import identity, nvme_admin
from .model import Check
from .preflight_site import Site, verdict


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
    bits, failing = s.health.critical_warning, s.health.failing
    if failing is not None:
        return verdict("health", "Health", "the disk predicts its failure" if failing
                       else "no failure predicted", "refuse" if failing else "ok",
                       "A failing device does not represent others of its model.",
                       "Replace it, or see smartctl --all." if failing else "")
    if bits is None:
        return verdict("health", "Health", f"not known ({s.health.unavailable})", "unknown",
                       "Without it, wear and defects look like a slow device.")
    return verdict("health", "Health", ", ".join(nvme_admin.warnings(bits)) or "no warning",
                   "refuse" if bits else "ok",
                   "A failing device does not represent others of its model.",
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

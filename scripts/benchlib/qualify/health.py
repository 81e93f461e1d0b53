# SPDX-License-Identifier: MIT OR Apache-2.0
"""How is the device, by its own account? NVMe's SMART log; of SATA and SAS disks what smartctl reads;
for others a temperature, where the kernel has one. What cannot be had is None, and `unavailable`
says why.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from ..machine.blockdev import block_device, read_text
from . import nvme_admin, smartctl
from .model import Device, Health

_COUNTERS = ("media_errors", "error_log_entries", "unsafe_shutdowns", "throttled_seconds",
             "reallocated_sectors", "pending_sectors", "link_errors")
_UNITS = {"temperature_c": " °C", "warning_temperature_c": " °C", "spare": " %",
          "spare_threshold": " %", "percentage_used": " %", "power_on_hours": " h",
          "throttled_seconds": " s"}
LABELS = {
    "critical_warning": "critical warning", "temperature_c": "temperature",
    "warning_temperature_c": "warning temperature", "spare": "spare left",
    "spare_threshold": "spare threshold", "percentage_used": "wear",
    "data_read": "data read", "data_written": "data written", "power_cycles": "power cycles",
    "power_on_hours": "power-on time", "unsafe_shutdowns": "unsafe shutdowns",
    "media_errors": "media errors", "error_log_entries": "error log entries",
    "throttled_seconds": "time too hot", "failing": "failure predicted",
    "reallocated_sectors": "reallocated sectors", "pending_sectors": "unreadable sectors",
    "link_errors": "errors on the cable", "worn_attributes": "attributes below their threshold",
}


def record(device: Device) -> Health:
    """The device's health now."""
    if device.kind == "nvme":
        try:
            return _nvme(device.path)
        except OSError as error:
            remedy = "" if os.geteuid() == 0 else "; run as root"
            return _little(device, f"the SMART log: {error.strerror}{remedy}")
    if device.kind == "file":
        return of_no_device()
    if device.kind == "scsi":
        try:
            return Health(taken=_now(), unavailable="", **smartctl.read(device.path))
        except smartctl.Unavailable as error:
            remedy = "" if os.geteuid() == 0 else "; run as root"
            return _little(device, f"{error}{remedy}")
    return _little(device, "health is read from NVMe, SATA and SAS disks only")


def of_no_device() -> Health:
    """Of a file that is still to be made."""
    return _nothing("a file has no health log; qualify the disk under it", None)


def temperature(device: Device) -> float | None:
    """The device's temperature now, in degrees Celsius; of what can be asked without a pause."""
    if device.kind == "nvme":
        return record(device).temperature_c
    return _sensor(device) if device.kind == "scsi" else None


def growth(before: Health, after: Health) -> dict[str, int]:
    """What the device counted meanwhile, for counters that should stand still and did not."""
    found = {name: getattr(after, name) - getattr(before, name) for name in _COUNTERS
             if getattr(before, name) is not None and getattr(after, name) is not None}
    return {name: count for name, count in found.items() if count}


def known(health: Health) -> list[str]:
    """The names of the fields that have a value, in the order of LABELS."""
    return [name for name in LABELS if getattr(health, name) is not None]


def in_words(name: str, value: int | float) -> str:
    """A field's value with its unit."""
    if name == "failing":
        return "yes" if value else "no"
    if name == "critical_warning":
        return ", ".join(nvme_admin.warnings(int(value))) or "none"
    if name in ("data_read", "data_written"):
        return f"{value / 1e9:,.1f} GB"
    return f"{value:g}{_UNITS.get(name, '')}" if isinstance(value, float) \
        else f"{value:,}{_UNITS.get(name, '')}"


def _nvme(path: str) -> Health:
    smart, warning = nvme_admin.smart(path), nvme_admin.identify(path).warning_temperature_c
    return Health(
        taken=_now(), source="NVMe SMART log", unavailable="",
        critical_warning=smart.critical_warning, temperature_c=float(smart.temperature_c),
        warning_temperature_c=None if warning is None else float(warning), spare=smart.spare,
        spare_threshold=smart.spare_threshold, percentage_used=smart.percentage_used,
        data_read=smart.data_read, data_written=smart.data_written,
        power_cycles=smart.power_cycles, power_on_hours=smart.power_on_hours,
        unsafe_shutdowns=smart.unsafe_shutdowns, media_errors=smart.media_errors,
        error_log_entries=smart.error_log_entries, throttled_seconds=smart.throttled_seconds)


def _little(device: Device, why: str) -> Health:
    return _nothing(why, _sensor(device))


def _nothing(why: str, celsius: float | None) -> Health:
    """Nothing is known, but for a temperature that the kernel may show."""
    return Health(_now(), "none" if celsius is None else "hwmon", why, temperature_c=celsius)


def _sensor(device: Device) -> float | None:
    if device.kind == "file" or not os.path.exists(device.path):
        return None
    disk = block_device(device.path)
    if disk is None:
        return None
    for sensor in Path(disk.disk / "device").glob("hwmon*/temp1_input"):
        text = read_text(sensor)
        if text.lstrip("-").isdigit():
            return int(text) / 1000
    return None


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")

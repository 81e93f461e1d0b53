# SPDX-License-Identifier: MIT OR Apache-2.0
"""The health of SATA and SAS disks: smartctl's JSON, of version 7.0 or later (smartmontools).

smartctl speaks to disks in each vendor's dialect; this takes what means the same everywhere, and
None for the rest. What a disk counts in a way of its own stays with smartctl.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any, Callable

PROGRAM = "smartctl"
SECONDS = 60
NOT_OPENED = 0b11  # bits of smartctl's exit status: the others are about the disk, which answered
GIGABYTE = 10 ** 9

# ATA: attributes by number, with the names that vendors agree on; the raw value counts
REALLOCATED, REPORTED_UNCORRECTABLE, PENDING = 5, 187, 197
OFFLINE_UNCORRECTABLE, LINK_ERRORS = 198, 199
UNSAFE = ("Unexpect_Power_Loss_Ct", "Unsafe_Shutdown_Count", "Power-Off_Retract_Count")
WRITTEN, READ = "Total_LBAs_Written", "Total_LBAs_Read"
LIFE_LEFT = ("Percent_Lifetime_Remain", "SSD_Life_Left", "Media_Wearout_Indicator",
             "Wear_Leveling_Count")  # whose normalised value goes from 100 down

Fields = dict[str, Any]  # of model.Health


class Unavailable(Exception):
    """smartctl says nothing about the disk; the text says why."""


def read(path: str) -> Fields:
    """What the disk says of itself."""
    try:
        done = subprocess.run([PROGRAM, "--json", "--all", path], capture_output=True, text=True,
                              timeout=SECONDS)
    except FileNotFoundError:
        raise Unavailable(f"there is no {PROGRAM}: install the package smartmontools") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{PROGRAM}: {error}") from error
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise Unavailable(f"{PROGRAM} gave no JSON, exit status {done.returncode}") from None
    return parse(answer)


def parse(answer: Any) -> Fields:
    """The fields in smartctl's answer; what is not there, or of another form, is left out."""
    status = _number(answer, "smartctl", "exit_status")
    protocol = _at(answer, "device", "protocol")
    if not isinstance(protocol, str) or protocol not in PARSERS or (status or 0) & NOT_OPENED:
        raise Unavailable(_message(answer) or "smartctl does not know this kind of disk")
    passed = _at(answer, "smart_status", "passed")
    found: Fields = {
        "source": f"{protocol} SMART, by smartctl",
        "failing": int(not passed) if isinstance(passed, bool) else None,
        "temperature_c": _as_float(_number(answer, "temperature", "current")),
        "warning_temperature_c": _as_float(_first(
            _number(answer, "temperature", "op_limit_max"),
            _number(answer, "temperature", "drive_trip"))),
        "power_on_hours": _number(answer, "power_on_time", "hours"),
        "power_cycles": _number(answer, "power_cycle_count"),
        "percentage_used": _number(answer, "endurance_used", "current_percent"),
        "spare": _number(answer, "spare_available", "current_percent"),
        "spare_threshold": _number(answer, "spare_available", "threshold_percent"),
    }
    own = PARSERS[protocol](answer)
    found.update({name: value for name, value in own.items() if found.get(name) is None})
    if all(value is None for name, value in found.items() if name != "source"):
        raise Unavailable(_message(answer) or "the disk supports no SMART")
    return found


def _ata(answer: Any) -> Fields:
    rows = _at(answer, "ata_smart_attributes", "table")
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    by_id = {row["id"]: row for row in rows if type(row.get("id")) is int}
    by_name = {row["name"]: row for row in rows if isinstance(row.get("name"), str)}

    def raw(row: Any) -> int | None:
        return _number(row, "raw", "value")

    block = _number(answer, "logical_block_size") or 512
    errors = [_number(answer, "ata_smart_error_log", kind, "count")
              for kind in ("extended", "summary")]
    left = _first(*(_number(by_name.get(name), "value") for name in LIFE_LEFT))
    return {
        "reallocated_sectors": raw(by_id.get(REALLOCATED)),
        "pending_sectors": raw(by_id.get(PENDING)),
        "media_errors": _first(raw(by_id.get(REPORTED_UNCORRECTABLE)),
                               raw(by_id.get(OFFLINE_UNCORRECTABLE))),
        "link_errors": raw(by_id.get(LINK_ERRORS)),
        "worn_attributes": sum(row.get("when_failed") == "now" for row in rows) if rows else None,
        "error_log_entries": _first(*errors),
        "unsafe_shutdowns": _first(*(raw(by_name.get(name)) for name in UNSAFE)),
        "percentage_used": None if left is None or not 0 <= left <= 100 else 100 - left,
        "data_written": _times(raw(by_name.get(WRITTEN)), block),
        "data_read": _times(raw(by_name.get(READ)), block),
    }


def _scsi(answer: Any) -> Fields:
    log = _at(answer, "scsi_error_counter_log")
    uncorrected = [count for side in ("read", "write", "verify")
                   if (count := _number(log, side, "total_uncorrected_errors")) is not None]
    return {
        "reallocated_sectors": _number(answer, "scsi_grown_defect_list"),
        "pending_sectors": _number(answer, "scsi_pending_defects", "count"),
        "media_errors": sum(uncorrected) if uncorrected else None,
        "percentage_used": _number(answer, "scsi_percentage_used_endurance_indicator"),
        "power_cycles": _number(answer, "scsi_start_stop_cycle_counter",
                                "accumulated_start_stop_cycles"),
        "data_written": _gigabytes(_at(log, "write", "gigabytes_processed")),
        "data_read": _gigabytes(_at(log, "read", "gigabytes_processed")),
    }


PARSERS: dict[str, Callable[[Any], Fields]] = {"ATA": _ata, "SCSI": _scsi}


# ---- Values ----------------------------------------------------------------------------------


def _at(value: Any, *path: str) -> Any:
    """What is at a path of names, or None."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _number(value: Any, *path: str) -> int | None:
    found = _at(value, *path)
    return found if type(found) is int and found >= 0 else None


def _as_float(value: int | None) -> float | None:
    return None if value is None else float(value)


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _times(value: int | None, factor: int) -> int | None:
    return None if value is None else value * factor


def _gigabytes(value: Any) -> int | None:
    """A number, or as version 7 writes it: "3237519.423"."""
    try:
        return round(float(value) * GIGABYTE)
    except (TypeError, ValueError, OverflowError):
        return None


def _message(answer: Any) -> str:
    """smartctl's own words, without the device's name."""
    messages = _at(answer, "smartctl", "messages")
    words = [str(_at(item, "string")) for item in messages if _at(item, "string")] \
        if isinstance(messages, list) else []
    return "; ".join(words)[:200]

# SPDX-License-Identifier: MIT OR Apache-2.0
"""NVMe's own report, by two admin commands through the kernel: Identify Controller and
Get Log Page (SMART). Offsets are those of the NVM Express base specification 2.0, figures 275 and
207. Root only: the kernel lets nobody else send admin commands.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from dataclasses import dataclass

ADMIN_CMD = 0xC0484E41  # _IOWR('N', 0x41, struct nvme_passthru_cmd)
COMMAND = struct.Struct("=BBHIIIQQIIIIIIIIII")
GET_LOG_PAGE, IDENTIFY = 0x02, 0x06
CONTROLLER = 1  # Identify's CNS
SMART_LOG, SMART_BYTES = 0x02, 512
ALL_NAMESPACES = 0xFFFFFFFF
TIMEOUT_MS = 10000
ABSOLUTE_ZERO_C = -273
DATA_UNIT = 512 * 1000

WARNINGS = ("spare below its threshold", "temperature out of range", "reliability degraded",
            "read-only", "backup of volatile memory failed", "persistent memory read-only")


@dataclass(frozen=True)
class Controller:
    model: str
    serial: str
    firmware: str
    warning_temperature_c: int | None


@dataclass(frozen=True)
class Smart:
    critical_warning: int
    temperature_c: int
    spare: int
    spare_threshold: int
    percentage_used: int
    data_read: int
    data_written: int
    power_cycles: int
    power_on_hours: int
    unsafe_shutdowns: int
    media_errors: int
    error_log_entries: int
    throttled_seconds: int


def identify(node: str) -> Controller:
    """OSError when the kernel or the controller refuses."""
    return parse_controller(_admin(node, IDENTIFY, 0, CONTROLLER, 4096))


def smart(node: str) -> Smart:
    """OSError when the kernel or the controller refuses."""
    dwords = SMART_BYTES // 4 - 1
    return parse_smart(_admin(node, GET_LOG_PAGE, ALL_NAMESPACES, SMART_LOG | dwords << 16,
                              SMART_BYTES))


def warnings(critical_warning: int) -> list[str]:
    """The bits of the critical warning, in words."""
    return [word for bit, word in enumerate(WARNINGS) if critical_warning >> bit & 1]


def parse_controller(data: bytes) -> Controller:
    def text(start: int, end: int) -> str:
        return data[start:end].decode("ascii", "replace").strip(" \0")

    warning = int.from_bytes(data[266:268], "little")
    return Controller(text(24, 64), text(4, 24), text(64, 72),
                      warning + ABSOLUTE_ZERO_C if warning else None)


def parse_smart(data: bytes) -> Smart:
    def number(start: int, length: int) -> int:
        return int.from_bytes(data[start:start + length], "little")

    return Smart(
        critical_warning=data[0], temperature_c=number(1, 2) + ABSOLUTE_ZERO_C, spare=data[3],
        spare_threshold=data[4], percentage_used=data[5],
        data_read=number(32, 16) * DATA_UNIT, data_written=number(48, 16) * DATA_UNIT,
        power_cycles=number(112, 16), power_on_hours=number(128, 16),
        unsafe_shutdowns=number(144, 16), media_errors=number(160, 16),
        error_log_entries=number(176, 16),
        throttled_seconds=60 * (number(192, 4) + number(196, 4)))


def _admin(node: str, opcode: int, namespace: int, cdw10: int, length: int) -> bytes:
    """Send a command that reads `length` bytes."""
    data = ctypes.create_string_buffer(length)
    command = bytearray(COMMAND.pack(opcode, 0, 0, namespace, 0, 0, 0, ctypes.addressof(data), 0,
                                     length, cdw10, 0, 0, 0, 0, 0, TIMEOUT_MS, 0))
    fd = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = fcntl.ioctl(fd, ADMIN_CMD, command)
    finally:
        os.close(fd)
    if status:
        raise OSError(5, f"NVMe status {status:#x}")
    return data.raw

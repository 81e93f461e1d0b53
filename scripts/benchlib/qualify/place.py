# SPDX-License-Identifier: MIT OR Apache-2.0
"""The machine that has the device: what a session asks of it. Here is this machine; hosts/there.py
is another one.
"""

from __future__ import annotations

from typing import Any, Protocol

from ..machine.quiet import LoadMeter
from ..measure import fio
from . import health, identity
from .model import Device, Health


class Meter(Protocol):
    """What other programs used of the machine since the meter was made."""

    def share(self) -> float: ...


class Place(Protocol):
    keeps_logs: bool  # fio's logs of what happens within a run can be read

    def answer(self, argv: list[str], seconds: float) -> tuple[dict[str, Any], str]:
        """Run fio: what it says of its job, and what it printed besides; BenchError when it fails."""

    def meter(self) -> Meter: ...

    def temperature(self, device: Device) -> float | None: ...

    def health(self, device: Device) -> Health: ...

    def gone(self, device: Device) -> str:
        """Why the device is no longer what it was, or ""."""


class Here:
    """This machine."""

    keeps_logs = True

    def answer(self, argv: list[str], seconds: float) -> tuple[dict[str, Any], str]:
        return fio.answer(argv, seconds)

    def meter(self) -> Meter:
        return LoadMeter()

    def temperature(self, device: Device) -> float | None:
        return health.temperature(device)

    def health(self, device: Device) -> Health:
        return health.record(device)

    def gone(self, device: Device) -> str:
        return identity.gone(device)

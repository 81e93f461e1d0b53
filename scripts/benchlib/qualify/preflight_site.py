# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a check of the preflight looks at, and what it says."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..machine.blockdev import BlockDevice, block_device
from .model import Check, Device, Health


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

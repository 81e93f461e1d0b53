# SPDX-License-Identifier: MIT OR Apache-2.0
"""A disk of the kernel's NVMe/TCP host: libblkio's own host connects to the same namespace, so the
target serves both in turn.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import BenchError
from ..machine.blockdev import read_text
from .targets import Target
from .transport import Transport, blkio_path, naming, never


def _controller(target: Target) -> Path | None:
    """In sysfs; None unless the target is a whole disk of it."""
    if target.device is None or target.kind != "block-device" or \
            target.device.node != target.device.disk:
        return None
    folder = target.device.disk / "device"
    return folder if read_text(folder / "transport") == "tcp" else None


def uri(target: Target) -> str:
    controller = _controller(target)
    if controller is None or target.device is None:
        raise BenchError(f"{target.path} is not a disk of the kernel's NVMe/TCP host")
    address = dict(part.partition("=")[::2]
                   for part in read_text(controller / "address").split(","))
    host = address["traddr"]
    return (f"nvme+tcp://{f'[{host}]' if ':' in host else host}:{address['trsvcid']}/"
            f"{read_text(controller / 'subsysnqn')}/{read_text(target.device.disk / 'nsid')}")


def _obstacle(target: Target) -> str:
    if _controller(target) is None:
        return "not a whole disk of the kernel's NVMe/TCP host (without multipath)"
    return "" if target.direct else "the driver has no page cache"


TRANSPORT = naming(lambda target: blkio_path(uri(target)), _obstacle, never)

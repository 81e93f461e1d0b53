# SPDX-License-Identifier: MIT OR Apache-2.0
"""NVMe passthrough: commands through /dev/ngXnY, past the kernel's block layer."""

from __future__ import annotations

import os
import re
from typing import Callable

from .targets import Target
from .transport import Transport, blkio_path, filename, naming

_NAMESPACE = re.compile(r"/dev/nvme(\d+n\d+)")


def generic_node(path: str) -> str:
    """/dev/ng0n1 for /dev/nvme0n1; "" unless the path is a whole namespace."""
    match = _NAMESPACE.fullmatch(path)
    return f"/dev/ng{match[1]}" if match else ""


def _obstacle(target: Target) -> str:
    node = generic_node(target.path)
    if not node:
        return "passthrough reaches whole NVMe namespaces only, such as /dev/nvme0n1"
    if not target.direct:
        return "passthrough bypasses the page cache"
    if not os.path.exists(node):
        return f"there is no {node}: Linux 5.13 or later makes it, with CONFIG_BLK_DEV_NVME"
    if not os.access(node, os.R_OK | os.W_OK):
        return f"{node} cannot be opened: run as root"
    return ""


def _usual(target: Target) -> bool:
    return bool(generic_node(target.path)) and target.direct


def _transport(options: Callable[[str], list[str]]) -> Transport:
    return naming(lambda target: options(generic_node(target.path)), _obstacle, _usual)


# fio would open the node with O_DIRECT, which is refused where there is no page cache to go past.
FILENAME = _transport(lambda node: [*filename(node), "--direct=0"])
BLKIO_PATH = _transport(blkio_path)

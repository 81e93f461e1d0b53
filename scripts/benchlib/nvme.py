# SPDX-License-Identifier: MIT OR Apache-2.0
"""The way past the kernel's block layer: NVMe commands through /dev/ngXnY, the twin of /dev/nvmeXnY."""

from __future__ import annotations

import os
import re
from typing import Callable

from .reach import Way, blkio_path, filename, naming
from .targets import Target

_NAMESPACE = re.compile(r"/dev/nvme(\d+n\d+)")


def generic_node(path: str) -> str:
    """/dev/ng0n1 for /dev/nvme0n1; "" for what is no whole namespace."""
    match = _NAMESPACE.fullmatch(path)
    return f"/dev/ng{match[1]}" if match else ""


def _obstacle(target: Target) -> str:
    node = generic_node(target.path)
    if not node:
        return "passthrough reaches whole NVMe namespaces only, such as /dev/nvme0n1"
    if not target.direct:
        return "passthrough knows no page cache"
    if not os.path.exists(node):
        return f"there is no {node}: Linux 5.13 or later makes it, with CONFIG_BLK_DEV_NVME"
    if not os.access(node, os.R_OK | os.W_OK):
        return f"{node} may not be opened: run as root"
    return ""


def _usual(target: Target) -> bool:
    return bool(generic_node(target.path)) and target.direct


def _way(options: Callable[[str], list[str]]) -> Way:
    return naming(lambda target: options(generic_node(target.path)), _obstacle, _usual)


# fio would open the node with O_DIRECT, which is refused where there is no page cache to go past.
FILENAME = _way(lambda node: [*filename(node), "--direct=0"])
BLKIO_PATH = _way(blkio_path)

# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the kernel says about the block device under a file or device node."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

SYS = Path("/sys")

# Queue settings that change latency, kept with every result.
QUEUE_SETTINGS = ("scheduler", "io_poll", "nomerges", "iostats", "rotational", "wbt_lat_usec",
                  "logical_block_size", "physical_block_size", "write_cache", "nr_requests",
                  "rq_affinity")


def read_text(path: Path) -> str:
    """A sysfs or proc file's text; "" when it is not there or not readable."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


@dataclass(frozen=True)
class BlockDevice:
    name: str  # of the whole disk: "vda", "nvme0n1"
    node: Path  # /sys directory of the device or partition itself
    disk: Path  # /sys directory of the whole disk

    def setting(self, name: str) -> str:
        return read_text(self.disk / "queue" / name)

    def settings(self) -> dict[str, str]:
        values = {name: self.setting(name) for name in QUEUE_SETTINGS}
        return {name: value for name, value in values.items() if value}

    def logical_block_size(self) -> int:
        return int(self.setting("logical_block_size") or 512)

    def polls(self) -> bool:
        return self.setting("io_poll") == "1"

    def describe(self) -> str:
        model = read_text(self.disk / "device" / "model")
        driver = self.disk / "device" / "driver"
        kind = driver.resolve().name if driver.exists() else ""
        return " ".join(word for word in (self.name, f"({kind})" if kind else "", model) if word)

    def holders(self) -> list[str]:
        """Devices (LVM, RAID, ...) built on this one or on its partitions."""
        found = {holder.name for holder in self.node.glob("holders/*")}
        found |= {holder.name for holder in self.node.glob("*/holders/*")}
        return sorted(found)

    def partitions(self) -> list[str]:
        """Their nodes in /dev."""
        return [f"/dev/{file.parent.name}" for file in self.node.glob("*/partition")]

    def numbers(self) -> set[str]:
        """major:minor of the device and of its partitions."""
        files = [self.node / "dev", *self.node.glob("*/dev")]
        return {text for text in map(read_text, files) if text}


def block_device(path: str) -> BlockDevice | None:
    """The block device that `path` is or lies on; None for tmpfs, network filesystems and such."""
    status = os.stat(path)
    number = status.st_rdev if stat.S_ISBLK(status.st_mode) else status.st_dev
    node = SYS / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}"
    if not node.exists():
        return None
    node = node.resolve()
    disk = node.parent if (node / "partition").exists() else node
    return BlockDevice(disk.name, node, disk)


@dataclass(frozen=True)
class Mount:
    number: str  # major:minor
    point: str
    fstype: str
    writable: bool


def mounts() -> list[Mount]:
    """All mounts of this namespace, in the order they were made."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        point = fields[4].encode().decode("unicode_escape")  # spaces are written \040
        found.append(Mount(fields[2], point, right.split()[0], "rw" in fields[5].split(",")))
    return found


def mount_of(path: str) -> Mount | None:
    """The mount that `path` lies on: the longest mount point above it, the last one made."""
    full = os.path.realpath(path)
    above = [mount for mount in mounts()
             if full == mount.point or full.startswith(mount.point.rstrip("/") + "/")]
    above.sort(key=lambda mount: len(mount.point))  # stable: of equals, the last made stays last
    return above[-1] if above else None

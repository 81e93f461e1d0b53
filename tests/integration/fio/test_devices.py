#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Devices that few machines have; runs in the test VM (tests/vm), profiles nullblk and nvme: zones,
poll queues, large blocks, FUA as the block layer sees it."""

from __future__ import annotations

import re
import subprocess
import unittest
from pathlib import Path
from typing import Any

import support
from support import MIB

CACHED, LARGE_BLOCKS, ZONED, SLOW = "/dev/nullb1", "/dev/nullb2", "/dev/nullb3", "/dev/nullb4"
NVME, NVME_GENERIC = "/dev/nvme0n1", "/dev/ng0n1"
NVME_ZONED, NVME_ZONED_GENERIC = "/dev/nvme0n3", "/dev/ng0n3"
SLOW_NS = 50_000_000  # what a request takes there, unless it is polled for
ZONE_SIZE = 4 * MIB
TRACING = Path("/sys/kernel/tracing")


class DeviceTest(support.FioTest):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        for device in (CACHED, LARGE_BLOCKS, ZONED, SLOW, NVME_ZONED):
            if not Path(device).is_block_device():
                raise unittest.SkipTest(f"no {device}: runs in tests/vm/run --profile nullblk,nvme")

    def device(self, path: str, **options: Any) -> support.Run:
        return support.run_job(**{"libblkio_driver": "io_uring", "filename": path, "direct": 1,
                                  "bs": "4k", **options})


def write_pointer(device: str, zone: int) -> int:
    """Sectors written in a zone."""
    report = subprocess.run(["/usr/sbin/blkzone", "report", "-o", str(zone * ZONE_SIZE // 512),
                             "-c", "1", device], text=True, capture_output=True, check=True)
    found = re.search(r"wptr (0x[0-9a-f]+)", report.stdout)
    assert found, report.stdout
    return int(found[1], 16)


class Zones(DeviceTest):
    """Of a block device: the kernel knows them."""

    def reset(self) -> None:
        subprocess.run(["/usr/sbin/blkzone", "reset", ZONED], check=True)

    def test_write_and_verify(self) -> None:
        for options in ({}, {"thread": True, "numjobs": 2, "offset_increment": "16m"},
                        {"filename": False, "libblkio_path": ZONED}):
            with self.subTest(options):
                self.reset()
                self.assert_succeeds(self.device(
                    ZONED, **{"rw": "randwrite", "zonemode": "zbd", "size": "16m", "iodepth": 8,
                              "verify": "crc32c", **options}))
                self.assertGreater(write_pointer(ZONED, 0), 0)

    def test_full_zones_are_reset(self) -> None:
        self.reset()
        result = self.device(ZONED, rw="randwrite", zonemode="zbd", size="16m", io_size="64m",
                             bs="64k", iodepth=4)
        self.assert_succeeds(result)
        self.assertEqual(result.job["write"]["io_bytes"], 64 * MIB)

    def test_trim_resets_a_zone(self) -> None:
        self.reset()
        self.assert_succeeds(self.device(ZONED, rw="write", zonemode="zbd", size="8m", bs="64k"))
        self.assertGreater(write_pointer(ZONED, 1), 0)
        result = self.device(ZONED, rw="trim", zonemode="zbd", size="8m", bs="4m")
        self.assert_succeeds(result)
        self.assertEqual(result.job["trim"]["total_ios"], 2)
        self.assertEqual([write_pointer(ZONED, 0), write_pointer(ZONED, 1)], [0, 0])


class ZonesOfTheDriver(DeviceTest):
    """The driver knows them."""

    def zoned(self, **options: Any) -> support.Run:
        support.need_driver("nvme-io_uring")
        return self.device(NVME_ZONED_GENERIC, libblkio_driver="nvme-io_uring", zonemode="zbd",
                           **options)

    def test_write_verify_and_trim(self) -> None:
        for thread in (False, True):
            with self.subTest(thread=thread):
                self.assert_succeeds(self.zoned(rw="randwrite", size="8m", io_size="16m",
                                                thread=thread, verify="crc32c"))
                self.assertGreater(write_pointer(NVME_ZONED, 1), 0)
                result = self.zoned(rw="trim", size="8m", bs="4m", thread=thread)
                self.assert_succeeds(result)
                self.assertEqual(result.job["trim"]["total_ios"], 2)
                self.assertEqual(write_pointer(NVME_ZONED, 1), 0)


class Polling(DeviceTest):
    def test_device_is_polled(self) -> None:
        """Not polled, each request takes 50 ms."""
        for options in ({}, {"libblkio_wait_mode": "loop"}, {"iodepth": 4},
                        {"thread": True, "numjobs": 2}):
            with self.subTest(options):
                result = self.device(SLOW, rw="randread", hipri=True, number_ios=20, **options)
                self.assert_succeeds(result)
                for job in result.jobs:
                    self.assertEqual(job["read"]["total_ios"], 20)
                    self.assertLess(job["read"]["lat_ns"]["min"], SLOW_NS / 2)

    def test_not_polled_by_default(self) -> None:
        result = self.device(SLOW, rw="randread", number_ios=3)
        self.assert_succeeds(result)
        self.assertGreaterEqual(result.job["read"]["lat_ns"]["min"], SLOW_NS * 0.9)


class Blocks(DeviceTest):
    def test_block_size_of_the_device(self) -> None:
        self.assert_fails(self.device(LARGE_BLOCKS, rw="randread", bs=512, number_ios=1),
                          "bs=512", "request-alignment", "4096")

    def test_mounted_device_is_left_alone(self) -> None:
        self.mount(CACHED)
        for name in ("filename", "libblkio_path"):
            with self.subTest(name):
                result = self.device(CACHED, **{"filename": False, name: CACHED},
                                     rw="randwrite", number_ios=1)
                self.assertIn("mounted", result.output)
                self.assertEqual(sum(job["write"]["total_ios"] for job in result.jobs), 0)
                if name == "libblkio_path":  # fio's own refusal leaves the exit status 0
                    self.assertNotEqual(result.status, 0)


class Mounted(DeviceTest):
    """What is mounted lies on the device, though it has another name."""

    def test_a_partition(self) -> None:
        """An MBR with one partition, from the first MiB on."""
        start, sectors = (number.to_bytes(4, "little") for number in (2048, 32768))
        with open(CACHED, "r+b", buffering=0) as disk:
            disk.write(bytes(446 + 4) + b"\x83" + bytes(3) + start + sectors + bytes(48) + b"\x55\xaa")
        subprocess.run(["/usr/sbin/blockdev", "--rereadpt", CACHED], check=True)
        part = next((path for path in (f"{CACHED}p1", f"{CACHED}1") if Path(path).exists()), None)
        self.assertIsNotNone(part, "no partition has appeared")
        self.mount(str(part))
        self.refused_as_mounted(libblkio_path=CACHED)
        self.refused_as_mounted(libblkio_path=part)

    def test_a_volume(self) -> None:
        support.command("modprobe", "dm_mod")
        sectors = Path("/sys/class/block", Path(CACHED).name, "size").read_text().strip()
        support.command("dmsetup", "create", "volume", "--table", f"0 {sectors} linear {CACHED} 0")
        self.addCleanup(subprocess.run, ["dmsetup", "remove", "volume"], check=True)
        support.command("dmsetup", "mknodes", "volume")
        self.mount("/dev/mapper/volume")
        self.refused_as_mounted(libblkio_path=CACHED)

    def test_a_namespace_by_its_generic_node(self) -> None:
        self.mount(NVME)
        self.refused_as_mounted(libblkio_driver="nvme-io_uring", libblkio_path=NVME_GENERIC)
        self.refused_as_mounted(libblkio_driver="nvme-io_uring",
                                libblkio_pre_connect_props=f"path={NVME_GENERIC}")


class ForcedUnitAccess(DeviceTest):
    def requests(self, **options: Any) -> list[str]:
        """Kinds of the requests that the block layer sends to the device: W write, F flush before
        the W or FUA after it."""
        if not (TRACING / "trace").exists():
            subprocess.run(["mount", "-t", "tracefs", "none", str(TRACING)], check=False)
        event = TRACING / "events/block/block_rq_issue/enable"
        if not event.exists():
            self.skipTest("this kernel has no block_rq_issue event")
        (TRACING / "trace").write_text("")
        event.write_text("1")
        try:
            self.assert_succeeds(self.device(CACHED, rw="randwrite", number_ios=20, size="4m",
                                             **options))
        finally:
            event.write_text("0")
        return re.findall(r"block_rq_issue: \d+,\d+ (\w+) ", (TRACING / "trace").read_text())

    def test_synchronous_writes(self) -> None:
        for sync in ("sync", "dsync"):
            with self.subTest(sync=sync):
                kinds = self.requests(sync=sync)
                self.assertGreaterEqual(sum(re.match("F?WF", kind) is not None for kind in kinds),
                                        20, kinds)

    def test_plain_writes(self) -> None:
        kinds = self.requests()
        self.assertEqual([kind for kind in kinds if "F" in kind], [], kinds)


if __name__ == "__main__":
    support.main()

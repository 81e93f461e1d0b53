#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What fio does to the disk or file under a job besides its I/O: scheduler, statistics, hints, trims
of a log. With no more than the engine changed, on a loop device."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path
from typing import Any

import support
from support import MIB

OURS = f"external:{support.LIBRARY}"
ENGINES = (OURS, "io_uring")
F_GET_RW_HINT = 1035
SHORT = 2  # RWH_WRITE_LIFE_SHORT
DIRECTIONS = ("read", "write", "trim")


def untimed(log: str) -> list[list[str]]:
    """The lines of a log without the times that newer fio puts before them."""
    lines = [line.split() for line in log.splitlines()]
    return [words[1:] if words[0].isdigit() else words for words in lines]


class Disks(support.FioTest):
    def job(self, engine: str = OURS, **options: Any) -> support.Run:
        return support.run_job(**{"ioengine": engine, "rw": "randread", "bs": "4k", **options})

    def outcome(self, engine: str, **options: Any) -> tuple[int, list[list[int]]]:
        result = self.job(engine, **options)
        return result.status, [[job["error"], *(job[direction]["total_ios"]
                                                for direction in DIRECTIONS)]
                               for job in result.results.get("jobs", [])]

    def test_scheduler(self) -> None:
        device = self.loop_device()
        setting = Path("/sys/block", Path(device).name, "queue", "scheduler")
        others = [name for name in setting.read_text().split() if not name.startswith("[")]
        if not others:
            self.skipTest(f"{device} has one scheduler: {setting.read_text().strip()}")
        self.assert_succeeds(self.job(filename=device, ioscheduler=others[0]))
        self.assertIn(f"[{others[0]}]", setting.read_text())
        self.assert_fails(self.job(filename=device, ioscheduler="no-such"), "no-such")

    def test_statistics_of_the_disk(self) -> None:
        device = self.loop_device()
        for name in (device, str(self.file)):
            shown = [[disk["name"] for disk in self.job(engine, filename=name).results.get(
                "disk_util", [])] for engine in ENGINES]
            self.assertEqual(shown[0], shown[1], name)
        run = self.job(filename=device)
        self.assertEqual([disk["name"] for disk in run.results["disk_util"]], [Path(device).name])

    def test_write_hint(self) -> None:
        for direct in (0, 1):
            with self.subTest(direct=direct):
                job = {"filename": str(self.file), "rw": "write", "size": MIB, "direct": direct,
                       "write_hint": "short"}
                self.file.unlink()
                status = self.job(**job).status
                if status:  # fio 3.33 wants one of the open file, which Linux has no more
                    self.assertEqual(status, self.job("io_uring", **job).status)
                    continue
                with open(self.file, "rb") as file:
                    hint = fcntl.fcntl(file, F_GET_RW_HINT, struct.pack("Q", 0))
                self.assertEqual(struct.unpack("Q", hint), (SHORT,))

    def test_trims_of_a_log(self) -> None:
        """The same with each engine, and replayed as by psync: the io_uring of fio 3.41 never ends."""
        device = self.loop_device()
        for rw in ("randtrim", "trimwrite"):
            logs = [self.scratch / f"{rw}-{number}" for number in range(2)]
            written = [self.outcome(writer, filename=device, size="256k", rw=rw,
                                    write_iolog=str(log)) for writer, log in zip(ENGINES, logs)]
            self.assertEqual(written[0][0], 0)
            self.assertEqual(written[0], written[1])
            self.assertEqual(*(untimed(log.read_text()) for log in logs))
            for options in ({}, {"iodepth": 8, "replay_redirect": device}):
                with self.subTest(rw=rw, **options):
                    replayed = [self.outcome(player, read_iolog=str(logs[0]), **options)
                                for player in (OURS, "psync")]
                    self.assertEqual(replayed[0], replayed[1])

    def test_a_replayed_trim_discards(self) -> None:
        log = self.scratch / "log"
        lines = ["add", "open", "write 0 8192", "trim 4096 4096", "close"]
        log.write_text("\n".join(["fio version 2 iolog"] + [f"{self.file} {line}"
                                                              for line in lines]) + "\n")
        before = self.file.read_bytes()
        result = self.job(read_iolog=str(log))
        self.assert_succeeds(result)
        if "bad ddir" in result.output:
            self.skipTest("this fio replays no trims")
        after = self.file.read_bytes()
        self.assertNotEqual(after[:4096], before[:4096])
        self.assertEqual(after[8192:], before[8192:])
        self.assertEqual(after[4096:8192], bytes(4096))

    def test_polling_needs_a_device_that_can(self) -> None:
        """With io_uring, the writes of such a job may work, without being polled for."""
        if os.environ.get("FIO_PRELOAD"):
            self.skipTest("fio's own engine is not tested here")
        self.assert_fails(self.job("io_uring", filename=str(self.file), direct=1, hipri=True))
        for rw in ("randread", "randwrite", "randtrim"):
            self.assert_fails(self.job(filename=str(self.file), direct=1, hipri=True, rw=rw),
                              "does not support poll queues")


if __name__ == "__main__":
    support.main()

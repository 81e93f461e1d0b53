#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Keeping the machine steady, and noticing when it is not; what is recorded about it."""

from __future__ import annotations

import argparse
import io
import os
import socket
import subprocess
import sys
import time
import unittest
from contextlib import redirect_stderr
from pathlib import Path

from support import ROOT, main
from benchlib import options
from benchlib.machine import environment, quiet
from benchlib.progress import Progress, clock

BURN = "import time\nend = time.time() + {seconds}\nwhile time.time() < end: pass"


class Load(unittest.TestCase):
    SECONDS = 1.0
    EXPECTED = SECONDS / (SECONDS + 0.2) / (os.cpu_count() or 1)

    def share_of_a_stranger(self) -> float:
        # A grandchild whose parent goes at once is not a child of ours, so one of the others.
        meter = quiet.LoadMeter()
        subprocess.run(["sh", "-c", f'{sys.executable} -c "$0" &',
                        BURN.format(seconds=self.SECONDS)], check=True)
        time.sleep(self.SECONDS + 0.2)
        return meter.share()

    def share_of_a_child(self) -> float:
        meter = quiet.LoadMeter()
        subprocess.run([sys.executable, "-c", BURN.format(seconds=self.SECONDS)], check=True)
        return meter.share()

    def test_others_are_noticed_and_we_are_not(self) -> None:
        self.assertGreater(self.share_of_a_stranger(), self.EXPECTED / 2)
        # other load may come and go while we look: one quiet look is proof
        shares: list[float] = []
        while len(shares) < 10 and (not shares or shares[-1] >= self.EXPECTED / 2):
            shares.append(self.share_of_a_child())
        if min(shares) >= self.EXPECTED / 2 and os.getloadavg()[0] > (os.cpu_count() or 1):
            self.skipTest(f"too much other load on this machine to tell: {shares}")
        self.assertLess(shares[-1], self.EXPECTED / 2)

    def test_a_session_is_left_out_with_children_that_ended(self) -> None:
        """As fio's jobs have when their server answers."""
        burn = "import time\nwhile time.process_time() < 0.5: pass"
        leader = subprocess.Popen(["sh", "-c", f'{sys.executable} -c "$0"; echo done; read x', burn],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  start_new_session=True)
        with leader:
            assert leader.stdout
            leader.stdout.readline()
            others = quiet._seconds_left_out()
            self.assertGreater(quiet._seconds_left_out(leader.pid) - others, 0.45)
            leader.communicate(b"\n")

    def test_share_is_a_share(self) -> None:
        meter = quiet.LoadMeter()
        self.assertTrue(0 <= meter.share() <= 1)


class Affinity(unittest.TestCase):
    def test_we_leave_the_cpu_and_come_back(self) -> None:
        before, cpu = quiet.allowed_cpus(), quiet.choose_cpus()[0]
        self.assertIn(cpu, before)
        with self.assertRaises(RuntimeError), quiet.stay_off([cpu]):
            self.assertEqual(quiet.allowed_cpus(), before - {cpu} or before)
            raise RuntimeError
        self.assertEqual(quiet.allowed_cpus(), before)


class Latency(unittest.TestCase):
    def test_the_request_holds_as_long_as_entered(self) -> None:
        def held() -> bool:
            links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
            return any(os.path.realpath(link) == str(quiet.LATENCY_REQUEST) for link in links)

        with quiet.no_deep_sleep() as permitted:
            self.assertEqual(held(), permitted)
        self.assertFalse(held())

    def test_not_permitted_is_no_error(self) -> None:
        before, quiet.LATENCY_REQUEST = quiet.LATENCY_REQUEST, Path(__file__, "request")
        self.addCleanup(setattr, quiet, "LATENCY_REQUEST", before)
        with quiet.no_deep_sleep() as permitted:
            self.assertFalse(permitted)


class Record(unittest.TestCase):
    def test_what_and_not_who(self) -> None:
        record = environment.record(ROOT, ROOT / "build-that-is-not-there", 0, False)
        text = "\n".join(f"{a} {b}" for a, b in environment.describe(record))
        self.assertIn(os.uname().release, text)
        self.assertEqual(record.libblkio_build, "unknown build")
        self.assertIn("CPU latency not held", text)
        for private in (socket.gethostname(), str(ROOT), str(Path.home())):
            if len(private) > 3:  # a host called "vm" is a word of its own
                self.assertNotIn(private, text)

    def test_cpu_lists(self) -> None:
        for text, numbers in (("0-2,5", [0, 1, 2, 5]), ("3", [3]), ("", [])):
            self.assertEqual(environment.cpu_list(text), numbers)


class Words(unittest.TestCase):
    def test_sizes_times_and_lists(self) -> None:
        for text, value in (("512", 512), ("4k", 4096), ("1MiB", 1 << 20), ("2g", 2 << 30)):
            self.assertEqual(options.size(text), value)
        for text, value in (("0.5", 500), ("2", 2000), ("700ms", 700), (".1s", 100)):
            self.assertEqual(options.milliseconds(text), value)
        self.assertEqual(options.counts("1,32,1"), [1, 32])
        self.assertEqual(options.names("block, loop"), ["block", "loop"])
        self.assertEqual(options.share("7.5%"), 0.075)

    def test_nonsense(self) -> None:
        for parse, texts in ((options.size, ("", "0", "4x", "-1")), (options.counts, ("", "1,,2")),
                             (options.milliseconds, ("0", "x", "-1", "1m")),
                             (options.names, (",",)), (options.share, ("x", "-1", "101")),
                             (options.count, ("0", "1.5"))):
            for text in texts:
                with self.subTest(parse=parse.__name__, text=text):
                    with self.assertRaises(argparse.ArgumentTypeError):
                        parse(text)

    def test_progress_off_a_terminal_is_a_few_lines(self) -> None:
        with redirect_stderr(io.StringIO()) as lines:
            progress = Progress(1000)
            progress.start()
            for i in range(1000):
                progress.step(f"step {i}")
        self.assertEqual(len(lines.getvalue().splitlines()), 10)
        self.assertIn("100%", lines.getvalue())

    def test_clock(self) -> None:
        self.assertEqual([clock(seconds) for seconds in (31, 60, 247, 3599.6, 160000)],
                         ["31 s", "1:00 min", "4:07 min", "1:00 h", "44:26 h"])


if __name__ == "__main__":
    main()

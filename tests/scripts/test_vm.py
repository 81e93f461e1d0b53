#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What scripts/bench does in the test VM, for real and as short as can be: a virtio-blk device goes
from the kernel to VFIO and back within a guest, and the comparison of both comes out; and the gate
finds a slowdown by a clock that counts instructions."""

from __future__ import annotations

import subprocess
import tempfile
import unittest
from pathlib import Path

from support import BENCH, build_folder, main
from benchlib.errors import Exit
from benchlib.gate import store
from benchlib.gate.slow import slow_library
from benchlib.result import storage

DELAY_NS = 160  # as many instructions, of about 3200


class Vm(unittest.TestCase):
    def test_kernel_and_vfio_on_one_device(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [BENCH, "--vm", "vfio", "--modes", "vfio-block", "--rounds", "2", "--runtime", "0.1",
                 "--quick", "--seed", "3", "--no-build", "--build-dir", build_folder(),
                 "--output", folder], capture_output=True, text=True, timeout=500)
            if done.returncode == 2:
                self.skipTest(done.stderr.strip())
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            result = storage.read(Path(folder, "vfio"))
            self.assertTrue((Path(folder, "vfio", "chart.svg")).exists())
        self.assertTrue(result.complete)
        self.assertEqual([target.name for target in result.targets], ["vda"])
        self.assertEqual([(s.round, s.engine) for s in result.samples if s.position == 0],
                         [(0, result.samples[0].engine), (1, result.samples[1].engine)])
        self.assertEqual({sample.engine for sample in result.samples}, {"native", "vfio-block"})
        emulated = "TCG" in result.environment.cpu
        self.assertEqual(any("emulated" in note for note in result.environment.notes), emulated)

    def test_the_gate_counts_a_slowdown(self) -> None:
        slow = slow_library(build_folder(), DELAY_NS)
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [BENCH, "gate", "--count", "--no-build", "--baseline", build_folder(),
                 "--candidate", slow, "--depth", "1", "--rounds", "6", "--runtime", "0.02",
                 "--output", folder], capture_output=True, text=True, timeout=500)
            if done.returncode == 2:
                self.skipTest(done.stderr.strip())
            self.assertEqual(done.returncode, Exit.REGRESS, done.stdout + done.stderr)
            shift = store.read(Path(folder)).findings[0].shift
        self.assertTrue(1.04 < shift.median < 1.07 and shift.high - shift.low < 0.01, shift)


if __name__ == "__main__":
    main()

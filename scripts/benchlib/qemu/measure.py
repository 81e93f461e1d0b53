# SPDX-License-Identifier: MIT OR Apache-2.0
"""qemu-img bench, both ways in turns, with the library of a build folder."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ..errors import BenchError, refuse
from ..machine.quiet import LoadMeter
from ..measure.schedule import Block, blocks
from ..measure.targets import Target
from ..prepare import LIBRARY, ROOT
from ..progress import Progress

DIFF = ROOT / "tests" / "diff"
STRIDE = 7919  # blocks from one read to the next: a prime, so that all are read, far apart
CALIBRATION_IOS = 2000
SECONDS = 120  # more than a run ever takes: then it hangs
SIDES = {"native": "QEMU's own io_uring code", "libblkio": "QEMU's libblkio driver, io_uring"}
_COMPLETED = re.compile(r"Run completed in ([\d.]+) seconds")


@dataclass(frozen=True)
class Run:
    """One qemu-img process."""

    depth: int
    side: str
    round: int
    position: int
    ios: int
    seconds: float
    calm: bool

    @property
    def per_io(self) -> float:
        """Nanoseconds from one completion to the next."""
        return self.seconds / self.ios * 1e9


def make_root() -> None:
    """Have QEMU of trixie; refused where it cannot be had."""
    done = subprocess.run([DIFF / "make-root"], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise refuse("there is no QEMU with libblkio: " + (done.stdout.splitlines() or ["?"])[-1],
                     "tests/diff/make-root fetches it.")


def version() -> str:
    done = subprocess.run([DIFF / "run-in-root", "qemu-img", "--version"], text=True,
                          stdin=subprocess.DEVNULL, capture_output=True)
    return (done.stdout.splitlines() or ["unknown"])[0]


def image(target: Target, side: str) -> str:
    """The target, as QEMU's --image-opts take it."""
    path = target.path.replace(",", ",,")
    direct = f"cache.direct={'on' if target.direct else 'off'}"
    if side == "libblkio":
        return f"driver=io_uring,filename={path},{direct}"
    driver = "host_device" if target.kind == "block-device" else "file"
    return f"driver={driver},filename={path},{direct},aio=io_uring"


class QemuImg:
    """What stays the same from run to run."""

    def __init__(self, target: Target, build: Path, block_size: int, cpu: int,
                 max_load: float) -> None:
        self._target, self._block_size, self._cpu = target, block_size, cpu
        self._max_load = max_load
        self._environment = {**os.environ, "LIBBLKIO_DIR": str((build / LIBRARY).absolute().parent)}

    def rounds(self, depths: list[int], rounds: int, runtime: float, seed: int,
               progress: Progress) -> list[Run]:
        counts = {depth: self._calibrate(depth, runtime) for depth in depths}
        progress.start()
        return [run for block in blocks(dict.fromkeys(depths, list(SIDES)), rounds, seed)
                for run in self._block(block, counts[block.case], progress)]

    def _calibrate(self, depth: int, runtime: float) -> int:
        """I/Os that take about the run time, the slower way."""
        slowest = max(self.seconds(depth, side, CALIBRATION_IOS) for side in SIDES)
        return max(CALIBRATION_IOS, int(CALIBRATION_IOS * runtime / max(slowest, 0.001)))

    def _block(self, block: Block[int], ios: int, progress: Progress) -> list[Run]:
        self._target.warm_up()
        meter, times, depth = LoadMeter(), [], block.case
        for side in block.order:
            times.append(self.seconds(depth, side, ios))
            progress.step(f"depth {depth}  {SIDES[side]}: {times[-1] / ios * 1e6:.2f} µs per read")
        calm = meter.share() <= self._max_load
        return [Run(depth, side, block.round, place, ios, seconds, calm)
                for place, (side, seconds) in enumerate(zip(block.order, times))]

    def command(self, depth: int, side: str, ios: int) -> list[str]:
        return ["taskset", "-c", str(self._cpu), str(DIFF / "run-in-root"), "qemu-img", "bench",
                "-c", str(ios), "-d", str(depth), "-s", str(self._block_size),
                "-S", str(STRIDE * self._block_size), "--image-opts", image(self._target, side)]

    def seconds(self, depth: int, side: str, ios: int) -> float:
        """Run once; QEMU's own word on how long it took."""
        try:
            done = subprocess.run(self.command(depth, side, ios), env=self._environment, text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise BenchError(f"qemu-img bench did not end within {SECONDS} s") from None
        match = _COMPLETED.search(done.stdout)
        if done.returncode or not match:
            words = " ".join(done.stdout.split())[-400:]
            raise BenchError(f"qemu-img failed, {SIDES[side]}: {words or done.returncode}")
        return float(match[1])

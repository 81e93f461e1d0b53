# SPDX-License-Identifier: MIT OR Apache-2.0
"""chart.svg: the mean latency of every mode, one panel per case, as the report draws it."""

from __future__ import annotations

from ..errors import BenchError
from ..page.sheet import sheet
from ..page.svg import Svg
from ..result.contents import disturbed_share, labels, reference_name
from ..result.model import Result
from ..stats.bootstrap import CONFIDENCE
from . import figures, table
from .view import View

FILE = "chart.svg"
WIDTH = 1000.0


def draw(result: Result) -> Svg:
    view = View(result)
    panels = [figures.mean_panel(view, case) for case in view.cases]
    if not panels:
        raise BenchError("the result holds no figures to draw")
    settings, machine = result.settings, result.environment
    reference = reference_name(result)
    other = labels(result).get(reference, reference) if reference else "its reference"
    partial = "" if result.complete else "PARTIAL RESULT. "
    rounds = f"{settings.rounds} interleaved rounds" if result.complete else "interleaved rounds"
    caution = " Other programs disturbed the run." if disturbed_share(result) else ""
    foot = [f"Median of {rounds} of {settings.runtime_ms} ms; whiskers: {CONFIDENCE * 100:.0f} % "
            f"bootstrap interval; bold: proven faster; a torn bar goes on.{caution}",
            f"libblkio {machine.libblkio}, {machine.fio}, {machine.kernel}, {machine.cpu}"]
    return sheet(WIDTH, f"{partial}Latency compared with {other}: shorter bars are better",
                 f"{table.workload(result).capitalize()}; mean time from submission to "
                 "completion", panels, foot)

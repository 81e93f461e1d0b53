# SPDX-License-Identifier: MIT OR Apache-2.0
"""What is in a comparison's result: its cases and rows in order, names, who was compared with whom.
"""

from __future__ import annotations

from .model import Case, Result, Summary

NATIVE = "native"  # fio's io_uring engine; the names of fio's other own engines begin with it


def is_native(name: str) -> bool:
    """One of fio's own engines?"""
    return name.startswith(NATIVE)


def cases(result: Result) -> list[Case]:
    """The cases measured, in the order asked for."""
    settings = result.settings
    axes: list[list[object]] = [[target.name for target in result.targets],
                                [*settings.workloads], [*settings.block_sizes],
                                [*settings.depths], [*settings.numjobs]]

    def place(case: Case) -> list[int]:
        values = (case.target, case.rw, case.block_size, case.depth, case.numjobs)
        return [axis.index(value) if value in axis else len(axis)  # a file may hold anything
                for axis, value in zip(axes, values)]

    return sorted({summary.case for summary in result.summaries}, key=place)


def of_case(result: Result, case: Case) -> list[Summary]:
    """A case's summaries in the engines' order."""
    order = [engine.name for engine in result.engines]
    found = [summary for summary in result.summaries if summary.case == case]
    return sorted(found, key=lambda summary: order.index(summary.engine))


def labels(result: Result) -> dict[str, str]:
    return {engine.name: engine.label for engine in result.engines}


def against(result: Result) -> dict[str, str]:
    """Whom each engine is compared with, "" for nobody."""
    return {engine.name: engine.against for engine in result.engines}


def reference_name(result: Result) -> str:
    """The one engine that all are compared with; "" when there are several."""
    names = {engine.against for engine in result.engines if engine.against}
    return names.pop() if len(names) == 1 else ""


def disturbed_share(result: Result) -> float:
    """Of the rounds behind a figure, how many were disturbed; of the worst figure."""
    return max((row.disturbed / row.rounds for row in result.summaries), default=0.0)

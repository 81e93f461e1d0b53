# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the runs say: table, verdict, chart."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ..page.bars import Span, spans
from ..page.colours import series_role
from ..result.model import Interval
from ..result.words import duration
from ..stats import bootstrap, pairing, summaries
from .programs import OWN, PROGRAMS
from .measure import Copy
from .pairs import PAIRS

CHART_WIDTH = 760
Case = tuple[str, str]  # pair and content


def cases(runs: Sequence[Copy]) -> list[Case]:
    return list(dict.fromkeys((run.pair, run.content) for run in runs))


def label(case: Case) -> str:
    return f"{PAIRS[case[0]].label}, {case[1]}"


def usable(runs: Sequence[Copy], case: Case) -> list[Copy]:
    """Those of calm rounds, when there are enough of them, else all."""
    own = [run for run in runs if (run.pair, run.content) == case]
    calm = [run for run in own if run.calm]
    enough = len({run.round for run in calm}) >= pairing.ENOUGH_ROUNDS
    return calm if enough else own


def programs(runs: Sequence[Copy]) -> list[str]:
    """In the order of the table."""
    there = {run.program for run in runs}
    return [name for name in PROGRAMS if name in there]


def ratio(runs: Sequence[Copy], name: str, base: str, seed: int) -> Interval:
    """A program's wall time relative to another's in the same round."""
    times = {run.round: run.seconds for run in runs if run.program == base}
    return bootstrap.median_interval([run.seconds / times[run.round] for run in runs
                                      if run.program == name], seed)


def wall(runs: Sequence[Copy], name: str, seed: int) -> Interval:
    return bootstrap.median_interval([run.seconds * 1e9 for run in runs if run.program == name],
                                     seed)


def fastest_other(runs: Sequence[Copy]) -> str:
    return min((name for name in programs(runs) if name != OWN),
               key=lambda name: wall(runs, name, 1).median)


def _median(runs: Sequence[Copy], name: str, figure: str) -> float:
    return float(np.median([getattr(run, figure) for run in runs if run.program == name]))


# ---- Text ------------------------------------------------------------------------------------


def text(runs: Sequence[Copy], seed: int, head: Sequence[str]) -> str:
    lines = [*head, "Wall time until the copy is on stable storage, median with its 95% interval; "
             "ratio: to blkio-copy's in the same round.", ""]
    verdict = ["Verdict"]
    for case in cases(runs):
        own = usable(runs, case)
        lines += [label(case), *(_row(own, name, seed) for name in programs(own)), ""]
        verdict.append(_verdict(case, own, seed))
    if any(not run.calm for case in cases(runs) for run in usable(runs, case)):
        verdict.append("  Caution: other programs disturbed the runs; repeat on a quiet machine.")
    return "\n".join([*lines, *verdict, ""])


def _row(own: Sequence[Copy], name: str, seed: int) -> str:
    time, against = wall(own, name, seed), ratio(own, name, OWN, seed)
    spread = f"[{duration(time.low)}, {duration(time.high)}]"
    compared = "" if name == OWN else \
        f"{against.median:.3f} [{against.low:.3f}, {against.high:.3f}]"
    return (f"  {name:<18} {duration(time.median):>8} {spread:<20} {compared:<21} "
            f"CPU {duration(_median(own, name, 'cpu_seconds') * 1e9):>8}  "
            f"memory {_median(own, name, 'peak_bytes') / (1 << 20):6.1f} MiB").rstrip()


def _verdict(case: Case, own: Sequence[Copy], seed: int) -> str:
    other = fastest_other(own)
    found = ratio(own, OWN, other, seed)
    return (f"  {label(case)}: blkio-copy takes {found.median:.3f} of the time "
            f"[{found.low:.3f}, {found.high:.3f}] of the fastest other, {other}: "
            f"{summaries.VERDICTS[summaries.verdict(found)]}.")


# ---- Chart -----------------------------------------------------------------------------------


def chart(runs: Sequence[Copy], seed: int) -> str:
    """Each program's wall time relative to blkio-copy's, with its peak memory."""
    rows = []
    for case in cases(runs):
        own = usable(runs, case)
        mine = duration(wall(own, OWN, seed).median)
        group = f"{label(case)}: blkio-copy {mine}, {_memory(own, OWN)}"
        for number, name in enumerate(name for name in programs(own) if name != OWN):
            found = ratio(own, name, OWN, seed)
            words = (f"{found.median:.2f}  {duration(wall(own, name, seed).median)}, "
                     f"{_memory(own, name)}")
            rows.append(Span(name, series_role(number), "circle", found.median, found.low,
                             found.high, words, group))
    said = "; ".join(f"{row.group}; {row.name}: {row.words}" for row in rows)
    return spans(CHART_WIDTH, rows, f"Wall time and memory of copies. {said}.",
                 summaries.SAME_WITHIN, "wall time relative to blkio-copy's").render(
        standalone=True)


def _memory(own: Sequence[Copy], name: str) -> str:
    return f"{_median(own, name, 'peak_bytes') / (1 << 20):.0f} MiB"

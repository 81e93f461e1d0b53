# SPDX-License-Identifier: MIT OR Apache-2.0
"""Stored results against each other: other kernels, machines, days.

Their runs did not alternate, so all that differed between the two times is in the figures; the text
says so, and names what differs between the environments.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import numpy as np

from ..errors import Exit, refuse
from ..foreign import results
from ..result import storage
from ..result.model import Case, Interval, Result, Sample
from ..result.words import case_label, duration
from ..stats import inference, pairing, summaries
from ..verdict import PARTIAL, TOO_FEW_ROUNDS, UNPAIRED, Headline, Shortfall, compose

ALPHA = 0.05
NOT_TOLD = ("notes",)  # of an environment


@dataclass(frozen=True)
class Shift:
    """One engine in one case of a later result, compared with the first."""

    case: Case
    engine: str
    result: str
    first: float  # ns, median over the rounds
    later: float
    ratio: Interval  # by Hodges and Lehmann
    p: float  # Mann and Whitney's, after Holm


def compare_stored(options: argparse.Namespace) -> Exit:
    """`scripts/bench compare RESULT RESULT...`"""
    paths = [Path(text) for text in options.results]
    if len(paths) < 2:
        raise refuse(f"{options.results[0]}: one result has nothing to be compared with",
                     "Name two or more; to print one: scripts/bench show.")
    stored = dict(zip(_names(paths), map(results.read, paths)))
    text = render(stored, shifts(stored))
    print(text)
    if options.output:
        folder = Path(options.output)
        storage.prepare_folder(folder)
        storage.write_text(folder / "unpaired.txt", text)
    return Exit.OK


def _names(paths: Sequence[Path]) -> list[str]:
    """Short names that tell the results apart."""
    folders = [path if path.is_dir() else path.parent for path in paths]
    names = [folder.absolute().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def shifts(stored: dict[str, Result]) -> list[Shift]:
    """All that the first result and another one have in common."""
    (first_name, first), *others = stored.items()
    base = pairing.grouped(first.samples)
    found = []
    for name, other in others:
        groups = pairing.grouped(other.samples)
        found += [_shift(case, engine, name, base[case, engine], groups[case, engine])
                  for case, engine in base if (case, engine) in groups]
    if not found:
        raise refuse(f"{first_name} has no case and mode in common with the others",
                     "Measure them with the same targets, workloads and modes.")
    corrected = inference.holm([shift.p for shift in found])
    return [dataclasses.replace(shift, p=p) for shift, p in zip(found, corrected)]


def _shift(case: Case, engine: str, name: str, before: Sequence[Sample],
           after: Sequence[Sample]) -> Shift:
    first, later = ([sample.mean for sample in pairing.usable(samples)]
                    for samples in (before, after))
    old, new = ([math.log(mean) for mean in means] for means in (first, later))
    ratio = inference.shift(new, old)
    return Shift(case, engine, name, float(np.median(first)), float(np.median(later)),
                 dataclasses.replace(ratio, median=math.exp(ratio.median), low=math.exp(ratio.low),
                                     high=math.exp(ratio.high)), inference.rank_sum(new, old))


def word(shift: Shift) -> str:
    if shift.ratio.samples < pairing.ENOUGH_ROUNDS:
        return summaries.VERDICTS["too-few"]
    if shift.p >= ALPHA:
        return "no difference shown"
    return "slower" if shift.ratio.median > 1 else "faster"


def headline(stored: dict[str, Result], found: Sequence[Shift]) -> Headline:
    """What differs between results whose runs did not take turns: it proves no cause."""
    count = Counter(map(word, found))
    few = count[summaries.VERDICTS["too-few"]]
    claim = ", ".join(f"{count[name]} of {len(found)} figures are {name}"
                      for name in ("slower", "faster") if count[name])
    falls = [Shortfall("unpaired: whatever else differed between the two times is in these figures",
                       UNPAIRED)]
    if few:
        falls.append(Shortfall(f"{few} of {len(found)} have too few rounds (fewer than "
                               f"{pairing.ENOUGH_ROUNDS})", TOO_FEW_ROUNDS))
    partial = [name for name, result in stored.items() if not result.complete]
    if partial:
        falls.append(Shortfall(f"stopped before their end: {', '.join(partial)}", PARTIAL))
    return compose(UNPAIRED, claim or "No difference is shown", falls)


def render(stored: dict[str, Result], found: Sequence[Shift]) -> str:
    (first_name, first), *others = stored.items()
    lines = [f"UNPAIRED comparison of stored results with {first_name} (measured "
             f"{first.started})",
             "Their runs did not alternate: whatever differed between the two times is in these",
             "figures. Ratio of mean latencies by Hodges and Lehmann with its 95 % interval; p by",
             "Mann and Whitney, corrected for the number of rows (Holm).", "",
             headline(stored, found).line, ""]
    for name, other in others:
        lines += [f"{name}, measured {other.started}", *_differences(first, other),
                  *(_row(shift) for shift in found if shift.result == name), ""]
    for name, result in stored.items():
        if not result.complete:
            lines.append(f"{name} is a PARTIAL RESULT.")
    return "\n".join(lines)


def _differences(first: Result, other: Result) -> list[str]:
    """What the environments say is not the same."""
    lines = []
    for field in dataclasses.fields(first.environment):
        old, new = (getattr(result.environment, field.name) for result in (first, other))
        if old != new and field.name not in NOT_TOLD:
            lines.append(f"  {field.name.replace('_', ' ')}: {old} -> {new}")
    if first.settings.runtime_ms != other.settings.runtime_ms:
        lines.append(f"  run time: {first.settings.runtime_ms} -> {other.settings.runtime_ms} ms")
    return lines or ["  the environments do not differ"]


def _row(shift: Shift) -> str:
    ratio = shift.ratio
    return (f"  {case_label(shift.case)}, {shift.engine}: {duration(shift.first)} -> "
            f"{duration(shift.later)}, {ratio.median:.3f} [{ratio.low:.3f}, {ratio.high:.3f}], "
            f"p {shift.p:.2g}: {word(shift)}")

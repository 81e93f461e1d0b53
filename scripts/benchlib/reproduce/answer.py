# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a result says to a figure's claim: how two of its contenders compare, in every case."""

from __future__ import annotations

from .. import stats
from ..model import Case, Interval, Result
from ..table import cases, labels
from ..words import case_label, duration
from .figures import Pair


def ratio(result: Result, case: Case, pair: Pair) -> Interval | None:
    """Latency of the first relative to the second in the same round; None if either is missing."""
    groups = stats.grouped(result.samples)
    own, base = (stats.usable(groups.get((case, name), [])) for name in pair)
    ratios = stats.round_ratios(own, base)
    return stats.median_interval(ratios, result.settings.seed) if ratios else None


def answers(result: Result, pairs: tuple[Pair, ...]) -> list[str]:
    """A sentence for each case and pair that was measured."""
    found = ((case, pair, ratio(result, case, pair)) for case in cases(result) for pair in pairs)
    return [_sentence(result, case, pair, interval) for case, pair, interval in found if interval]


def _sentence(result: Result, case: Case, pair: Pair, found: Interval) -> str:
    names, means = labels(result), {row.contender: row.mean for row in result.summaries
                                    if row.case == case}
    own, base = (f"{names[name]} {duration(means[name])}" for name in pair)
    return (f"{case_label(case)}: {own} against {base}, {found.median:.3f} times [{found.low:.3f}, "
            f"{found.high:.3f}], {stats.VERDICTS[stats.verdict(found)]}")

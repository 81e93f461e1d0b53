# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a result says to a figure's claim: how two of its engines compare, in every case, in words
and as bars of their latency. A comparison's own chart has bars relative to the baseline only, cut
off where they are long."""

from __future__ import annotations

from ..page.bars import Bar, bars
from ..page.colours import series_role
from ..result.contents import cases, is_native, labels, of_case
from ..result.model import Case, Interval, Result
from ..result.words import case_label, duration
from ..stats import bootstrap, pairing, summaries
from .figures import Pair

CHART_WIDTH = 760


def ratio(result: Result, case: Case, pair: Pair) -> Interval | None:
    """Latency of the first relative to the second in the same round; None if either is missing."""
    groups = pairing.grouped(result.samples)
    own, base = (pairing.usable(groups.get((case, name), [])) for name in pair)
    ratios = pairing.round_ratios(own, base)
    return bootstrap.median_interval(ratios, result.settings.seed) if ratios else None


def answers(result: Result, pairs: tuple[Pair, ...]) -> list[str]:
    """A sentence for each case and pair that was measured."""
    found = ((case, pair, ratio(result, case, pair)) for case in cases(result) for pair in pairs)
    return [_sentence(result, case, pair, interval) for case, pair, interval in found if interval]


def _sentence(result: Result, case: Case, pair: Pair, found: Interval) -> str:
    names, rows = labels(result), {row.engine: row for row in of_case(result, case)}
    own, base = (rows[name] for name in pair)
    return (f"{case_label(case)}: {names[own.engine]} {duration(own.mean)} against "
            f"{names[base.engine]} {duration(base.mean)}, {found.median:.3f} times "
            f"[{found.low:.3f}, {found.high:.3f}], {summaries.VERDICTS[summaries.verdict(found)]}; "
            f"medians {duration(own.p50)} and {duration(base.p50)}")


def chart(result: Result, case: Case, pairs: tuple[Pair, ...]) -> str:
    """SVG: the mean latency of all that the claim is about, each beside whom it is compared with."""
    names, groups, rows = labels(result), pairing.grouped(result.samples), []
    for name in dict.fromkeys(name for pair in pairs for name in reversed(pair)):
        samples = pairing.usable(groups.get((case, name), []))
        if samples:
            found = bootstrap.median_interval([sample.mean for sample in samples])
            rows.append(Bar(names[name], _role(name, len(rows)), found.median, found.low,
                            found.high, duration(found.median)))
    said = "; ".join(f"{row.name}: {row.words}" for row in rows)
    return bars(CHART_WIDTH, rows, f"Mean latency, {case_label(case)}. {said}.").render(
        standalone=True)


def _role(name: str, number: int) -> str:
    return "baseline" if is_native(name) else series_role(number)

# SPDX-License-Identifier: MIT OR Apache-2.0
"""A comparison's verdict: one sentence on the best mode of each case, then a line per case, the
largest proven differences first."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Sequence

from .. import verdict
from ..result import contents
from ..result.model import Case, Result, Summary
from ..result.words import case_label, same_workload
from ..stats.pairing import ENOUGH_ROUNDS
from ..verdict import Exit, Headline, Level, Shortfall, Word, compose

ORDER = ("faster", "same", "unclear", "too-few", "slower")  # of merit


def headline(result: Result) -> Headline:
    """What the comparison shows, and what it does not."""
    best = best_rows(result)
    count = Counter(row.verdict for row in best)
    return compose(_word(count), _claim(result, best, count), _shortfalls(result, best, count),
                   lines(result))


def spaced(text: str) -> str:
    """9.0% as reports write it: 9.0 %."""
    return re.sub(r"(\d)%", r"\1 %", text)


def merit(row: Summary) -> tuple[int, float]:
    """A proven gain counts before a lower figure that may be chance."""
    return ORDER.index(row.verdict), row.ratio.median if row.ratio else 1.0


def best_rows(result: Result) -> list[Summary]:
    """Of each case and reference, the best mode: what the verdict is about."""
    return [min(rows, key=merit) for rows in _rivals(result)]


def _rivals(result: Result) -> list[list[Summary]]:
    """The modes of each case that are compared with the same reference, libblkio's if there are."""
    against = contents.against(result)
    groups: dict[tuple[Case, str], list[Summary]] = {}
    for case in contents.cases(result):
        for row in contents.of_case(result, case):
            if row.ratio:
                groups.setdefault((case, against[row.engine]), []).append(row)
    return [[row for row in rows if not contents.is_native(row.engine)] or rows
            for rows in groups.values()]


# ---- The sentence ----------------------------------------------------------------------------


def _word(count: Counter[str]) -> Word:
    """What the best modes' verdicts amount to; its exit status says that there is a result."""
    total = sum(count.values())
    faster, slower, same = count["faster"], count["slower"], count["same"]

    def word(text: str, level: Level) -> Word:
        return Word("compared", level, Exit.OK, "", text)

    def some(text: str, number: int) -> str:
        return text if number == total else f"{text} in {number} of {total} cases"

    if not total:
        return word("nothing compared", Level.CAUTION)
    if count["too-few"] == total:
        return verdict.TOO_FEW_ROUNDS
    if faster and slower:
        return word("mixed", Level.CAUTION)
    if slower:
        return word(some("slower", slower), Level.BAD)
    if faster:
        return word(some("faster", faster),
                    Level.GOOD if faster + same == total else Level.CAUTION)
    return word("no difference" if same == total else "no clear difference", Level.NEUTRAL)


def _claim(result: Result, best: Sequence[Summary], count: Counter[str]) -> str:
    if not best:
        return "There is nothing to compare: no mode ran together with its reference"
    parts = [_shift(result, best, word) for word in ("faster", "slower") if count[word]]
    if count["too-few"] == len(best):
        return f"No case has enough rounds for a verdict: it takes {ENOUGH_ROUNDS}"
    if parts:
        rest = {"same": "the same within 2 %", "unclear": "without a clear difference"}
        left = [f"{count[word]} {'is' if count[word] == 1 else 'are'} {text}"
                for word, text in rest.items() if count[word]]
        return f"{'; '.join(parts)}.{' Of the others, ' + ' and '.join(left) if left else ''}"
    first = "In all cases there is less than 2 %" if count["same"] == len(best) else \
        "In no case is there a clear difference"
    subject = _subject(best).replace("The best", "the best", 1) if _several(best) else \
        contents.labels(result)[best[0].engine]
    return f"{first} between {subject} and {_reference(result, best)}"


def _shift(result: Result, best: Sequence[Summary], word: str) -> str:
    rows = [row for row in best if row.verdict == word]
    sizes = sorted(abs(1 - row.ratio.median) for row in rows if row.ratio)
    first, last = f"{sizes[0]:.1%}", f"{sizes[-1]:.1%}"
    size = first if first == last else f"{first.removesuffix('%')} to {last}"
    verb = "has" if word == "faster" else "even at its best has"
    direction = "less" if word == "faster" else "more"
    where = "in every case" if len(rows) == len(best) else f"in {len(rows)} of {len(best)} cases"
    subject = _subject(best) if _several(best) else contents.labels(result)[best[0].engine]
    return spaced(f"{subject} {verb} {size} {direction} mean latency than "
                  f"{_reference(result, best)} {where}")


def _several(best: Sequence[Summary]) -> bool:
    return len({row.engine for row in best}) > 1


def _subject(best: Sequence[Summary]) -> str:
    return "The best mode of libblkio" \
        if any(not contents.is_native(row.engine) for row in best) else "The best mode"


def _reference(result: Result, best: Sequence[Summary]) -> str:
    """What they are compared with, where that is one."""
    others = {contents.against(result)[row.engine] for row in best}
    other = others.pop() if len(others) == 1 else ""
    return contents.labels(result).get(other, other) if other else "its reference"


def _shortfalls(result: Result, best: Sequence[Summary], count: Counter[str]) -> list[Shortfall]:
    falls, few = [], count["too-few"]
    if not result.complete:
        falls.append(Shortfall("the run was stopped before its end", verdict.PARTIAL))
    if few:
        falls.append(Shortfall(f"{few} of {len(best)} cases have too few rounds (fewer than "
                               f"{ENOUGH_ROUNDS})", verdict.TOO_FEW_ROUNDS))
    alone = sum(row.verdict == "alone" for row in result.summaries)
    if alone:
        falls.append(Shortfall(f"{alone} of {len(result.summaries)} figures have no reference: it was "
                               "not measured", verdict.NO_REFERENCE))
    rows = [row for row in result.summaries if verdict.disturbed(row.disturbed, row.rounds)]
    if rows:
        falls.append(Shortfall(
            spaced(f"other programs disturbed up to {contents.disturbed_share(result):.0%} of the "
                   f"rounds behind {len(rows)} of {len(result.summaries)} figures; repeat on a "
                   "quiet machine"), verdict.DISTURBED))
    return falls


# ---- A line per case -------------------------------------------------------------------------


def ranked(result: Result) -> list[Summary]:
    """The best_rows(), proven differences first and the largest of all first."""
    return sorted(best_rows(result), key=_weight)


def lines(result: Result) -> list[str]:
    """One sentence per case and reference, ranked()."""
    found = [(min(rows, key=merit), rows) for rows in _rivals(result)]
    found.sort(key=lambda pair: _weight(pair[0]))
    return [f"{_where(result, best.case)}: {_on_case(result, best, rows)}" for best, rows in found]


def _weight(row: Summary) -> tuple[bool, float]:
    assert row.ratio is not None
    return row.verdict not in ("faster", "slower"), -abs(math.log(row.ratio.median))


def shape(case: Case) -> str:
    """What fio does in a case, without the target."""
    return case_label(case).partition(", ")[2]


def _where(result: Result, case: Case) -> str:
    if not same_workload(contents.cases(result)):
        return case_label(case)
    jobs = f", {case.numjobs} jobs" if case.numjobs > 1 else ""
    return f"{case.target}, depth {case.depth}{jobs}"


def _on_case(result: Result, best: Summary, rows: Sequence[Summary]) -> str:
    names, other = contents.labels(result), contents.against(result)[best.engine]
    text = spaced(sentence(names[best.engine], best, names.get(other, other)) + _worse(rows, names))
    if len(rows) == 1:
        text = text.replace("even ", "").replace("is the best and equals", "equals")
    return text


def sentence(label: str, row: Summary, other: str) -> str:
    """The best mode against the other one."""
    assert row.ratio is not None
    ratio = row.ratio
    shift = f"{abs(1 - ratio.median):.1%}"
    low, high = sorted((abs(1 - ratio.low), abs(1 - ratio.high)))
    if row.verdict == "faster":
        return f"{label} has {shift} less latency than {other} ({low:.1%} to {high:.1%})."
    if row.verdict == "slower":
        return f"even {label} has {shift} more latency than {other} ({low:.1%} to {high:.1%})."
    if row.verdict == "same":
        return f"{label} is the best and equals {other} ({ratio.median - 1:+.1%})."
    if row.verdict == "too-few":
        return f"{label} is at {ratio.median:.3f} of {other}; too few rounds for a verdict."
    return (f"no clear difference; {label} is at {ratio.median:.3f} of {other} "
            f"[{ratio.low:.3f}, {ratio.high:.3f}].")


def _worse(rows: Sequence[Summary], names: dict[str, str]) -> str:
    """The modes that lose, which a reader must not overlook beside the best one."""
    slower = [row for row in rows if row.verdict == "slower"]
    if not slower or len(slower) == len(rows):
        return ""
    words = ", ".join(f"{names[row.engine]} ({row.ratio.median - 1:+.1%})"
                      for row in slower if row.ratio)
    return f" Slower: {words}."

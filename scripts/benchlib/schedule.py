# SPDX-License-Identifier: MIT OR Apache-2.0
"""In which order everything runs: random, reproducible from a seed, and balanced.

A round visits every case once, in random order. Within a case all contenders
follow each other directly; each second round runs them in the reverse of the order before
(A B C, then C B A), so that a slow drift of the machine favours none.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Callable, Iterator, Mapping, Sequence

from .model import Case


@dataclass(frozen=True)
class Block:
    """The contenders of one case in one round, in the order to run."""

    round: int
    case: Case
    order: list[str]
    random_seed: int  # of fio's offsets: the same for all in the block


def blocks(contenders: Mapping[Case, Sequence[str]], rounds: int, seed: int,
           more: Callable[[Case], bool] | None = None) -> Iterator[Block]:
    """The whole schedule: `rounds` rounds of all cases, then, two by two, more of those cases that
    `more` asks for. The same seed and answers give the same schedule."""
    source = random.Random(seed)
    last: dict[Case, list[str]] = {}
    wanted, number = list(contenders), 0
    while wanted:
        cases = list(wanted)
        source.shuffle(cases)
        for case in cases:
            if number % 2:
                order = last[case][::-1]
            else:
                order = list(contenders[case])
                source.shuffle(order)
            last[case] = order
            yield Block(number, case, order, source.randrange(1, 1 << 31))
        number += 1
        if number >= rounds and not (more and number % 2):
            wanted = [case for case in wanted if more and more(case)]

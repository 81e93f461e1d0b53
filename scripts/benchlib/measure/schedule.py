# SPDX-License-Identifier: MIT OR Apache-2.0
"""In which order everything runs: random, reproducible from a seed, and balanced.

A round visits every case once, in random order. Within a case all engines follow each other
directly. Each second round runs them in the reverse of the order before (A B C, then C B A), so
that a slow drift of the machine favours none.

compare and gate measure in this order, and so do the step `drivers` of qualify and qemu.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Callable, Generic, Hashable, Iterator, Mapping, Sequence, TypeVar

C = TypeVar("C", bound=Hashable)  # a case, whatever tells cases apart


@dataclass(frozen=True)
class Block(Generic[C]):
    """The engines of one case in one round, in the order to run."""

    round: int
    case: C
    order: list[str]
    random_seed: int  # of fio's offsets: the same for all in the block


def blocks(engines: Mapping[C, Sequence[str]], rounds: int, seed: int,
           more: Callable[[C], bool] | None = None) -> Iterator[Block[C]]:
    """The whole schedule: `rounds` rounds of all cases, then, two by two, more of those cases that
    `more` asks for. The same seed and answers give the same schedule."""
    source = random.Random(seed)
    last: dict[C, list[str]] = {}
    wanted, number = list(engines), 0
    while wanted:
        cases = list(wanted)
        source.shuffle(cases)
        for case in cases:
            if number % 2:
                order = last[case][::-1]
            else:
                order = list(engines[case])
                source.shuffle(order)
            last[case] = order
            yield Block(number, case, order, source.randrange(1, 1 << 31))
        number += 1
        if number >= rounds and not (more and number % 2):
            wanted = [case for case in wanted if more and more(case)]

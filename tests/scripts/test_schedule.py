#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The order of runs: reproducible, complete, balanced."""

from __future__ import annotations

import itertools
import unittest

from support import main
from benchlib.measure.schedule import Block, blocks
from benchlib.result.model import Case

MODES = ["native", "block", "eventfd", "loop"]
SMALL, DEEP, OTHER = (Case(target, "randread", 512, depth, 1)
                      for target, depth in (("a", 1), ("a", 32), ("b", 1)))
CASES = {SMALL: MODES, DEEP: MODES, OTHER: MODES[:2]}


def schedule(seed: int, rounds: int = 12) -> list[Block]:
    return list(blocks(CASES, rounds, seed))


class Schedule(unittest.TestCase):
    def test_seed_decides(self) -> None:
        self.assertEqual(schedule(1), schedule(1))
        self.assertNotEqual(schedule(1), schedule(2))

    def test_everybody_runs_once_in_every_round(self) -> None:
        seen = [(block.round, block.case, name) for block in schedule(3) for name in block.order]
        wanted = [(number, case, name) for number in range(12)
                  for case, names in CASES.items() for name in names]
        self.assertCountEqual(seen, wanted)

    def test_odd_rounds_reverse_the_round_before(self) -> None:
        for case in CASES:
            orders = [block.order for block in schedule(4) if block.case == case]
            for first, second in zip(orders[::2], orders[1::2]):
                self.assertEqual(second, first[::-1])

    def test_every_order_comes_up(self) -> None:
        orders = [tuple(block.order) for block in schedule(5, 40) if block.case == OTHER]
        self.assertEqual(set(orders), set(itertools.permutations(MODES[:2])))
        # over an even number of rounds each has run first as often as last
        self.assertEqual(orders.count(("native", "block")), 20)

    def test_cases_are_shuffled_too(self) -> None:
        firsts = {next(b.case for b in schedule(seed) if b.round == 0) for seed in range(20)}
        self.assertEqual(firsts, set(CASES))

    def test_a_block_has_one_seed_for_all_and_the_next_has_another(self) -> None:
        seeds = [block.random_seed for block in schedule(6)]
        self.assertEqual(len(set(seeds)), len(seeds))

    def test_more_rounds_come_in_pairs_for_those_who_want_them(self) -> None:
        left = {SMALL: 2, DEEP: 0, OTHER: 1}

        def more(case: Case) -> bool:
            left[case] -= 1
            return left[case] >= 0

        for rounds, even in ((4, 4), (3, 4)):
            left.update({SMALL: 2, DEEP: 0, OTHER: 1})
            found = [block.case for block in blocks(CASES, rounds, 7, more)]
            self.assertEqual([found.count(case) for case in (SMALL, DEEP, OTHER)],
                             [even + 4, even, even + 2])
        self.assertEqual(len(list(blocks(CASES, 3, 7))), 9)


if __name__ == "__main__":
    main()

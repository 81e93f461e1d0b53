# SPDX-License-Identifier: MIT OR Apache-2.0
"""The verdicts of gates and qualifications, as a history shows them."""

from __future__ import annotations

from ..page.page import BAD, MOODS, NEUTRAL
from ..verdict import GATE, QUALIFY

MOST = 40  # in a table
OLDER = {"not-qualified": BAD}  # words that histories hold and nothing says today


def mood(word: str) -> str:
    for vocabulary in (QUALIFY, GATE):
        if word in vocabulary.names:
            return MOODS[vocabulary[word].level]
    return OLDER.get(word, NEUTRAL)

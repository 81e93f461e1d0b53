# SPDX-License-Identifier: MIT OR Apache-2.0
"""Every verdict of the suite: its word, its level, its headline and its exit status.

A command has a Vocabulary, from the best verdict to the worst. compose() makes the headline: of what
the figures say, and of the shortfalls, which are what the figures rest on and what they lack. No
headline claims more than its worst shortfall permits, and each shortfall is named in it.

Standard library only: the options' --help prints the vocabularies.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Iterable, Sequence

from .errors import Exit

MOST_DISTURBED = 0.1  # share of the runs behind a figure that other programs may have disturbed


class Level(enum.IntEnum):
    """How good the news is, from best to worst."""

    GOOD = 0
    NEUTRAL = 1  # neither good nor bad
    CAUTION = 2  # measured, but it proves nothing
    BAD = 3


@dataclass(frozen=True)
class Word:
    """A verdict."""

    name: str  # as results store it
    level: Level
    code: int  # the exit status
    meaning: str
    said: str = ""  # in a headline, where the name will not do

    @property
    def text(self) -> str:
        return self.said or self.name.replace("-", " ")


@dataclass(frozen=True)
class Shortfall:
    """Something that a verdict rests on, and the best word that it permits."""

    words: str  # "4 of 6 series reached no steady state"
    most: Word


@dataclass(frozen=True)
class Headline:
    word: Word
    sentence: str  # with all shortfalls
    details: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """MEASURED, NOT QUALIFIED: ..."""
        return f"{self.word.text.upper()}: {self.sentence}"


class Vocabulary:
    """The verdicts of a command, from best to worst."""

    def __init__(self, *words: Word) -> None:
        self.words = {word.name: word for word in words}
        self.names = tuple(self.words)

    def __getitem__(self, name: str) -> Word:
        return self.words[name]

    def worst(self, names: Iterable[str]) -> Word:
        """The best word when there are no names."""
        found = max(names, key=self.names.index, default=self.names[0])
        return self.words[found]

    def table(self, width: int = 10) -> str:
        """Exit status, name and meaning of each verdict, a line each, for --help."""
        return "\n".join(f"  {word.code:3}  {word.name:{width}} {word.meaning}"
                         for word in self.words.values())


def lowest(word: Word, shortfalls: Sequence[Shortfall]) -> Word:
    """The best word that all shortfalls permit."""
    return max([word, *(fall.most for fall in shortfalls)], key=lambda item: item.level)


def compose(word: Word, claim: str, shortfalls: Sequence[Shortfall] = (),
            details: Sequence[str] = ()) -> Headline:
    """The headline of a claim that holds for the lowest() word, and all shortfalls after it."""
    falls = "; ".join(fall.words for fall in shortfalls)
    sentences = [text if text.endswith(".") else text + "." for text in
                 (claim, f"{falls[:1].upper()}{falls[1:]}") if text]
    return Headline(lowest(word, shortfalls), " ".join(sentences), list(details))


def disturbed(count: int, total: int) -> bool:
    """Did others disturb too many of the runs that a figure rests on?"""
    return count > MOST_DISTURBED * total


# ---- The words ---------------------------------------------------------------------------------

QUALIFIED, MEASURED, INCOMPLETE, REFUSED, FAILED = (
    "qualified", "measured", "incomplete", "refused", "failed")
QUALIFY = Vocabulary(
    Word(QUALIFIED, Level.GOOD, 0, "the whole profile was done, in steady state, and every "
         "requirement is met"),
    Word(MEASURED, Level.CAUTION, 4, "no requirement failed, but the figures do not carry more",
         "measured, not qualified"),
    Word(INCOMPLETE, Level.CAUTION, 1, "a step failed or a required figure is missing; the rest "
         "is kept"),
    Word(REFUSED, Level.CAUTION, 2, "nothing was measured"),
    Word(FAILED, Level.BAD, 3, "a requirement is not met"))

PASS, IMPROVED, TOO_FEW, TOO_NOISY, REGRESS = "pass", "improved", "too-few", "too-noisy", "regress"
GATE = Vocabulary(
    Word(PASS, Level.GOOD, Exit.OK,
         "no regression of the least effect or more: the interval excludes it"),
    Word(IMPROVED, Level.GOOD, Exit.IMPROVED,
         "faster, by the least effect or more, and not by chance"),
    Word(TOO_FEW, Level.CAUTION, Exit.TOO_FEW, "too few rounds for any verdict", TOO_FEW),
    Word(TOO_NOISY, Level.CAUTION, Exit.TOO_NOISY,
         "a regression of the least effect can neither be shown nor excluded", TOO_NOISY),
    Word(REGRESS, Level.BAD, Exit.REGRESS,
         "slower, by the least effect or more, and not by chance"))
# Not of a finding, but of a whole run:
GATE_FAILED = Word("failed", Level.CAUTION, Exit.FAILED, "something could not be built or run")
PARTIAL = Word("partial", Level.CAUTION, Exit.INTERRUPTED, "stopped before its end",
               "partial result")

# A comparison measures; whether slower is a failure, the gate decides. Its exit status says only
# whether there are figures.
TOO_FEW_ROUNDS = Word(TOO_FEW, Level.CAUTION, Exit.OK, "too few rounds for any verdict",
                      "too few rounds")
DISTURBED = Word("disturbed", Level.CAUTION, Exit.OK, "other programs disturbed the rounds")
NO_REFERENCE = Word("no-reference", Level.CAUTION, Exit.OK, "the reference was not measured",
                    "not all compared")
UNPAIRED = Word("unpaired", Level.CAUTION, Exit.OK, "stored results of two times")
# Of files that fio alone wrote:
NOT_COMPARED = Word("not-compared", Level.NEUTRAL, Exit.OK, "figures without a reference")
JOBS_FAILED = Word("incomplete", Level.CAUTION, Exit.OK, "some jobs failed")
# Of a history's trends:
BETTER = Word("better", Level.GOOD, Exit.OK, "the last change of a series was for the better")
STEADY = Word("steady", Level.NEUTRAL, Exit.OK, "no change was found")
TOO_SHORT = Word("too-short", Level.CAUTION, Exit.OK, "too few entries for any change to be found")
WORSE = Word("worse", Level.BAD, Exit.OK, "the last change of a series was for the worse")

# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a report consists of, whatever it is about and however it is written.

Results become a Page (of_compare, of_gate, of_qualification, of_history); html, pdf and markdown
write one. All text is plain: the writers escape it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Union

from ..verdict import Headline, Level
from .frame import Key
from .svg import Svg

REPORT = "report.html"  # the page beside a result

# How good the news is; each has a word and a sign, so that colour is not needed.
GOOD, BAD, CAUTION, NEUTRAL = "good", "bad", "caution", "neutral"
SIGNS = {GOOD: "✓", BAD: "✗", CAUTION: "!", NEUTRAL: "·"}


MOODS = {Level.GOOD: GOOD, Level.NEUTRAL: NEUTRAL, Level.CAUTION: CAUTION, Level.BAD: BAD}
MOST_DETAILS = 8  # of a verdict are shown at once


@dataclass(frozen=True)
class Verdict:
    mood: str
    word: str  # "faster", "qualified", "regression"
    sentence: str
    details: list[str] = field(default_factory=list)
    folded: list[str] = field(default_factory=list)  # further details, for who wants all


@dataclass(frozen=True)
class Fact:
    """One figure that sums something up."""

    value: str
    label: str


@dataclass(frozen=True)
class Panel:
    """One drawing. `draw` makes it as wide as asked, with a legend of its own or without."""

    title: str
    draw: Callable[[float, bool], Svg]


@dataclass(frozen=True)
class Figure:
    title: str  # states the finding
    caption: str  # how to read it
    panels: list[Panel]
    legend: list[Key] = field(default_factory=list)  # of all panels
    stacked: bool = False  # the panels are parts of one drawing, one below the other


@dataclass(frozen=True)
class TableCell:
    text: str
    mood: str = NEUTRAL


@dataclass(frozen=True)
class Table:
    caption: str
    head: list[str]
    rows: list[list[TableCell]]
    words: int = 1  # so many columns, from the first, are text; the others are figures
    wordy_end: bool = False  # the last column is text too


@dataclass(frozen=True)
class Facts:
    """Names with their values: the environment, the settings."""

    title: str
    items: list[tuple[str, str]]


@dataclass(frozen=True)
class Notes:
    lines: list[str]


Block = Union[Figure, Table, Facts, Notes]


@dataclass(frozen=True)
class Section:
    title: str
    blocks: list[Block]


@dataclass(frozen=True)
class Download:
    name: str
    data: bytes


@dataclass(frozen=True)
class Chapter:
    """All about one result."""

    kind: str  # "Comparison", "Gate", "Qualification", "History"
    title: str
    subtitle: str
    verdict: Verdict
    facts: list[Fact]
    sections: list[Section]
    downloads: list[Download] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    title: str
    chapters: list[Chapter]


def shown(headline: Headline) -> Verdict:
    """A headline on a page: its first details, and the others folded."""
    details = headline.details
    return Verdict(MOODS[headline.word.level], headline.word.text, headline.sentence,
                   details[:MOST_DETAILS], details[MOST_DETAILS:])


def cells(*texts: str) -> list[TableCell]:
    return [TableCell(text) for text in texts]


def section(title: str, *blocks: Block | None) -> Section | None:
    """A section of the blocks that there are; none without any."""
    present = [block for block in blocks if block and not _empty(block)]
    return Section(title, present) if present else None


def present(*sections: Section | None) -> list[Section]:
    return [item for item in sections if item]


def _empty(block: Block) -> bool:
    if isinstance(block, Figure):
        return not block.panels
    if isinstance(block, Table):
        return not block.rows
    return not (block.items if isinstance(block, Facts) else block.lines)

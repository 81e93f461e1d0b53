# SPDX-License-Identifier: MIT OR Apache-2.0
"""The differences that are on purpose: the tables of a Markdown file that have these columns.

on     the kinds of device, separated by commas
where  what the probe calls the observation; "1.5", "here": what it saw; `*` is any text
why    the reason, which there must be
"""

import re
from dataclasses import dataclass
from pathlib import Path

from .observations import Difference

COLUMNS = ["on", "where", "1.5", "here", "why"]


def wildcard(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))))


@dataclass
class Row:
    """One accepted difference, or several that are alike."""

    line: int
    targets: list[str]
    where: str
    theirs: str
    ours: str
    used: bool = False

    def explains(self, target: str, difference: Difference) -> bool:
        """Whether this row is about that difference."""
        pairs = ((self.where, difference.where), (self.theirs, difference.theirs),
                 (self.ours, difference.ours))
        return (self.is_for(target)
                and all(wildcard(pattern).fullmatch(text) for pattern, text in pairs))

    def is_for(self, target: str) -> bool:
        return any(wildcard(pattern).fullmatch(target) for pattern in self.targets)


def cells_of(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return [cell.strip().strip("`").replace("\\|", "|") for cell in cells]


class Accepted:
    """The file's rows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = []
        inside = False
        for number, line in enumerate(path.read_text().splitlines(), 1):
            cells = cells_of(line)
            if not line.startswith("|"):
                inside = False
            elif cells == COLUMNS:
                inside = True
            elif inside and set(line) - set("|- "):
                self.rows.append(self._row(number, cells))

    def _row(self, number: int, cells: list[str]) -> Row:
        if len(cells) != len(COLUMNS) or not all(cells) or cells[-1] == "?":
            raise SystemExit(f"{self.path}:{number}: a row has five cells, the last one a reason")
        targets = [name.strip() for name in cells[0].split(",")]
        return Row(number, targets, *cells[1:4])

    def explains(self, target: str, difference: Difference) -> bool:
        """Whether a row is about it; remembers all rows that are."""
        matching = [row for row in self.rows if row.explains(target, difference)]
        for row in matching:
            row.used = True
        return bool(matching)

    def unused(self, targets: list[str]) -> list[str]:
        """Rows that nothing confirmed, though one of their targets ran."""
        return [f"{self.path.name}:{row.line}: no such difference any more: {row.where}"
                for row in self.rows
                if not row.used and any(map(row.is_for, targets))]

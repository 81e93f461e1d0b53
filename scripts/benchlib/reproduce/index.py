# SPDX-License-Identifier: MIT OR Apache-2.0
"""The index of a reproduction: a page in Markdown, with a table of verdicts and all charts."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from pathlib import Path

from ..compare import chart as common
from ..errors import Exit
from ..result import storage
from ..result.contents import cases
from ..result.words import case_label
from .answer import answers, chart
from .figures import Claim, Pair

FILE = "index.md"
TABLE = "table.txt"
MOST_CHARTS = 4  # of cases, each with bars of its own; where there are more, the common chart


@dataclass(frozen=True)
class Done:
    """A step that has been run, or tried."""

    figure: str
    step: str
    command: str
    folder: Path
    status: int
    reason: str  # in words, when it did not succeed
    pairs: tuple[Pair, ...] = ()

    @property
    def failed(self) -> bool:
        return self.status not in (Exit.OK, Exit.USAGE)

    def tables(self) -> list[Path]:
        """Of all results of the step: a run in the VM has one for each guest."""
        return sorted(self.folder.rglob(TABLE))


def found(folder: Path, pairs: tuple[Pair, ...]) -> list[str]:
    """What the result in a folder says to the claim; else its own verdict."""
    if (folder / storage.RESULT).exists():
        return answers(storage.read(folder), pairs)
    lines = (folder / TABLE).read_text().partition("\nVerdict\n")[2].splitlines()
    return [line.strip() for line in lines if line.strip()]


def write(folder: Path, library: str, figures: dict[str, Claim], done: list[Done]) -> None:
    storage.write_text(folder / FILE, render(folder, library, figures, done))


def render(folder: Path, library: str, figures: dict[str, Claim], done: list[Done]) -> str:
    shown = {name: [step for step in done if step.figure == name] for name in figures}
    lines = ["# Reproduction", "", _head(library), "", "| figure | claim | measured |",
             "|---|---|---|"]
    lines += [f"| [{name}](#{name}) | {figures[name].claim} | {_cell(steps)} |"
              for name, steps in shown.items()]
    for name, steps in shown.items():
        lines += ["", f"## {name}", "", _sentence(figures[name].title), ""]
        for step in steps:
            lines += _section(folder, step)
    return "\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _head(library: str) -> str:
    return (f"{datetime.datetime.now():%Y-%m-%d}, libblkio {library}. Each result's folder has its "
            "figures, the machine and the software; results/README.md says how to read them.")


def _cell(steps: list[Done]) -> str:
    """What came of a figure, in the table's words."""
    if not steps:
        return "not yet"
    return "<br>".join(_outcome(step) for step in steps)


def _outcome(step: Done) -> str:
    if step.status == Exit.USAGE and not step.tables():
        return f"{step.step}: cannot be measured here: {_cell_text(step.reason)}"
    lines = [line for table in step.tables() for line in found(table.parent, step.pairs)]
    if not lines:
        return f"{step.step}: failed: {_cell_text(step.reason) or f'status {step.status}'}"
    return "<br>".join(f"{step.step}: {_cell_text(line)}" for line in lines)


def _cell_text(text: str) -> str:
    return text.replace("|", "\\|")


def _section(folder: Path, step: Done) -> list[str]:
    lines = [f"`{step.command}`", ""]
    if step.status != Exit.OK:
        lines += [f"Exit status {step.status}: {step.reason or 'see above'}", ""]
    for table in step.tables():
        place = os.path.relpath(table.parent, folder)
        for title, name in _charts(table.parent, step.pairs):
            lines += [f"{title}:" if title else "", "", f"![{step.figure}](<{place}/{name}>)", ""]
        lines += ["```", table.read_text().rstrip(), "```", "", f"[All of it]({place}/)", ""]
    return lines


def _charts(place: Path, pairs: tuple[Pair, ...]) -> list[tuple[str, str]]:
    """Titles and file names of a result's charts for the index, which are drawn where needed."""
    if not (place / storage.RESULT).exists():
        return [("", common.FILE)]
    result = storage.read(place)
    measured = cases(result)
    if len(measured) > MOST_CHARTS:
        return [("", common.FILE)]
    names = [f"claim-{number}.svg" for number in range(1, len(measured) + 1)]
    for case, name in zip(measured, names):
        storage.write_text(place / name, chart(result, case, pairs))
    return [(f"Mean latency, {case_label(case)}", name) for case, name in zip(measured, names)]

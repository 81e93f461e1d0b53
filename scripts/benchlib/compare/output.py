# SPDX-License-Identifier: MIT OR Apache-2.0
"""All that is written beside a result: table, environment, chart, report; and told on stdout."""

from __future__ import annotations

from pathlib import Path

from ..page.page import REPORT
from ..page.write import beside
from ..result import storage
from ..result.model import Result
from . import chapter, chart, surroundings, table


def write(folder: Path, result: Result) -> None:
    """Write the files for people beside result.json."""
    storage.write_text(folder / "table.txt", table.render(result))
    storage.write_text(folder / "environment.txt", environment_text(result))
    storage.write_text(folder / chart.FILE, chart.draw(result).render(standalone=True))
    beside(folder / storage.RESULT, lambda raw: chapter.chapter(result, raw))


def announce(folder: Path, result: Result) -> None:
    """Print the table, and where everything is."""
    print(table.render(result))
    print(f"Report {folder / REPORT}, chart {folder / chart.FILE}, all figures and the "
          f"environment in {folder}/")


def environment_text(result: Result) -> str:
    lines = surroundings.lines(result)
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:{width}}  {value}" for name, value in lines) + "\n"

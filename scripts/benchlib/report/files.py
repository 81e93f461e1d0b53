# SPDX-License-Identifier: MIT OR Apache-2.0
"""All that is written beside a result: table, environment, chart, report; and told on stdout."""

from __future__ import annotations

from pathlib import Path

from . import chart, html, of_compare, surroundings
from .. import results, table
from ..model import Result
from .page import REPORT, Download, Page


def write(folder: Path, result: Result) -> None:
    """Write the files for people beside result.json."""
    results.write_text(folder / "table.txt", table.render(result))
    results.write_text(folder / "environment.txt", environment_text(result))
    chart.draw(result, folder)
    raw = Download(results.RESULT, (folder / results.RESULT).read_bytes()) \
        if (folder / results.RESULT).exists() else None
    chapter = of_compare.chapter(result, [raw] if raw else [])
    results.write_text(folder / REPORT, html.render(Page(chapter.title, [chapter])))


def announce(folder: Path, result: Result) -> None:
    """Print the table, and where everything is."""
    print(table.render(result))
    print(f"Report {folder / REPORT}, chart {folder / 'chart.png'}, all figures and the "
          f"environment in {folder}/")


def environment_text(result: Result) -> str:
    lines = surroundings.lines(result)
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:{width}}  {value}" for name, value in lines) + "\n"

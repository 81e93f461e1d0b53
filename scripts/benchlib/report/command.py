# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench report`: results in, one file out. The suffix of its name says which kind."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Callable

from ..errors import BenchError, Exit, refuse
from . import html, markdown, pdf, sources
from .page import REPORT, Page

WRITERS: dict[str, Callable[[Page, Path], None]] = {
    ".html": lambda page, file: write_bytes(file, html.render(page).encode()),
    ".pdf": lambda page, file: write_bytes(file, pdf.render(page)),
    ".md": lambda page, file: markdown.write(page, file),
}


def report(options: argparse.Namespace) -> Exit:
    given = [Path(name) for name in options.results]
    output = Path(options.output) if options.output else _default(given)
    if output.suffix not in WRITERS:
        raise refuse(f"--output {output}: a report is {', '.join(WRITERS)}",
                     "Choose a name that ends in one of these.")
    chapters = [sources.chapter(path) for path in given]
    title = options.title or (chapters[0].title if len(chapters) == 1
                              else f"{len(chapters)} results")
    write(Page(title, chapters), output)
    for chapter in chapters:
        print(f"{chapter.verdict.word}: {chapter.verdict.sentence}")
    print(f"Report {output}")
    return Exit.OK


def beside(folder: Path) -> None:
    """The report of the result in a folder, in that folder."""
    chapter = sources.chapter(folder)
    write(Page(chapter.title, [chapter]), folder / REPORT)


def write(page: Page, output: Path) -> None:
    """Write the page, the way that the name of the file asks for."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        WRITERS[output.suffix](page, output)
    except OSError as error:
        raise BenchError(f"cannot write {output}: {error.strerror}",
                         "Choose another --output.") from error


def write_bytes(file: Path, data: bytes) -> None:
    """Replace a file in one step."""
    temporary = file.with_name(f".{file.name}.new")
    try:
        temporary.write_bytes(data)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _default(given: list[Path]) -> Path:
    if len(given) > 1:
        raise refuse("several results need a name for their report", "Add --output FILE.html.")
    folder = given[0] if given[0].is_dir() else given[0].parent
    return folder / REPORT

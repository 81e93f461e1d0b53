# SPDX-License-Identifier: MIT OR Apache-2.0
"""A page into a file; the suffix of its name says which kind."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from ..errors import BenchError, refuse
from ..result import storage
from . import html, markdown, pdf
from .page import REPORT, Chapter, Download, Page

WRITERS: dict[str, Callable[[Page, Path], None]] = {
    ".html": lambda page, file: storage.write_text(file, html.render(page)),
    ".pdf": lambda page, file: storage.write_bytes(file, pdf.render(page)),
    ".md": lambda page, file: markdown.write(page, file),
}


def check(output: Path) -> None:
    """Refuse a name that says no kind."""
    if output.suffix not in WRITERS:
        raise refuse(f"--output {output}: a report is {', '.join(WRITERS)}",
                     "Choose a name that ends in one of these.")


def write(page: Page, output: Path) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        WRITERS[output.suffix](page, output)
    except OSError as error:
        raise BenchError(f"cannot write {output}: {error.strerror}",
                         "Choose another --output.") from error


def beside(file: Path, chapter: Callable[[list[Download]], Chapter]) -> None:
    """Write the report of one result into its folder; the result's file goes into it."""
    made = chapter([Download(file.name, file.read_bytes())] if file.exists() else [])
    write(Page(made.title, [made]), file.with_name(REPORT))

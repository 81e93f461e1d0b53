# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench report`: results in, one file out."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import Exit, refuse
from ..page.page import REPORT, Page
from ..page.write import check, write
from . import sources


def report(options: argparse.Namespace) -> Exit:
    given = [Path(name) for name in options.results]
    output = Path(options.output) if options.output else _default(given)
    check(output)
    chapters = [chapter for path in given for chapter in sources.chapters(path)]
    title = options.title or (chapters[0].title if len(given) == 1
                              else f"{len(given)} results")
    write(Page(title, chapters), output)
    for chapter in chapters:
        print(f"{chapter.verdict.word}: {chapter.verdict.sentence}")
    print(f"Report {output}")
    return Exit.OK


def _default(given: list[Path]) -> Path:
    if len(given) > 1:
        raise refuse("several results need a name for their report", "Add --output FILE.html.")
    folder = given[0] if given[0].is_dir() else given[0].parent
    return folder / REPORT

# SPDX-License-Identifier: MIT OR Apache-2.0
"""A page as Markdown, as code hosts show it. Charts are SVG files in a folder beside it.

Text from results is escaped, so that a name can neither start markup nor break a table.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterable

from .html import NARROW, WIDE
from .page import NEUTRAL, SIGNS, Block, Chapter, Facts, Figure, Page, Table, TableCell, cells

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!$])")


def write(page: Page, file: Path) -> None:
    """FILE.md, and FILE-charts/ with the drawings."""
    folder = file.with_name(f"{file.stem}-charts")
    text, drawings = render(page, folder.name)
    if folder.exists():  # of an earlier report under this name
        for old in folder.glob("chart-*.svg"):
            old.unlink()
    if drawings:
        folder.mkdir(exist_ok=True)
    for name, drawing in drawings.items():
        (folder / name).write_text(drawing)
    file.write_text(text)


def render(page: Page, folder: str) -> tuple[str, dict[str, str]]:
    """The text, and the drawings by name, which it expects in `folder`."""
    drawings: dict[str, str] = {}
    lines = [f"# {escape(page.title)}", ""]
    for chapter in page.chapters:
        lines += _chapter(chapter, folder, drawings, titled=len(page.chapters) > 1)
    return "\n".join(lines).rstrip() + "\n", drawings


def escape(text: str) -> str:
    """Plain text, whatever it holds."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _chapter(chapter: Chapter, folder: str, drawings: dict[str, str],
             titled: bool) -> Iterable[str]:
    if titled:
        yield from (f"# {escape(chapter.title)}", "")
    verdict = chapter.verdict
    yield from (escape(chapter.subtitle), "",
                f"**{SIGNS[verdict.mood]} {escape(verdict.word)}: {escape(verdict.sentence)}**", "")
    yield from (f"- {escape(line)}" for line in verdict.details)
    if verdict.folded:
        yield from ("", f"<details><summary>and {len(verdict.folded)} more</summary>", "",
                    *(f"- {escape(line)}" for line in verdict.folded), "", "</details>")
    yield from ("", *(f"- **{escape(fact.value)}** {escape(fact.label)}" for fact in chapter.facts),
                "")
    for section in chapter.sections:
        yield from (f"## {escape(section.title)}", "")
        for block in section.blocks:
            yield from _block(block, folder, drawings)
            yield ""


def _block(block: Block, folder: str, drawings: dict[str, str]) -> Iterable[str]:
    if isinstance(block, Figure):
        yield from _figure(block, folder, drawings)
    elif isinstance(block, Table):
        yield from _table(block)
    elif isinstance(block, Facts):
        if block.title:
            yield from (f"### {escape(block.title)}", "")
        yield from _table(Table("", ["what", "value"],
                                [cells(*pair) for pair in block.items], words=2))
    else:
        yield from (f"- {escape(line)}" for line in block.lines)


def _figure(figure: Figure, folder: str, drawings: dict[str, str]) -> Iterable[str]:
    yield from (f"### {escape(figure.title)}", "")
    several = len(figure.panels) > 1 and not figure.stacked
    for panel in figure.panels:
        svg = panel.draw(NARROW * 1.4 if several else WIDE, True)
        name = f"chart-{len(drawings) + 1:02}.svg"
        drawings[name] = '<?xml version="1.0" encoding="UTF-8"?>\n' + svg.render(standalone=True)
        if panel.title:
            yield from (f"{escape(panel.title)}", "")
        yield from (f"![{escape(svg.alt)}]({folder.replace(' ', '%20')}/{name})", "")
    yield escape(figure.caption)


def _table(table: Table) -> Iterable[str]:
    if table.caption:
        yield from (f"**{escape(table.caption)}**", "")
    last = len(table.head) - 1
    yield "| " + " | ".join(escape(name) for name in table.head) + " |"
    yield "|" + "|".join("---" if i < table.words or (i == last and table.wordy_end) else "--:"
                         for i in range(len(table.head))) + "|"
    for row in table.rows:
        yield "| " + " | ".join(_cell(cell) for cell in row) + " |"


def _cell(cell: TableCell) -> str:
    return f"{SIGNS[cell.mood]} {escape(cell.text)}" if cell.mood != NEUTRAL else escape(cell.text)

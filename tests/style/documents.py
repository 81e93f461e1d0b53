#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
What the documents name is there: the targets of links, with their headings, and files and folders
of the project. Their prose wraps; tables, code and headings need not.
"""

import re
from pathlib import Path
from typing import Iterator

from tap import ROOT, Tap, source_files

LINK = re.compile(r"\]\(([^)#\s]+)")
ANCHOR = re.compile(r"\]\(([^)#:\s]*)#([^)\s]+)\)")
FOLDERS = "bindings|core|docs|drivers|engine|jobs|packaging|scripts|tests|tools"  # not results: made later
NAMED = re.compile(rf"(?<![\w./-])((?:{FOLDERS})/[\w./-]*\w)")
COLUMNS = 100
IN_BUILD = re.compile(r"\bcd build\b")  # in such a line, paths are those of a build folder


def dead_links(document: Path) -> Iterator[str]:
    for number, line in enumerate(document.read_text().splitlines(), 1):
        for target in LINK.findall(line):
            if ":" not in target and not (document.parent / target).exists():
                yield f"{document.relative_to(ROOT)}:{number}: a link to {target}, which is not there"


def anchors(document: Path) -> set[str]:
    """The names that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_anchors(document: Path) -> Iterator[str]:
    for number, line in enumerate(document.read_text().splitlines(), 1):
        for target, anchor in ANCHOR.findall(line):
            to = document.parent / target if target else document
            if to.exists() and anchor not in anchors(to):
                yield f"{document.relative_to(ROOT)}:{number}: no heading of {to.name} is #{anchor}"


def missing(document: Path) -> Iterator[str]:
    for number, line in enumerate(document.read_text().splitlines(), 1):
        for name in NAMED.findall("" if IN_BUILD.search(line) else line):
            if not any((place / name).exists() for place in (ROOT, document.parent)):
                yield f"{document.relative_to(ROOT)}:{number}: {name} is not there"


def long_lines(document: Path) -> Iterator[str]:
    code = False
    for number, line in enumerate(document.read_text().splitlines(), 1):
        code ^= line.startswith("```")
        if len(line) > COLUMNS and not code and not line.startswith(("|", "#", "    ", "![")):
            yield f"{document.relative_to(ROOT)}:{number}: {len(line)} columns"


def main() -> None:
    tap = Tap()
    documents = source_files((".md",))
    tap.case(f"links in {len(documents)} documents", [p for d in documents for p in dead_links(d)])
    tap.case("headings that links lead to", [p for d in documents for p in dead_anchors(d)])
    tap.case("files that they name", [p for d in documents for p in missing(d)])
    tap.case(f"prose within {COLUMNS} columns", [p for d in documents for p in long_lines(d)])
    tap.finish()


main()

# SPDX-License-Identifier: MIT OR Apache-2.0
"""From a file or folder to a chapter: which kind of result is it, and who knows how to show it."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from .. import kinds, results
from ..gate import store as gate_store
from ..qualify import store as qualify_store
from . import of_compare, of_gate, of_qualify
from .page import Chapter, Download

Downloads = list[Download]
CHAPTERS: dict[str, Callable[[Path, Downloads], Chapter]] = {
    kinds.COMPARE: lambda file, raw: of_compare.chapter(results.read(file), raw),
    kinds.GATE: lambda file, raw: of_gate.chapter(gate_store.read(file), raw),
    kinds.QUALIFY: lambda file, raw: of_qualify.chapter(qualify_store.read(file), raw),
}


def chapter(path: Path) -> Chapter:
    """The chapter on the result in a folder or file."""
    file = kinds.locate(path)
    return CHAPTERS[kinds.kind(file)](file, [Download(file.name, kinds.read(file))])

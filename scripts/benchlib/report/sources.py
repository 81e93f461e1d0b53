# SPDX-License-Identifier: MIT OR Apache-2.0
"""From a file or folder to a chapter: which kind of result is it, and who knows how to show it."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from ..compare import chapter as of_compare
from ..foreign import results
from ..gate import chapter as of_gate, store as gate_store
from ..hosts import chapter as of_hosts, overview
from ..page.page import Chapter, Download
from ..qualify import chapter as of_qualify, store as qualify_store
from ..result import kinds, storage
from . import of_fio

Downloads = list[Download]
CHAPTERS: dict[str, Callable[[Path, Downloads], Chapter]] = {
    kinds.COMPARE: lambda file, raw: of_compare.chapter(storage.read(file), raw),
    kinds.GATE: lambda file, raw: of_gate.chapter(gate_store.read(file), raw),
    kinds.FIO: lambda path, raw: of_fio.chapter(results.read(path), raw),
    kinds.QUALIFY: lambda file, raw: of_qualify.chapter(qualify_store.read(file), raw),
}


def chapters(path: Path) -> list[Chapter]:
    """The chapter on the result in a folder or file; of many hosts, several."""
    file = kinds.locate(path)
    kind = kinds.kind(file)
    if kind == kinds.HOSTS:
        return of_hosts.chapters(overview.read(file), file.parent)
    raw = Download(f"{file.name}.json" if file.is_dir() else file.name, results.raw(file))
    return [CHAPTERS[kind](file, [raw])]

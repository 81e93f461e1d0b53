# SPDX-License-Identifier: MIT OR Apache-2.0
"""From a file or folder to a chapter: which kind of result is it, and who knows how to show it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from .. import results
from ..errors import refuse
from ..qualify import store
from . import of_compare, of_qualify
from .page import Chapter, Download


@dataclass(frozen=True)
class Kind:
    """One kind of result: its file's name, its schema's name, and how it becomes a chapter."""

    file: str
    schema: str  # without the version
    chapter: Callable[[Path, list[Download]], Chapter]


def _compare(file: Path, downloads: list[Download]) -> Chapter:
    return of_compare.chapter(results.read(file), downloads)


def _qualify(file: Path, downloads: list[Download]) -> Chapter:
    return of_qualify.chapter(store.read(file), downloads)


KINDS = (
    Kind(results.RESULT, "libblkio-bench", _compare),
    Kind(store.FILE, "libblkio-qualification", _qualify),
)


def chapter(path: Path) -> Chapter:
    """The chapter on the result in a folder or file."""
    file = _file(path)
    kind = _kind(file)
    return kind.chapter(file, [Download(file.name, _read(file))])


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = [path / kind.file for kind in KINDS if (path / kind.file).exists()]
    if not found:
        names = ", ".join(kind.file for kind in KINDS)
        raise refuse(f"{path} holds no result (none of {names})",
                     "Name a folder that scripts/bench wrote.")
    return found[0]


def _kind(file: Path) -> Kind:
    try:
        value = json.loads(_read(file))
    except ValueError as error:
        raise refuse(f"{file} is not JSON: {error}") from error
    schema = str(value.get("schema", "")) if isinstance(value, dict) else ""
    for kind in KINDS:
        if schema.rpartition("/")[0] == kind.schema:
            return kind
    raise refuse(f"{file} is no result: its schema is {schema!r:.60}",
                 f"Known are {', '.join(kind.schema for kind in KINDS)}.")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise refuse(f"cannot read {file}: {error.strerror}") from error



# SPDX-License-Identifier: MIT OR Apache-2.0
"""Any comparison by its path: one of scripts/bench, fio's JSON, or a folder of such."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import refuse
from ..result import kinds, storage
from ..result.model import Result
from . import convert, fio_json


def read(path: Path) -> Result:
    """The result in a folder or file; files of fio that are no answer are refused."""
    file = kinds.locate(path)
    if kinds.kind(file) != kinds.FIO:
        return storage.read(file)
    found = []
    for name in files(file):
        answer = fio_json.parse(kinds.read(name).decode(errors="replace"))
        if answer is not None:
            found += fio_json.runs(name, answer)
        elif name == file:
            raise refuse(f"{file} is not JSON as fio writes it",
                         "Let fio write --output-format=json+, which has all latencies.")
    return convert.result(found, path.name or str(path))


def files(path: Path) -> list[Path]:
    """The files behind a result: all JSON below a folder, in the order of their names."""
    return sorted(path.rglob("*.json")) if path.is_dir() else [path]


def raw(path: Path) -> bytes:
    """All that was read, as one piece: of a folder, a JSON object of its files."""
    if not path.is_dir():
        return kinds.read(path)
    return json.dumps({str(file.relative_to(path)): kinds.read(file).decode(errors="replace")
                       for file in files(path)}, indent=0).encode()

# SPDX-License-Identifier: MIT OR Apache-2.0
"""Which kind of result a folder or file holds; what all that read any kind have in common."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import refuse
from . import storage

COMPARE, GATE, QUALIFY = "libblkio-bench", "libblkio-gate", "libblkio-qualification"
HOSTS = "libblkio-hosts"  # qualifications of several hosts
FIO = "fio"  # JSON that fio wrote, or a folder of such
FIO_MARK = b'"fio version"'
MARK_WITHIN = 1 << 16  # bytes; fio may print other lines first
FILES = {COMPARE: storage.RESULT, GATE: storage.GATE, QUALIFY: storage.QUALIFICATION,
         HOSTS: storage.HOSTS}


def locate(path: Path) -> Path:
    """The file of the result in a folder, or the file itself; a folder of fio's JSON as it is."""
    if not path.is_dir():
        return path
    found = [path / name for name in FILES.values() if (path / name).exists()]
    if not found and any(FIO_MARK in read(file, MARK_WITHIN) for file in path.rglob("*.json")):
        return path
    if not found:
        raise refuse(f"{path} holds no result (none of {', '.join(FILES.values())}, no JSON of fio)",
                     "Name a folder that scripts/bench or fio wrote.")
    return found[0]


def kind(file: Path) -> str:
    """One of FILES, by the schema that the file names, whatever its version; or FIO."""
    if file.is_dir():
        return FIO
    data = read(file)
    try:
        value = json.loads(data)
    except ValueError as error:
        if FIO_MARK in data[:MARK_WITHIN]:  # with other lines around it
            return FIO
        raise refuse(f"{file} is not JSON: {error}") from error
    if isinstance(value, dict) and "schema" not in value and "fio version" in value:
        return FIO
    schema = value.get("schema") if isinstance(value, dict) else None
    name = str(schema).rpartition("/")[0]
    if name not in FILES:
        raise refuse(f"{file} is not a result: its schema is {schema!r:.60}",
                     f"Known are {', '.join(FILES)}, and JSON of fio.")
    return name


def read(file: Path, most: int = -1) -> bytes:
    try:
        with file.open("rb") as data:
            return data.read(most)
    except OSError as error:
        raise refuse(f"cannot read {file}: {error.strerror}") from error

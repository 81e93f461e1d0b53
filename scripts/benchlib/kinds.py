# SPDX-License-Identifier: MIT OR Apache-2.0
"""Which kind of result a folder or file holds; what all that read any kind have in common."""

from __future__ import annotations

import json
from pathlib import Path

from . import results
from .errors import refuse
from .qualify import store as qualify_store

COMPARE, GATE, QUALIFY = "libblkio-bench", "libblkio-gate", "libblkio-qualification"
FILES = {COMPARE: results.RESULT, GATE: results.GATE, QUALIFY: qualify_store.FILE}


def locate(path: Path) -> Path:
    """The file of the result in a folder, or the file itself."""
    if not path.is_dir():
        return path
    found = [path / name for name in FILES.values() if (path / name).exists()]
    if not found:
        raise refuse(f"{path} holds no result (none of {', '.join(FILES.values())})",
                     "Name a folder that scripts/bench wrote.")
    return found[0]


def kind(file: Path) -> str:
    """One of FILES, by the schema that the file names, whatever its version."""
    try:
        value = json.loads(read(file))
    except ValueError as error:
        raise refuse(f"{file} is not JSON: {error}") from error
    schema = value.get("schema") if isinstance(value, dict) else None
    name = str(schema).rpartition("/")[0]
    if name not in FILES:
        raise refuse(f"{file} is no result: its schema is {schema!r:.60}",
                     f"Known are {', '.join(FILES)}.")
    return name


def read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise refuse(f"cannot read {file}: {error.strerror}") from error

# SPDX-License-Identifier: MIT OR Apache-2.0
"""Results on disk: one folder each, with result.json as the whole truth and the rest drawn from it.

    result.json      everything, in the schema of model.py; read back only if it fits that schema
    table.txt        the table and the verdict as printed
    environment.txt  the machine and the software
    chart.svg        the picture
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, TypeVar

from ..errors import BenchError, refuse
from ..prepare import ROOT
from .codec import DecodeError, decode, encode
from .model import SCHEMA, Result
from .upgrade import upgrade

RESULT, GATE, QUALIFICATION = "result.json", "gate.json", "qualification.json"
HOSTS = "hosts.json"  # names the folders of several qualifications
T = TypeVar("T")
_NUMBERS = re.compile(r"\[[\d,\s]+\]")  # as json writes them: one number a line


def new_folder(kind: str, output: str | None, *files: str,
               remedy: str = "Move it away or choose another --output.") -> Path:
    """The folder for a new result: --output, or one with kind and time in its name. Refused when
    it holds one of `files`, which a result of this kind has."""
    folder = Path(output) if output else \
        ROOT / "results" / f"{kind}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    if any((folder / file).exists() for file in files):
        raise refuse(f"{folder} holds a result already", remedy)
    return folder.absolute()


def prepare_folder(folder: Path) -> None:
    """Make the folder, or say now and not after the measurement that it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise refuse(f"cannot write results to {folder}: {error.strerror}",
                     "Choose another folder with --output.") from error


def drop_if_empty(folder: Path) -> None:
    """Take back prepare_folder() when there is nothing to keep."""
    if not any(folder.iterdir()):
        folder.rmdir()


def write(folder: Path, result: Result) -> None:
    write_json(folder / RESULT, result)


def keep(folder: Path, file: str, value: Any) -> Path:
    """Write JSON into a folder, or where there is room: a measurement is not to be lost to a full
    disk. Gives the folder."""
    try:
        write_json(folder / file, value)
        return folder
    except BenchError as error:
        other = Path(tempfile.mkdtemp(prefix="libblkio-bench-"))
        print(f"bench: {error}; {file} goes to {other}", file=sys.stderr)
        write_json(other / file, value)
        return other


def write_json(path: Path, value: Any) -> None:
    """Write a dataclass as JSON, complete or not at all."""
    text = json.dumps(encode(value), indent=1, allow_nan=False)
    write_text(path, _NUMBERS.sub(_on_one_line, text) + "\n")


def _on_one_line(numbers: re.Match[str]) -> str:
    return "".join(numbers[0].split())


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file in one step, so that no reader sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise BenchError(f"cannot write {path}: {error.strerror}",
                         "Choose another --output.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def read(path: Path) -> Result:
    """The result in a folder or file, checked against the schema."""
    file = path / RESULT if path.is_dir() else path
    return read_as(file, Result, SCHEMA, _check)


def read_as(file: Path, kind: type[T], wanted: str, check: Callable[[T], None]) -> T:
    """The value of a class in a JSON file whose schema is `wanted`, or an older one of it. check
    raises DecodeError for what types alone do not say."""
    try:
        value = json.loads(file.read_text())
    except OSError as error:
        raise refuse(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise refuse(f"{file} is not JSON: {error}") from error
    try:
        if isinstance(value, dict):
            value = upgrade(value)
        schema = value.get("schema") if isinstance(value, dict) else None
        if schema != wanted:
            raise refuse(f"{file} has schema {schema!r}, this program reads {wanted!r}",
                         "Use the version of the project that wrote it.")
        found = decode(kind, value)
        check(found)
        return found
    except DecodeError as error:
        raise refuse(f"{file} does not fit its schema: {error}") from error


def _check(result: Result) -> None:
    """What types alone do not say."""
    targets = {target.name for target in result.targets}
    engines = {engine.name for engine in result.engines}
    for kind, items in (("samples", result.samples), ("summaries", result.summaries),
                        ("system_calls", result.system_calls)):
        for i, item in enumerate(items):
            if item.case.target not in targets or item.engine not in engines:
                raise DecodeError(f"{kind}[{i}]: {item.case.target}/{item.engine} is not listed")
    for engine in result.engines:
        if engine.against and engine.against not in engines:
            raise DecodeError(f"engines: {engine.name} is compared with "
                              f"{engine.against}, which is not listed")
    for i, sample in enumerate(result.samples):
        where = f"samples[{i}]"
        if len(sample.latency.bins) != len(sample.latency.counts):
            raise DecodeError(f"{where}.latency: bins and counts differ in number")
        if sample.mean <= 0 or sample.ios <= 0:
            raise DecodeError(f"{where}: mean and ios must be positive")

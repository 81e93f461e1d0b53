# SPDX-License-Identifier: MIT OR Apache-2.0
"""The history's file: SQLite, one row per entry, one per figure, and each result as it was.

A file of another program, or of a newer version, is refused and left as it is.
"""

from __future__ import annotations

import datetime
import gzip
import hashlib
import json
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from ..errors import BenchError, refuse
from . import machine
from .figures import Figure, Measured

APPLICATION = 0x626B696F  # "bkio", in the file's header
VERSION = 1
SCHEMA = """
CREATE TABLE machines (id TEXT PRIMARY KEY, facts TEXT NOT NULL) STRICT;
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    started TEXT NOT NULL, added TEXT NOT NULL, label TEXT NOT NULL, complete INTEGER NOT NULL,
    machine TEXT NOT NULL REFERENCES machines, circumstances TEXT NOT NULL, raw BLOB NOT NULL
) STRICT;
CREATE TABLE figures (
    entry INTEGER NOT NULL REFERENCES entries ON DELETE CASCADE, series TEXT NOT NULL,
    medium TEXT NOT NULL, metric TEXT NOT NULL, value REAL NOT NULL, low REAL NOT NULL,
    high REAL NOT NULL, rounds TEXT NOT NULL, PRIMARY KEY (entry, series, medium, metric)
) STRICT;
"""


@dataclass(frozen=True)
class Entry:
    id: int
    kind: str
    started: str
    label: str
    complete: bool
    machine: str
    circumstances: dict[str, str]
    figures: int


class History:
    """An open history; all changes of one call are made together or not at all."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def add(self, found: Measured, raw: bytes, label: str) -> int | None:
        """The new entry's number; None when the very same result is there already."""
        digest = hashlib.sha256(raw).hexdigest()
        name = machine.fingerprint(found.environment)
        with self._database as database:
            if database.execute("SELECT 1 FROM entries WHERE digest = ?", (digest,)).fetchone():
                return None
            database.execute("INSERT OR IGNORE INTO machines VALUES (?, ?)",
                             (name, json.dumps(machine.facts(found.environment))))
            entry = database.execute(
                "INSERT INTO entries (digest, kind, started, added, label, complete, machine,"
                " circumstances, raw) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (digest, found.kind, found.started,
                 datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), label,
                 found.complete, name, json.dumps(machine.circumstances(found.environment)),
                 gzip.compress(raw, mtime=0))).lastrowid
            database.executemany(
                "INSERT INTO figures VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(entry, f.series, f.medium, f.metric, f.value, f.low, f.high,
                  json.dumps(f.rounds)) for f in found.figures])
        return entry

    def machines(self) -> dict[str, dict[str, str]]:
        return {name: json.loads(facts) for name, facts in
                self._database.execute("SELECT id, facts FROM machines ORDER BY rowid")}

    def entries(self, only_machine: str = "") -> list[Entry]:
        """In the order in which they were measured."""
        rows = self._database.execute(
            "SELECT id, kind, started, label, complete, machine, circumstances,"
            " (SELECT count(*) FROM figures WHERE entry = entries.id) FROM entries"
            " WHERE ? IN ('', machine) ORDER BY started, id", (only_machine,))
        return [Entry(*row[:4], bool(row[4]), row[5], json.loads(row[6]), row[7]) for row in rows]

    def figures(self, entry: int, metric: str = "") -> list[Figure]:
        rows = self._database.execute(
            "SELECT series, medium, metric, value, low, high, rounds FROM figures"
            " WHERE entry = ? AND ? IN ('', metric) ORDER BY series, medium, metric",
            (entry, metric))
        return [Figure(*row[:6], json.loads(row[6])) for row in rows]

    def raw(self, entry: int) -> bytes:
        """The result as it was added."""
        row = self._database.execute("SELECT raw FROM entries WHERE id = ?", (entry,)).fetchone()
        return gzip.decompress(row[0])


@contextmanager
def opened(path: Path, create: bool = False) -> Iterator[History]:
    """The history in a file, or in a folder under its usual name."""
    file = path / "history.sqlite" if path.is_dir() else path
    if not create and not file.exists():
        raise refuse(f"there is no history {file}",
                     "Begin one: scripts/bench history add RESULT, or name one with --history.")
    try:
        database = sqlite3.connect(file, timeout=10)
        try:
            _prepare(database, file)
            yield History(database)
        finally:
            database.close()
    except sqlite3.Error as error:
        raise BenchError(f"cannot use the history {file}: {error}",
                         "Is it a history, readable and writable? Name another with --history.") \
            from error


def _prepare(database: sqlite3.Connection, file: Path) -> None:
    """A new file gets its tables; any other must be one of ours, of this version."""
    database.execute("PRAGMA foreign_keys = ON")
    (application,), (version,) = (database.execute(f"PRAGMA {name}").fetchone()
                                  for name in ("application_id", "user_version"))
    empty = database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    if empty and application == 0:
        with database:
            database.executescript(f"BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION};"
                                   f"PRAGMA user_version = {VERSION}; COMMIT;")
    elif application != APPLICATION:
        raise refuse(f"{file} is an SQLite file of another program", "Name another --history.")
    elif version != VERSION:
        raise refuse(f"{file} is a history of version {version}, this program knows {VERSION}",
                     "Use the version of the project that wrote it.")

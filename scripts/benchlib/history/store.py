# SPDX-License-Identifier: MIT OR Apache-2.0
"""A history: one row per entry, one per figure, and each result as it was.

A database of another program, or of a newer version, is refused and left as it is.
"""

from __future__ import annotations

import datetime
import gzip
import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Iterator, Sequence

import sqlalchemy as sa

from . import database, machine, schema
from .figures import Measured, Reading
from .schema import ENTRIES, FIGURES, MACHINES


@dataclass(frozen=True)
class Entry:
    id: int
    kind: str
    started: str
    label: str
    complete: bool
    machine: str
    circumstances: dict[str, str]
    verdict: str  # of the whole result, where it has one
    figures: int


class History:
    """An open history; all changes of one call are made together or not at all."""

    def __init__(self, engine: sa.engine.Engine) -> None:
        self._engine = engine

    def add(self, found: Measured, raw: bytes, label: str) -> int | None:
        """The new entry's number; None when the very same result is there already."""
        digest = hashlib.sha256(raw).hexdigest()
        name = machine.fingerprint(found.environment)
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        with self._engine.begin() as connection:
            database.insert_new(connection, MACHINES,
                                {"id": name, "facts": machine.facts(found.environment)})
            if not database.insert_new(connection, ENTRIES, {
                    "digest": digest, "kind": found.kind, "started": found.started, "added": now,
                    "label": label, "complete": found.complete, "machine": name,
                    "circumstances": machine.circumstances(found.environment),
                    "raw": gzip.compress(raw, mtime=0), "verdict": found.verdict}):
                return None
            entry = int(connection.execute(
                sa.select(ENTRIES.c.id).where(ENTRIES.c.digest == digest)).scalar_one())
            if found.figures:
                connection.execute(sa.insert(FIGURES), [
                    {"entry": entry, "series": f.series, "medium": f.medium, "metric": f.metric,
                     "value": f.value, "low": f.low, "high": f.high, "rounds": f.rounds,
                     "verdict": f.verdict} for f in found.figures])
        return entry

    def machines(self) -> dict[str, dict[str, str]]:
        """In the order in which their first entries were added."""
        first = sa.select(sa.func.min(ENTRIES.c.id)).where(
            ENTRIES.c.machine == MACHINES.c.id).scalar_subquery()
        with self._engine.begin() as connection:
            return {row.id: row.facts for row in
                    connection.execute(sa.select(MACHINES.c.id, MACHINES.c.facts).order_by(first))}

    def entries(self, only_machine: str = "") -> list[Entry]:
        """In the order in which they were measured."""
        figures = sa.select(sa.func.count()).where(
            FIGURES.c.entry == ENTRIES.c.id).scalar_subquery()
        chosen = sa.select(ENTRIES.c.id, ENTRIES.c.kind, ENTRIES.c.started, ENTRIES.c.label,
                           ENTRIES.c.complete, ENTRIES.c.machine, ENTRIES.c.circumstances,
                           ENTRIES.c.verdict, figures)
        if only_machine:
            chosen = chosen.where(ENTRIES.c.machine == only_machine)
        with self._engine.begin() as connection:
            found = [Entry(*row) for row in connection.execute(chosen)]
        return sorted(found, key=lambda entry: (entry.started, entry.id))

    def figures(self, entry: int, metric: str = "") -> list[Reading]:
        """Of one entry, by their names."""
        found = self.readings([entry], [metric] if metric else []).get(entry, [])
        return sorted(found, key=lambda f: (f.series, f.medium, f.metric))

    def readings(self, entries: Sequence[int],
                 metrics: Sequence[str] = ()) -> dict[int, list[Reading]]:
        """The figures of several entries, by entry; of these metrics or of all."""
        chosen = sa.select(FIGURES.c.entry, FIGURES.c.series, FIGURES.c.medium, FIGURES.c.metric,
                           FIGURES.c.value, FIGURES.c.low, FIGURES.c.high, FIGURES.c.rounds,
                           FIGURES.c.verdict).where(FIGURES.c.entry.in_(list(entries)))
        if metrics:
            chosen = chosen.where(FIGURES.c.metric.in_(list(metrics)))
        found: dict[int, list[Reading]] = {}
        with self._engine.begin() as connection:
            for row in connection.execute(chosen):
                found.setdefault(row.entry, []).append(Reading(*row[1:]))
        return found

    def raw(self, entry: int) -> bytes:
        """The result as it was added."""
        with self._engine.begin() as connection:
            return gzip.decompress(connection.execute(
                sa.select(ENTRIES.c.raw).where(ENTRIES.c.id == entry)).scalar_one())


@contextmanager
def opened(place: str, create: bool = False) -> Iterator[History]:
    """The history in a file, in a folder under its usual name, or on a PostgreSQL server."""
    with database.opened(place, create) as engine:
        yield History(engine)


def migrated(place: str) -> int:
    """Bring an older history to today's tables; gives the version that it had."""
    with database.opened(place, any_version=True) as engine, engine.begin() as connection:
        return schema.migrate(connection)

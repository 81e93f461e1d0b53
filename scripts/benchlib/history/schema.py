# SPDX-License-Identifier: MIT OR Apache-2.0
"""The history's tables, for SQLite and PostgreSQL alike, and how older ones become today's.

VERSION 2 added the verdicts. In PostgreSQL the tables are in a schema of their own, so that a
history can share a database with other programs.
"""

from __future__ import annotations

from typing import Callable

import sqlalchemy as sa

from ..errors import refuse

VERSION = 2
NAMESPACE = "libblkio_bench"  # PostgreSQL's schema
APPLICATION = 0x626B696F  # "bkio", in the header of an SQLite file
LOCK = APPLICATION  # PostgreSQL's advisory lock while tables are made or changed

METADATA = sa.MetaData()
HISTORY = sa.Table("libblkio_history", METADATA, sa.Column("version", sa.Integer, nullable=False))
MACHINES = sa.Table(
    "machines", METADATA, sa.Column("id", sa.Text, primary_key=True),
    sa.Column("facts", sa.JSON, nullable=False))
ENTRIES = sa.Table(
    "entries", METADATA, sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False), sa.Column("started", sa.Text, nullable=False),
    sa.Column("added", sa.Text, nullable=False), sa.Column("label", sa.Text, nullable=False),
    sa.Column("complete", sa.Boolean, nullable=False),
    sa.Column("machine", sa.Text, sa.ForeignKey("machines.id"), nullable=False),
    sa.Column("circumstances", sa.JSON, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False, server_default=""))
FIGURES = sa.Table(
    "figures", METADATA,
    sa.Column("entry", sa.Integer, sa.ForeignKey("entries.id", ondelete="CASCADE"),
              primary_key=True, autoincrement=False),
    sa.Column("series", sa.Text, primary_key=True), sa.Column("medium", sa.Text, primary_key=True),
    sa.Column("metric", sa.Text, primary_key=True),
    sa.Column("value", sa.Float(53), nullable=False), sa.Column("low", sa.Float(53), nullable=False),
    sa.Column("high", sa.Float(53), nullable=False), sa.Column("rounds", sa.JSON, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False, server_default=""))


def version(connection: sa.engine.Connection) -> int:
    """Of the history's tables; 0 where there is nothing yet. Refuses those of other programs."""
    sqlite = _is_sqlite(connection)
    tables = sa.inspect(connection).get_table_names(schema=None if sqlite else NAMESPACE)
    if HISTORY.name in tables:
        return int(connection.execute(sa.select(HISTORY.c.version)).scalar_one())
    if sqlite and (application := _pragma(connection, "application_id")):
        if application == APPLICATION:
            return _pragma(connection, "user_version")  # version 1 had nothing else
    elif not tables:
        return 0
    raise refuse(f"{connection.engine.url.database} is a database of another program",
                 "Name another --history.")


def create(connection: sa.engine.Connection) -> None:
    """All tables of today, unless another writer has made them meanwhile."""
    _lock(connection)
    if version(connection) == 0:
        METADATA.create_all(connection)
        _mark(connection)


def migrate(connection: sa.engine.Connection) -> int:
    """Bring the tables to VERSION; gives the version that they had."""
    _lock(connection)
    found = version(connection)
    for number in range(found, VERSION):
        MIGRATIONS[number](connection)
    if found < VERSION:
        _mark(connection)
    return found


def _from_1(connection: sa.engine.Connection) -> None:
    prefix = "" if _is_sqlite(connection) else f"{NAMESPACE}."
    for table in ("entries", "figures"):
        connection.exec_driver_sql(
            f"ALTER TABLE {prefix}{table} ADD COLUMN verdict TEXT NOT NULL DEFAULT ''")
    HISTORY.create(connection, checkfirst=True)


MIGRATIONS: dict[int, Callable[[sa.engine.Connection], None]] = {1: _from_1}


def _lock(connection: sa.engine.Connection) -> None:
    """One program at a time; an SQLite transaction that may write holds its lock from the start."""
    if not _is_sqlite(connection):
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
        if NAMESPACE not in sa.inspect(connection).get_schema_names():
            connection.exec_driver_sql(f"CREATE SCHEMA {NAMESPACE}")


def _mark(connection: sa.engine.Connection) -> None:
    """Record VERSION, for us and for a program that knows version 1 only."""
    connection.execute(sa.delete(HISTORY))
    connection.execute(sa.insert(HISTORY).values(version=VERSION))
    if _is_sqlite(connection):
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION}")
        connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")


def _is_sqlite(connection: sa.engine.Connection) -> bool:
    return bool(connection.dialect.name == "sqlite")


def _pragma(connection: sa.engine.Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())

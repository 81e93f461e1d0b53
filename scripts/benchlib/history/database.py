# SPDX-License-Identifier: MIT OR Apache-2.0
"""Where a history is: an SQLite file, or a PostgreSQL server that several machines write to.

All that differs between the two is here and in schema.py. PostgreSQL's driver is needed only where
a history is on a server.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import QueuePool

from .. import prepare
from ..errors import BenchError, refuse
from . import schema
from .options import FILE

WAIT_SECONDS = 30  # for a writer of an SQLite file, and for a server to answer
INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def insert_new(connection: sa.engine.Connection, table: sa.Table, row: dict[str, object]) -> bool:
    """Insert a row unless there is one of its key; also while others do the same."""
    statement = INSERT[connection.dialect.name](table).values(**row).on_conflict_do_nothing()
    return bool(connection.execute(statement).rowcount)


@contextmanager
def opened(place: str, create: bool = False,
           any_version: bool = False) -> Iterator[sa.engine.Engine]:
    """The database of a history, whose tables are those of today unless any_version."""
    engine = _on_server(place) if "://" in place \
        else _in_file(Path(place), create, write=create or any_version)
    name = engine.url.render_as_string(hide_password=True) if "://" in place \
        else engine.url.database
    try:
        with engine.begin() as connection:
            found = schema.version(connection)
        if found == 0 and create:
            with engine.begin() as connection:
                schema.create(connection)
        elif found == 0:
            raise refuse(f"there is no history in {name}",
                         "Begin one: scripts/bench history add RESULT, or name one with --history.")
        elif not any_version or found > schema.VERSION:
            _check(found, str(name))
        yield engine
    except sa.exc.SQLAlchemyError as error:
        raise BenchError(f"cannot use the history {name}: {_words(error)}",
                         "Is it a history, readable and writable? Name another with --history.") \
            from error
    finally:
        engine.dispose()


def _check(found: int, name: str) -> None:
    if found > schema.VERSION:
        raise refuse(f"{name} is a history of version {found}, this program knows {schema.VERSION}",
                     "Use the version of the project that wrote it.")
    if found < schema.VERSION:
        raise refuse(f"{name} is a history of version {found}, this program uses {schema.VERSION}",
                     "Bring it up to date: scripts/bench history migrate. Older versions of this "
                     "program cannot\n  use it afterwards.")


def _words(error: sa.exc.SQLAlchemyError) -> str:
    """The database's own message on one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def _in_file(path: Path, create: bool, write: bool) -> sa.engine.Engine:
    file = path / FILE if path.is_dir() else path
    if not create and not file.exists():
        raise refuse(f"there is no history {file}",
                     "Begin one: scripts/bench history add RESULT, or name one with --history.")
    engine = sa.create_engine(
        sa.engine.URL.create("sqlite", database=str(file)), future=True, poolclass=QueuePool,
        pool_size=1, max_overflow=0, connect_args={"timeout": WAIT_SECONDS})

    # sqlite3 would begin transactions late, and none for tables; we begin them, to write at once.
    @sa.event.listens_for(engine, "connect")
    def _connect(connection: object, _record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]
        connection.execute("PRAGMA foreign_keys = ON")  # type: ignore[attr-defined]

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.engine.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _on_server(place: str) -> sa.engine.Engine:
    try:
        url = sa.engine.make_url(place)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise refuse("--history: this is not a URL such as postgresql://USER@HOST/DATABASE") \
            from error
    if url.drivername not in ("postgresql", "postgres"):
        raise refuse(f"--history: a history cannot be kept in {url.drivername}",
                     "Name a file, or postgresql://USER@HOST/DATABASE.")
    prepare.set_up_postgresql()
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg2"), future=True, poolclass=QueuePool, pool_size=1,
        max_overflow=0, connect_args={"connect_timeout": WAIT_SECONDS,
                                      "application_name": "libblkio bench"})
    return engine.execution_options(schema_translate_map={None: schema.NAMESPACE})

#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""A history on a PostgreSQL server: the same as in a file, several writers, roles, migration, the
Grafana dashboard's queries."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator

import sqlalchemy as sa

from postgres import Server
from report_support import comparison, gated, qualification
from support import BENCH, ROOT, main
from benchlib.errors import BenchError
from benchlib.history import database, figures, schema, store, trends
from benchlib.qualify import store as qualify_store
from benchlib.result import storage

WRITERS, EACH = 3, 3


def results(folder: Path, days: int) -> Iterator[Path]:
    """A comparison and a gate of each day."""
    for day in range(1, days + 1):
        started = f"2026-01-{day:02}T00:00:00+00:00"
        for name, result in ((storage.RESULT, comparison(rounds=2, started=started)),
                             (storage.GATE, gated(started=started))):
            place = folder / f"{day}-{name}"
            place.mkdir(exist_ok=True)
            storage.write_json(place / name, result)
            yield place / name


class OnServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        if importlib.util.find_spec("psycopg2") is None:
            raise unittest.SkipTest("PostgreSQL's driver is not installed (python3-psycopg2)")
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.files = list(results(cls.folder, 2))
        qualify_store.write(cls.folder, qualification())
        cls.files.append(cls.folder / storage.QUALIFICATION)

    def setUp(self) -> None:
        self.name = self.id().rpartition(".")[2][:60]
        self.server.sql(f'CREATE DATABASE "{self.name}"')
        self.url = self.server.url(self.name)

    def fill(self, place: str) -> None:
        with store.opened(place, create=True) as history:
            for file in self.files:
                history.add(figures.measured(file), file.read_bytes(), "v1")

    def contents(self, place: str) -> Any:
        with store.opened(place) as history:
            machines, entries = history.machines(), history.entries()
            return (machines, entries, [history.figures(entry.id) for entry in entries],
                    [history.raw(entry.id) for entry in entries],
                    trends.trends(history, next(iter(machines))))

    def test_the_same_as_in_a_file(self) -> None:
        file = str(self.folder / "history.sqlite")
        for place in (file, self.url):
            self.fill(place)
        self.assertEqual(self.contents(self.url), self.contents(file))
        self.fill(self.url)  # nothing is new
        self.assertEqual(len(self.contents(self.url)[1]), len(self.files))

    def test_several_writers_at_once(self) -> None:
        """Processes that all make the tables and add the same results: each is kept once."""
        given = [str(file) for file in results(self.folder, EACH)]
        command = [BENCH, "history", "--history", self.url, "add", *given]
        writers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                    text=True) for _ in range(WRITERS)]
        outputs = [writer.communicate(timeout=300)[0] for writer in writers]
        self.assertEqual([writer.returncode for writer in writers], [0] * WRITERS, outputs)
        self.assertEqual("".join(outputs).count(": entry "), len(given), outputs)
        self.assertEqual("".join(outputs).count("is there already"), (WRITERS - 1) * len(given))
        with store.opened(self.url) as history:
            self.assertEqual(len(history.entries()), len(given))
            self.assertTrue(all(entry.figures for entry in history.entries()))

    def test_all_begin_the_history_at_once(self) -> None:
        """Who comes second finds the tables made, however close."""
        together = threading.Barrier(WRITERS)

        def begin(_number: int) -> str:
            together.wait(60)
            try:
                with store.opened(self.url, create=True) as history:
                    return str(history.entries())
            except BenchError as error:
                return str(error)

        for _ in range(5):
            with ThreadPoolExecutor(WRITERS) as pool:
                self.assertEqual(list(pool.map(begin, range(WRITERS))), ["[]"] * WRITERS)
            self.server.sql("DROP SCHEMA libblkio_bench CASCADE", self.name)

    def test_roles(self) -> None:
        self.server.sql((ROOT / "docs" / "history-roles.sql").read_text(), self.name)
        self.addCleanup(self.server.sql, "DROP ROLE ci, grafana, owner")
        self.addCleanup(self.server.sql, f"DROP OWNED BY bench_owner CASCADE; DROP ROLE bench_owner;"
                        "DROP OWNED BY bench_writer; DROP ROLE bench_writer;"
                        "DROP OWNED BY bench_reader; DROP ROLE bench_reader", self.name)
        self.server.sql("CREATE ROLE owner LOGIN; GRANT bench_owner TO owner;"
                        "ALTER ROLE owner SET role = bench_owner;"
                        "CREATE ROLE ci LOGIN; GRANT bench_writer TO ci;"
                        "CREATE ROLE grafana LOGIN; GRANT bench_reader TO grafana")
        owner, ci, reader = (self.server.url(self.name, user) for user in ("owner", "ci", "grafana"))
        file = self.files[0]

        def add(place: str, which: Path) -> int | None:
            with store.opened(place, create=True) as history:
                return history.add(figures.measured(which), which.read_bytes(), "")

        with self.assertRaisesRegex(BenchError, "permission denied"):
            add(ci, file)  # cannot make the tables
        self.assertEqual(add(owner, file), 1)
        self.assertIsNotNone(add(ci, self.files[1]))
        self.assertEqual(len(self.contents(reader)[1]), 2)
        with self.assertRaisesRegex(BenchError, "permission denied"):
            add(reader, self.files[2])
        for change in ("DELETE FROM libblkio_bench.entries", "DROP TABLE libblkio_bench.figures",
                       "UPDATE libblkio_bench.figures SET value = 1"):
            with self.subTest(change), self.assertRaisesRegex(BenchError, "permission|owner"):
                with database.opened(ci) as engine, engine.begin() as connection:
                    connection.execute(sa.text(change))

    def test_an_older_history_is_migrated_when_told_to(self) -> None:
        self.fill(self.url)
        before = self.contents(self.url)
        self.server.sql("DROP TABLE libblkio_bench.libblkio_history;"
                        "ALTER TABLE libblkio_bench.entries DROP COLUMN verdict;"
                        "ALTER TABLE libblkio_bench.figures DROP COLUMN verdict;"
                        "CREATE TABLE libblkio_bench.libblkio_history (version integer NOT NULL);"
                        "INSERT INTO libblkio_bench.libblkio_history VALUES (1)", self.name)
        with self.assertRaisesRegex(BenchError, "history migrate"):
            self.contents(self.url)
        self.assertEqual(store.migrated(self.url), 1)
        after = self.contents(self.url)
        self.assertEqual(store.migrated(self.url), schema.VERSION)
        self.assertEqual(after[0], before[0])
        self.assertEqual(after[3], before[3])

    def test_what_cannot_be_used_is_refused(self) -> None:
        secret = "hunter2"
        for place, words in (
                (self.url, "there is no history"),
                (f"postgresql://me:{secret}@/none?host={self.server.data}", "cannot use"),
                (f"mysql://me:{secret}@host/db", "cannot be kept in mysql")):
            with self.subTest(words), self.assertRaisesRegex(BenchError, words) as caught:
                self.contents(place)
            self.assertNotIn(secret, str(caught.exception))
        self.server.sql("CREATE SCHEMA libblkio_bench; CREATE TABLE libblkio_bench.x (y int)",
                        self.name)
        with self.assertRaisesRegex(BenchError, "another program"):
            self.fill(self.url)

    def test_the_dashboard(self) -> None:
        """Valid JSON whose every query gives rows; Grafana's macros are replaced as it does."""
        self.fill(self.url)
        board = json.loads((ROOT / "docs" / "history-grafana.json").read_text())
        queries = [target["rawSql"] for panel in board["panels"] for target in panel["targets"]]
        queries += [variable["query"] for variable in board["templating"]["list"]]
        self.server.sql("UPDATE libblkio_bench.entries SET verdict = 'regress' WHERE kind = 'gate'",
                        self.name)
        queries += [mark["rawQuery"] for mark in board["annotations"]["list"]]
        macros = (("$__timeFilter(e.started::timestamptz)",
                   "e.started::timestamptz BETWEEN '2025-01-01T00:00:00Z' AND '2027-01-01T00:00:00Z'"),
                  ("$machine", "SELECT id FROM libblkio_bench.machines"),
                  ("$series", "SELECT series FROM libblkio_bench.figures"))
        with database.opened(self.url) as engine, engine.begin() as connection:
            for query in queries:
                text = query
                for macro, value in macros:
                    text = text.replace(macro, value)
                with self.subTest(query):
                    self.assertNotIn("$", text)
                    self.assertTrue(connection.exec_driver_sql(text.replace("%", "%%")).all())
        used = {panel["datasource"]["uid"] for panel in board["panels"]}
        self.assertEqual(used, {f"${{{item['name']}}}" for item in board["__inputs"]})
        self.assertEqual(len({panel["id"] for panel in board["panels"]}), len(board["panels"]))


class WithoutDriver(unittest.TestCase):
    def test_a_file_needs_no_driver(self) -> None:
        """SQLite works where PostgreSQL's driver is missing."""
        code = ("import sys; sys.modules['psycopg2'] = None\n"
                "from benchlib.history import store\n"
                "with store.opened(sys.argv[1], create=True) as history:\n"
                "    print(history.entries())\n")
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, "-c", code, f"{folder}/h.sqlite"],
                                  env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
                                  capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((done.stdout, done.stderr), ("[]\n", ""))


if __name__ == "__main__":
    main()

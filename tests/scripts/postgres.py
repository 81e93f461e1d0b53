# SPDX-License-Identifier: MIT OR Apache-2.0
"""A PostgreSQL server of a test's own: Debian's programs, a new cluster, a Unix socket only."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from support import SKIPPED  # noqa: F401  (support sets the path to benchlib)

USER = "postgres"  # of the database; the cluster's superuser
PORT = 5432  # the name of the socket, not of a TCP port
PATIENCE = 60
SETTINGS = {"listen_addresses": "", "fsync": "off", "shared_buffers": "16MB",
            "max_connections": "20", "dynamic_shared_memory_type": "mmap"}


def _programs() -> Path:
    """The folder of initdb and postgres, which Debian keeps out of PATH."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not found:
        raise unittest.SkipTest("Debian's PostgreSQL server is not installed (package postgresql)")
    return max(found, key=lambda path: int(path.parent.name))


class Server:
    """Runs until close(). The server refuses to be root, so that root runs it as nobody."""

    def __init__(self) -> None:
        programs = _programs()
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.data.mkdir()
        self._as_user = []
        if os.getuid() == 0:
            shutil.chown(self.data, "nobody")
            self._as_user = ["setpriv", "--reuid=nobody", "--clear-groups"]
        self._run(programs / "initdb", "-D", self.data, "-U", USER, "-A", "trust", "-E", "UTF8",
                  "--locale=C.UTF-8", "--no-sync")
        options = [f"-c{name}={value}" for name, value in SETTINGS.items()]
        options.append(f"-cunix_socket_directories={self.data}")
        self._log = (self.folder / "log").open("w")
        self._process = subprocess.Popen(
            [*self._as_user, programs / "postgres", "-D", self.data, *options],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, cwd="/")
        try:
            self._await(programs)
        except BaseException:
            self.close()
            raise

    def _run(self, *command: object) -> str:
        done = subprocess.run([*self._as_user, *map(str, command)], capture_output=True, text=True,
                              cwd="/", timeout=PATIENCE, check=False)
        if done.returncode:
            raise AssertionError(f"{command[0]}: {done.stdout}{done.stderr}")
        return done.stdout

    def _await(self, programs: Path) -> None:
        deadline = time.monotonic() + PATIENCE
        while subprocess.run([programs / "pg_isready", "-q", "-h", self.data],
                             check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start: {(self.folder / 'log').read_text()}")
            time.sleep(0.05)

    def sql(self, text: str, database: str = "postgres") -> None:
        """Run statements as the superuser."""
        self._run(_programs() / "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", self.data, "-U", USER,
                  "-d", database, "-c", text)

    def url(self, database: str, user: str = USER) -> str:
        return f"postgresql://{user}@/{database}?host={self.data}"

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)
        self._log.close()
        shutil.rmtree(self.folder)

# SPDX-License-Identifier: MIT OR Apache-2.0
"""libblkio 1.5, by the engine that fio's own source tree has for it: vhost-user to the same server.

Both come from the tests that compare with libblkio 1.5 (tests/diff) and are used where these have left
them. It is another fio than the one that loads our engine.
"""

from __future__ import annotations

from dataclasses import replace

from ..prepare import ROOT
from . import storage_daemon
from .targets import Target

DEPS = ROOT / ".deps"
FIO = str(ROOT / "tests" / "diff" / "fio-on-1.5")


def is_there() -> bool:
    return (DEPS / "fio-in-tree" / "fio").exists() and \
        any(DEPS.glob("trixie/usr/lib/*-linux-gnu/libblkio.so.1"))


def _obstacle(target: Target) -> str:
    if not is_there():
        return "there is no libblkio 1.5: run tests/diff/make-root and tests/diff/make-fio build"
    return storage_daemon.TRANSPORT.obstacle(target)


def _usual(target: Target) -> bool:
    return is_there() and storage_daemon.usual(target)


VHOST_USER = replace(storage_daemon.TRANSPORT, obstacle=_obstacle, usual=_usual)

# SPDX-License-Identifier: MIT OR Apache-2.0
"""A folder for Unix sockets, whose paths have no more than 107 bytes."""

from __future__ import annotations

import os
import tempfile

MOST_BYTES = 64  # of the folder above: leaves room for the names below it
PLACES = ("/tmp", "/dev/shm", "/run")  # where TMPDIR is too long


def folder(prefix: str) -> "tempfile.TemporaryDirectory[str]":
    """A temporary one, removed when it is left."""
    usual = tempfile.gettempdir()
    if len(os.fsencode(usual)) > MOST_BYTES:
        usual = next((place for place in PLACES if os.access(place, os.W_OK | os.X_OK)), usual)
    return tempfile.TemporaryDirectory(prefix=prefix, dir=usual)

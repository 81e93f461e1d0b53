# SPDX-License-Identifier: MIT OR Apache-2.0
"""Errors meant for the user, and the exit codes of scripts/bench."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    OK = 0
    FAILED = 1  # something went wrong: no or incomplete figures
    USAGE = 2  # refused before anything was run
    IMPROVED = 10  # verdicts of the gate: faster
    TOO_FEW = 11  # too few rounds for a verdict
    TOO_NOISY = 12  # neither a regression nor its absence is shown
    REGRESS = 13  # slower
    INTERRUPTED = 130  # Ctrl-C: what was measured is kept, marked partial


class BenchError(Exception):
    """What went wrong, with the value, and what to do about it."""

    def __init__(self, message: str, remedy: str = "", code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.code = code

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message


def refuse(message: str, remedy: str = "") -> BenchError:
    """An error found before anything was run."""
    return BenchError(message, remedy, Exit.USAGE)

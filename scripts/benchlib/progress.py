# SPDX-License-Identifier: MIT OR Apache-2.0
"""What is going on, on stderr: one line kept up to date on a terminal, milestones elsewhere."""

from __future__ import annotations

import shutil
import sys
import time

BAR = 20
MILESTONES = 10


def say(text: str) -> None:
    """A line, in one piece also if several threads speak: print() writes its end by itself."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Progress:
    def __init__(self, total: int, quiet: bool = False) -> None:
        self._total = total
        self._done = 0
        self._begin = 0.0
        self._live = sys.stderr.isatty() and not quiet
        self._quiet = quiet

    def start(self) -> None:
        """The work begins; from here on, the time left is shown."""
        self._begin = time.monotonic()

    def extend(self, steps: int) -> None:
        """More work than planned."""
        self._total += steps

    def step(self, text: str) -> None:
        """One more step is done; `text` says what it was."""
        before, self._done = self._done, self._done + 1
        if self._live:
            self._show(self._line(text))
        elif not self._quiet and self._milestone(before) != self._milestone(self._done):
            say(self._line(text))

    def say(self, text: str) -> None:
        """A message that stays."""
        if self._live:
            self._show("")
        say(text)

    def note(self, text: str) -> None:
        """Something that takes time without being a step; seen on a terminal only."""
        if self._live:
            self._show(text)

    def close(self) -> None:
        if self._live:
            self._show("")

    def _milestone(self, done: int) -> int:
        return done * MILESTONES // max(1, self._total)

    def _line(self, text: str) -> str:
        share = min(1.0, self._done / max(1, self._total))
        full = round(share * BAR)
        elapsed = time.monotonic() - self._begin
        left = elapsed / share - elapsed if share else 0.0
        return (f"[{'#' * full}{'.' * (BAR - full)}] {share:4.0%}  "
                f"{clock(left)} left  {text}")

    def _show(self, line: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\033[K{line[:width]}", end="", file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """31 s, 4:07 min, 2:05 h"""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600}:{whole // 60 % 60:02d} h"
    return f"{whole // 60}:{whole % 60:02d} min" if whole >= 60 else f"{whole} s"

# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the kernel had to say: a warning of its own fails a run whose tests all passed."""

import re
import subprocess

from .results import FAILED, PASSED, SKIPPED, Result

_TROUBLE = re.compile(
    r"WARNING: CPU|\bBUG\b|Oops|general protection|KASAN|UBSAN|hung_task|blocked for more than"
    r"|refcount_t|list_(add|del) corruption")


def _log() -> list[str] | None:
    done = subprocess.run(["dmesg"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          errors="replace", check=False)
    return done.stdout.splitlines() if done.returncode == 0 else None


class KernelLog:
    """Remembers where the log ended when the run began."""

    def __init__(self) -> None:
        lines = _log()
        self.last = lines[-1] if lines else ""

    def result(self) -> Result:
        """One result for everything since then."""
        lines = _log()
        if lines is None:
            return Result("all", "kernel", "no warnings in its log", SKIPPED, "dmesg needs root")
        if self.last in lines:
            lines = lines[len(lines) - lines[::-1].index(self.last):]
        trouble = [line for line in lines if _TROUBLE.search(line)]
        return Result("all", "kernel", "no warnings in its log", FAILED if trouble else PASSED,
                      "\n".join(trouble))

# SPDX-License-Identifier: MIT OR Apache-2.0
"""Find what the guest's kernel complained about: lines that fail a command which passed."""
from __future__ import annotations

import re

# "<4>[    1.234567] " and, with CONFIG_PRINTK_CALLER, "[   T12] ".
_PREFIX = r"(?:<\d+>)?(?:\[\s*\d+\.\d+\])?(?:\[\s*[TC]\d+\])?\s*"

# Anchored at the start of a message: drivers write "warning" in the middle of harmless ones. Stalls
# are left out: an overloaded host causes them, not the kernel.
_COMPLAINTS = re.compile(
    _PREFIX + r"""(?:
        WARNING:
        | BUG:
        | (?:.*\s)?(?:KASAN|KCSAN|KFENCE|UBSAN|KMSAN):
        | (?:Oops|general\ protection\ fault|kernel\ BUG\ at|Kernel\ panic|divide\ error)
        | refcount_t:
        | INFO:\ (?:task\ .*blocked\ for\ more|possible\ |suspicious\ )
        | ={3,}\ \S.*detected
        | DMAR:\ .*(?:fault|Fault)
    )""",
    re.VERBOSE)


def complaints(log: str) -> list[str]:
    """The lines of log that say that the kernel found something wrong."""
    return [line for line in log.splitlines() if _COMPLAINTS.match(line)]

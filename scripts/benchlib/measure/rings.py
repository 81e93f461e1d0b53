# SPDX-License-Identifier: MIT OR Apache-2.0
"""A short trial run of fio: does it work at all, and which flags does it set up its ring with?

The flags are worth more than most other differences between engines, so a result without them
says little. They are read by strace, which with --seccomp-bpf stops nothing but io_uring_setup.
"""

from __future__ import annotations

import ctypes
import errno
import re
import shutil
import sys
import tempfile

from ..errors import BenchError
from . import fio

FLAGS = ("IOPOLL", "SQPOLL", "SQ_AFF", "CQSIZE", "CLAMP", "ATTACH_WQ", "R_DISABLED", "SUBMIT_ALL",
         "COOP_TASKRUN", "TASKRUN_FLAG", "SQE128", "CQE32", "SINGLE_ISSUER", "DEFER_TASKRUN",
         "NO_MMAP", "REGISTERED_FD_ONLY", "NO_SQARRAY", "HYBRID_IOPOLL")
STRACE: tuple[str, ...] = ("strace", "--follow-forks", "--seccomp-bpf", "--quiet=all", "-X", "raw",
                           "--trace=io_uring_setup", "--output")
_CALL = re.compile(r"io_uring_setup\(\w+, \{flags=(\w+).* = (\d+)$", re.MULTILINE)


_SETUP = 425  # io_uring_setup, on every architecture


def permitted() -> bool:
    """May this process create rings? Sandboxes and the sysctl io_uring_disabled forbid it."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(ctypes.c_long(_SETUP), ctypes.c_uint(0), None)
    return ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM)


def default_mode() -> str:
    """The mode of scripts/bench compare for the library's own choice of a driver. It says so on
    stderr where that is not io_uring."""
    if permitted():
        return "block"
    print("io_uring is not permitted here: using driver posix", file=sys.stderr)
    return "posix-block"


def trial(argv: list[str], seconds: float) -> list[str] | None:
    """Run fio once; the flags of its last ring, or None when they cannot be seen."""
    if shutil.which(STRACE[0]):
        with tempfile.NamedTemporaryFile("r") as log:
            try:
                fio.run([*STRACE, log.name, *argv], seconds)
                return parse(log.read())
            except BenchError:
                pass  # fio's fault, or tracing is forbidden here: without strace we shall see
    fio.run(argv, seconds)
    return None


def parse(log: str) -> list[str] | None:
    """The flags of the last io_uring_setup call in strace's log that succeeded."""
    calls = _CALL.findall(log)
    return names(int(calls[-1][0], 0)) if calls else None


def names(flags: int) -> list[str]:
    known = [name for bit, name in enumerate(FLAGS) if flags >> bit & 1]
    rest = flags >> len(FLAGS) << len(FLAGS)
    return known + ([hex(rest)] if rest else [])

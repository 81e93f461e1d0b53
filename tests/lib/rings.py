# SPDX-License-Identifier: MIT OR Apache-2.0
"""Whether this process may use io_uring: containers and sysctl kernel.io_uring_disabled forbid it."""

from __future__ import annotations

import ctypes
import os

IO_URING_SETUP = 425  # on every architecture
PARAMS_BYTES = 120  # struct io_uring_params


def why_not() -> str:
    """The reason, or "" when it may."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(IO_URING_SETUP, 1, ctypes.create_string_buffer(PARAMS_BYTES))
    if fd < 0:
        return f"no io_uring here: {os.strerror(ctypes.get_errno())}"
    os.close(fd)
    return ""

#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
Run a command in a sandbox that forbids io_uring, as container runtimes and other sandboxes do.

usage: without_rings.py ERRNO COMMAND [ARGUMENT]...
"""

import ctypes
import errno
import os
import struct
import sys

IO_URING_CALLS = (425, 426, 427)  # setup, enter, register; on every architecture
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD_NUMBER, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL_WITH = 0x7FFF0000, 0x00050000


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def forbid(number: int) -> None:
    """Let the calls fail with this errno value, in this process and its children."""
    steps = [(LOAD_NUMBER, 0, 0, 0)]
    for i, call in enumerate(IO_URING_CALLS):
        steps.append((EQUAL, len(IO_URING_CALLS) - i, 0, call))
    steps += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, FAIL_WITH | number)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = Program(len(steps), ctypes.cast(code, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    if (libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or
            libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))):
        sys.exit(f"no seccomp filters here: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    forbid(getattr(errno, sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])

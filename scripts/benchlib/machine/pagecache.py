# SPDX-License-Identifier: MIT OR Apache-2.0
"""Is all of a file in the page cache? Asked before every round: reading it again takes longer than a
short round itself."""

from __future__ import annotations

import ctypes
import mmap
import os

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                      ctypes.c_int64]
LIBC.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
FAILED = ctypes.c_void_p(-1).value


def holds(path: str) -> bool:
    """False also where the kernel does not say: it tells only who may write the file."""
    if not os.access(path, os.W_OK):
        return False
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _resident(fd, os.lseek(fd, 0, os.SEEK_END))
    finally:
        os.close(fd)


def _resident(fd: int, size: int) -> bool:
    if size == 0:
        return True
    place = LIBC.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    if place in (None, FAILED):
        return False
    pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
    done = LIBC.mincore(place, size, pages)
    LIBC.munmap(place, size)
    return done == 0 and all(page & 1 for page in pages)

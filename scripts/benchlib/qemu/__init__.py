# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench qemu`: inside QEMU, its own io_uring code against its libblkio driver.

qemu-img bench reads through QEMU's block layer, as a guest's disk does, without a guest whose
emulated processor would drown the difference. Debian 12's QEMU knows no libblkio, so trixie's is
taken (tests/diff/make-root).
"""

# SPDX-License-Identifier: MIT OR Apache-2.0
"""Measuring with fio; needs the standard library only, so that a plan can be printed anywhere.

    targets      where the I/O goes: scratch files, or what the user names
    engines      who does the I/O: fio's own engines, libblkio's drivers and wait modes
    transport    how an engine reaches a target; nvme, storage_daemon and vfio are special ones
    variants     several builds of the library and several fios
    plan         what is run on what, from the command line
    schedule     in which order: interleaved, random, balanced
    campaign     runs a schedule, and repeats what others disturbed
    fio          one fio process; rings, syscalls and callgrind look at it from outside
"""

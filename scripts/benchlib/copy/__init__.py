# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench copy`: blkio-copy beside the copying programs that Debian has.

    pairs       what is copied and where to: made for the run, and removed after it
    programs    what copies, and how each is told to copy
    measure     runs: wall time, CPU time, peak memory; each program's copy is checked once
    report      table, verdict and chart
"""

# SPDX-License-Identifier: MIT OR Apache-2.0
"""The gate: is the candidate slower than the baseline? For continuous integration.

sides finds and builds what is compared, run measures it, judge and verdict decide, counts adds
what needs no quiet machine, output writes it down, selftest shows that the gate itself works.
"""

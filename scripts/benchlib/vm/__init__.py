# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench vm`, also `scripts/bench --vm`: the comparison inside the test VM, whose devices
this machine need not have. The guests are a table (guests.py)."""

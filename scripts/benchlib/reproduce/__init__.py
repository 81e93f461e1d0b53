# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench reproduce`: the figures that libblkio is known for, measured again here.

Each is a row of figures.py: a claim, and the commands of scripts/bench that put it to the test. The
results stand side by side in one folder, with an index.
"""

# SPDX-License-Identifier: MIT OR Apache-2.0
"""The parts of tests/diff/compare and tests/diff/clients."""

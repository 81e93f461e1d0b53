# SPDX-License-Identifier: MIT OR Apache-2.0
"""The test VM behind tests/vm/run: see tests/vm/README.md."""

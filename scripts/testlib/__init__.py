# SPDX-License-Identifier: MIT OR Apache-2.0
"""What scripts/test is made of: builds, results, summary."""

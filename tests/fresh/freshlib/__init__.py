# SPDX-License-Identifier: MIT OR Apache-2.0
"""Fresh machines: minimal Debian roots, and throw-away copies of them to run a checkout in."""

# SPDX-License-Identifier: MIT OR Apache-2.0
"""What people look at: everything drawn from a result.

files writes the small files beside a result.json (table, environment, chart).
"""

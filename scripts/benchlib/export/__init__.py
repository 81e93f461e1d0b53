# SPDX-License-Identifier: MIT OR Apache-2.0
"""Figures in the formats of other programs. formats are the writers, command and options the command
line.
"""

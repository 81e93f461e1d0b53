# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options of `scripts/bench show`."""

from __future__ import annotations

import argparse


def register(parser: argparse.ArgumentParser) -> None:
    parser.description = ("Reads a result back, checks it against its schema, prints its table and "
                          "environment, and draws its chart and its report again.")
    parser.add_argument("result", help="a folder under results/, or its result.json")
    parser.add_argument("--output", metavar="DIR",
                        help="folder for the chart (default: beside the result)")

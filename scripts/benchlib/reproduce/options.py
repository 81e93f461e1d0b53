# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options of `scripts/bench reproduce`, and its --help text."""

from __future__ import annotations

import argparse

from .. import options
from .figures import FIGURES

DESCRIPTION = """\
Measures the figures that libblkio is known for again, on this machine. Runs all that this machine
can run, gives the reason for the others, and writes an index with tables and charts.
"""

EPILOG = """\
figures
{figures}

Figures that need special devices are measured in the test VM. Without KVM, its
processor is emulated, so their ratios show the cost of software.

examples
  scripts/bench reproduce --list                  what each figure claims, and its commands
  scripts/bench reproduce --quick                 coarse figures, in about 20 minutes
  scripts/bench reproduce mapping bypass
  scripts/bench reproduce micro extended --target /dev/nvme0n1

exit status: 0 everything was measured, 1 something failed, 2 refused, 130 interrupted; figures that
this machine cannot measure do not count as failures
"""


def register(parser: argparse.ArgumentParser) -> None:
    figures = "\n".join(f"  {name:9} {figure.title}" for name, figure in FIGURES.items())
    parser.description, parser.epilog = DESCRIPTION, EPILOG.format(figures=figures)
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures (default: all)")
    parser.add_argument("--list", action="store_true", help="list the figures, and how they are measured")
    parser.add_argument("--quick", action="store_true", help="coarse figures, in short runs")
    parser.add_argument("--target", metavar="PATH",
                        help="a file or device for micro, extended and qemu, instead of scratch "
                             "files; it is only read")
    options.add_build(parser)
    parser.add_argument("--output", metavar="DIR",
                        help="folder for the results (default: results/reproduce-DATE-TIME)")

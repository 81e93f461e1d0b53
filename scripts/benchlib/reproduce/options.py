# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options of `scripts/bench reproduce`, and its --help text."""

from __future__ import annotations

import argparse

from .. import options
from .figures import FIGURES

DESCRIPTION = """\
Measures again, on this machine, the figures that libblkio is known for. Runs all that can be run
here, says of the others why they cannot, and writes an index with tables and charts.
"""

EPILOG = """\
figures
{figures}

Those that need devices which this machine need not have run in the test VM (scripts/setup --vm);
without KVM its processor is emulated, so their ratios tell what software costs.

examples
  scripts/bench reproduce --list                  what each claims, and its commands
  scripts/bench reproduce --quick                 all of it, coarsely: about 20 minutes
  scripts/bench reproduce mapping bypass
  scripts/bench reproduce micro extended --target /dev/nvme0n1

exit status: 0 all was measured, 1 something failed, 2 refused, 130 interrupted; what cannot run on
this machine is no failure
"""


def register(parser: argparse.ArgumentParser) -> None:
    figures = "\n".join(f"  {name:9} {figure.title}" for name, figure in FIGURES.items())
    parser.description, parser.epilog = DESCRIPTION, EPILOG.format(figures=figures)
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures (default: all)")
    parser.add_argument("--list", action="store_true", help="what there is, and how it is measured")
    parser.add_argument("--quick", action="store_true", help="short and coarse")
    parser.add_argument("--target", metavar="PATH",
                        help="a file or device for micro, extended and qemu, instead of scratch "
                             "files; it is only read")
    options.add_build(parser)
    parser.add_argument("--output", metavar="DIR",
                        help="folder for the results (default: results/reproduce-DATE-TIME)")

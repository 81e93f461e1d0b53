# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options of `scripts/bench report`, and its --help text. Standard library only."""

from __future__ import annotations

import argparse

DESCRIPTION = """\
Makes a report out of results: the verdict first, then charts, tables, the complete environment,
what was left out and why, and the raw data. It is one HTML file that needs no network and no other
file; a PDF for paper; or Markdown, with its charts in a folder beside it.

Each chart shows a finding that the data support: percentiles end where too few I/Os are left, a
curve needs three points, and a heat map two sizes and two depths.
"""

EPILOG = """\
examples
  scripts/bench report results/reference                      report.html in that folder
  scripts/bench report results/compare-* --output all.html    several results, a chapter each
  scripts/bench report results/reference --output report.pdf  for paper, raw data attached
  scripts/bench report results/reference --output report.md   for a repository or a pull request

RESULT is a folder that compare, gate or qualify wrote, or the .json file in it; its schema tells
which. It may also be JSON that fio wrote (json or json+, of any fio from 2.1 on, also of
client/server), or a folder of such, as bench-fio of fio-plot makes them. The report then begins with
what these files do not say. The result of an interrupted run makes a report, too, and the report
says so.

exit status: 0 written, 1 something failed, 2 a result cannot be read or is not one
"""


def register(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("results", nargs="+", metavar="RESULT",
                        help="a result's folder or .json file; several make one report")
    parser.add_argument("--output", metavar="FILE",
                        help="the report: .html, .pdf or .md (default: report.html in the folder "
                             "of the result; needed for several results)")
    parser.add_argument("--title", metavar="TEXT", help="title of the report")

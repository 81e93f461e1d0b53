# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options of `scripts/bench history`, and its --help text. Standard library only."""

from __future__ import annotations

import argparse

from .. import options

FILE = "history.sqlite"
METRICS = ("ratio", "mean", "p99", "iops", "bandwidth")

DESCRIPTION = """\
Keeps results and shows what became of them: when did a figure change, and what else changed then?
The history is one SQLite file, results/history.sqlite unless --history names another.
"""

EPILOG = """\
examples
  scripts/bench history add results/compare-*          keep results; the same one is kept once
  scripts/bench history add results/reference --label v1.5
  scripts/bench history list                           numbers, dates, machines, versions
  scripts/bench history trend                          each series and its changes
  scripts/bench history trend disk qd32 --metric mean  series whose name holds one of the words
  scripts/bench history trend --output trend.html      with a plot of each series
  scripts/bench history compare 3 last                 two entries against each other

A trend follows the ratio to the reference by default (`ratio`): what the machine was doing is in
both and cancels out, so the ratios of different days compare. mean, p99, iops and bandwidth follow
the figures themselves; for qualifications there is nothing else.

A change is told when a rank test finds it in all series together with less than 1 % chance of a
false alarm, and it is at least 2 % (--min-effect). A step of 5 % over noise of 1 % is found once
about five entries lie behind it. One with fewer than three entries behind it never is.

Results of different machines are never mixed: each entry carries its machine's fingerprint (CPU,
number of CPUs, memory, virtual or not), and with several in one history --machine chooses.

exit status: 0 done, 1 something failed, 2 refused
"""


def register(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--history", metavar="FILE", default="",
                        help=f"the history (default: results/{FILE}); a folder means the {FILE} "
                             "in it")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, parents=[common], help=text, description=text.capitalize())

    add = action("add", "keep results")
    add.add_argument("results", nargs="+", metavar="RESULT",
                     help="a result's folder or .json file, of compare or qualify")
    add.add_argument("--label", default="", help="a name for the entry, such as a version")
    add.add_argument("--partial", action="store_true", help="keep an interrupted run's result, too")
    _machine(action("list", "what is kept"))
    _trend(action("trend", "how figures went, and when they changed"))
    _compare(action("compare", "two entries against each other"))


def _machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--machine", default="", metavar="ID",
                        help="only entries of the machine with this fingerprint")


def _metric(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--metric", choices=METRICS, default="ratio",
                        help="what to follow (default: ratio)")
    parser.add_argument("--min-effect", type=options.share, default=0.02, metavar="PERCENT",
                        help="smaller changes are not told (default: 2)")


def _trend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="WORD",
                        help="only series whose name holds one of these words")
    _machine(parser)
    _metric(parser)
    parser.add_argument("--output", metavar="FILE",
                        help="also write the trends with plots: .html, .pdf or .md")


def _compare(parser: argparse.ArgumentParser) -> None:
    for name in ("first", "second"):
        parser.add_argument(name, metavar=name.upper(),
                            help="an entry: its number, its label, or `last`")
    _metric(parser)
    parser.add_argument("--across-machines", action="store_true",
                        help="compare although the machines differ; only ratios mean something "
                             "then")

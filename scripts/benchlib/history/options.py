# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options of `scripts/bench history`, and its --help text. Standard library only."""

from __future__ import annotations

import argparse

from .. import options
from . import metrics

FILE = "history.sqlite"

DESCRIPTION = """\
Keeps results of compare, gate and qualify, and shows when a figure changed and what else changed at
that time. The history is one SQLite file, results/history.sqlite unless --history names another, or
a PostgreSQL database that several machines write to (docs/history.md).
"""

EPILOG = """\
examples
  scripts/bench history add results/compare-*          keep results, each of them once
  scripts/bench history add results/gate-* --label v1.5
  scripts/bench history list                           numbers, dates, machines, versions, verdicts
  scripts/bench history trend                          each series and its changes
  scripts/bench history trend disk qd32 --metric mean  series whose names contain one of the words
  scripts/bench history trend --output trend.html      with a plot of each series
  scripts/bench history compare 3 last                 two entries against each other
  scripts/bench history --history postgresql://bench@db.example/bench list

By default, a trend follows what suits each kind of result: of a comparison the ratio to the
reference, of a gate the candidate's instructions, system calls and typical latency, of a
qualification mean latency and IOPS. The state of the machine affects both parts of a ratio and
cancels out, so ratios of different days can be compared. --metric names others: mean, p99, iops,
bandwidth, and shift-typical, a gate's candidate relative to its baseline.

A change is reported if a rank test finds it, with less than a 1 % chance of a false alarm in all
series together, and it is at least 2 % (--min-effect). A step that fewer than three entries follow
is never reported. How many it takes depends on the scatter, on the number of entries before and on
the number of series: trend tries it out with the history at hand and says after how many entries a
step of --step is found. Instructions and system calls repeat exactly: the first entry that differs
by 0.5 % is a change.

Results of different machines are never mixed. Each entry has its machine's fingerprint (CPU, number
of CPUs, memory, virtual or not); trend shows each machine by itself, or that of --machine.

exit status: 0 done, 1 something failed, 2 refused
"""


def register(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    common = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--history", metavar="WHERE", default="",
                        help=f"the history: a file (default: results/{FILE}), a folder, meaning the "
                             f"{FILE} in it, or postgresql://USER@HOST/DATABASE")
    common.add_argument("--history", metavar="WHERE", default=argparse.SUPPRESS,
                        help="the history, as before the action")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, parents=[common], help=text, description=text.capitalize())

    add = action("add", "keep results")
    add.add_argument("results", nargs="+", metavar="RESULT",
                     help="a result's folder or .json file, of compare, gate or qualify; fio's JSON, "
                          "or a folder of it")
    add.add_argument("--machine", default="", metavar="NAME",
                     help="the name of the machine, for results of fio, which do not say")
    add.add_argument("--label", default="", help="a name for the entry, such as a version")
    add.add_argument("--partial", action="store_true", help="keep an interrupted run's result, too")
    _machine(action("list", "what is kept"))
    _trend(action("trend", "how figures went, and when they changed"))
    _compare(action("compare", "two entries against each other"))
    action("migrate", "bring a history of an older version up to date")


def _machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--machine", default="", metavar="ID",
                        help="only entries of the machine with this fingerprint")


def _metric(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--metric", type=metrics.names, default=[], metavar="LIST",
                        help=f"what to follow (default: {default}): {', '.join(metrics.METRICS)}, "
                             "percentiles such as p99, shift-typical")
    parser.add_argument("--min-effect", type=options.share, metavar="PERCENT",
                        help="smaller changes are not told (default: 2; 0.5 for what is counted)")


def _trend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="WORD",
                        help="only series whose name holds one of these words")
    _machine(parser)
    _metric(parser, "what suits each kind of result")
    parser.add_argument("--step", type=options.share, default=0.05, metavar="PERCENT",
                        help="say after how many entries a step of this size is found (default: 5)")
    parser.add_argument("--output", metavar="FILE",
                        help="also write the trends with plots: .html, .pdf or .md")


def _compare(parser: argparse.ArgumentParser) -> None:
    for name in ("first", "second"):
        parser.add_argument(name, metavar=name.upper(),
                            help="an entry: its number, its label, or `last`")
    _metric(parser, "what suits the first entry's kind")
    parser.add_argument("--across-machines", action="store_true",
                        help="compare although the machines differ; only ratios mean something "
                             "then")

# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options of `scripts/bench export`, and its --help text. Standard library only."""

from __future__ import annotations

import argparse

from .. import options
from ..history import metrics

FORMATS = ("csv", "otava", "openmetrics", "github-smaller", "github-bigger", "bencher")

DESCRIPTION = """\
Writes the figures of results in the format of another program: results of compare, gate and qualify,
JSON of fio, or the entries of a history.
"""

EPILOG = """\
formats
  csv             a line per figure, with everything that is known of it
  otava           CSV for Apache Otava: a line per result, a column per figure that all results have.
                  With --output FILE.csv, Otava's configuration goes to FILE.yaml beside it
  openmetrics     OpenMetrics text with the results' times, for Prometheus (promtool tsdb
                  create-blocks-from openmetrics) and others
  github-smaller  JSON for github-action-benchmark, tool customSmallerIsBetter: latencies and counts
  github-bigger   ... tool customBiggerIsBetter: IOPS and bandwidth
  bencher         Bencher's metric format (bencher run --adapter json)
The formats of github-action-benchmark and Bencher hold one result.

examples
  scripts/bench export results/reference --format csv --output reference.csv
  scripts/bench export results/gate-1 --format github-smaller --output benchmark.json
  scripts/bench export results/gate-1 --format bencher --metric instructions,typical
  scripts/bench export --history results/history.sqlite --format otava --output trend.csv
  scripts/bench export --history postgresql://bench@db.example/bench --format openmetrics

exit status: 0 done, 1 something failed, 2 refused
"""


def register(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("results", nargs="*", metavar="RESULT",
                        help="a result's folder or .json file, fio's JSON, or a folder of it")
    parser.add_argument("--history", metavar="WHERE", default="",
                        help="the entries of this history instead: a file, a folder, or "
                             "postgresql://USER@HOST/DATABASE")
    parser.add_argument("--entry", type=options.counts, metavar="LIST", default=[],
                        help="only these entries of the history")
    parser.add_argument("--machine", metavar="ID", default="",
                        help="only results of the machine with this fingerprint")
    parser.add_argument("--metric", type=metrics.names, metavar="LIST", default=[],
                        help="only these metrics (default: all)")
    parser.add_argument("--format", choices=FORMATS, required=True, help="see below")
    parser.add_argument("--output", metavar="FILE", default="",
                        help="the file to write (default: standard output)")

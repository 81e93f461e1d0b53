# SPDX-License-Identifier: MIT OR Apache-2.0
"""Results over time: kept in one SQLite file, looked at as trends, compared with each other.

From a result to figures: figures; which machine it was: machine; how they are kept: store; did
anything change, and when: changepoint, trends; two entries against each other: versus. The command
line is options and command; report/of_history draws it.
"""

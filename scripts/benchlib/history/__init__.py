# SPDX-License-Identifier: MIT OR Apache-2.0
"""Results over time: kept in an SQLite file or a PostgreSQL database, looked at as trends, compared
with each other.

From a result to figures: figures, metrics; which machine it was: machine; how they are kept:
schema, database, store; did anything change, and when: changepoint, trends; how soon would it be
found: power; two entries against each other: versus; a page: chapter, verdicts. The command line is
options and command.
"""

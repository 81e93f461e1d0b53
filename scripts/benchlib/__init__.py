# SPDX-License-Identifier: MIT OR Apache-2.0
"""The benchmark suite behind scripts/bench.

One small module per question: where is I/O done (targets), by whom (engines), how is one fio
process run (fio), in which order (schedule), what do the figures say (stats), how are they kept
(model, results; history) and shown (table, report). A subcommand (compare, ...) only puts these together.

Modules needed before the set-up ran (cli, prepare, options, errors) use the standard library only.
"""

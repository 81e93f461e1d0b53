# SPDX-License-Identifier: MIT OR Apache-2.0
"""Results of fio that others have measured: JSON of single runs, of client/server, in folders.

    fio_json  one file of any fio from 2.1 on, as runs
    latency   a histogram from what a file has: bins, percentiles, classes
    convert   runs to a comparison's result, with its gaps named
    results   any comparison, of scripts/bench or of fio, by its path
"""

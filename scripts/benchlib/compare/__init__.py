# SPDX-License-Identifier: MIT OR Apache-2.0
"""scripts/bench compare, and a comparison's result for people.

    before, command, options   the command itself
    unpaired                   stored results against each other
    output                     all that is written beside a result: table, chart, chapter
    view, figures, surroundings  parts of the chapter
"""

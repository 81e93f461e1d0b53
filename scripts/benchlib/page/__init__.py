# SPDX-License-Identifier: MIT OR Apache-2.0
"""What reports are made of, whatever they are about.

    page                   what a page consists of: chapters, sections, tables, figures
    html, pdf, markdown    write a page; write chooses by the file's name
    bars, curves, heatmap  a figure's data become a drawing
    frame, scale, svg      axes, scales and the drawing itself; colours and tails are theirs
    panels                 figures that several kinds of results have
"""

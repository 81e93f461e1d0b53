# SPDX-License-Identifier: MIT OR Apache-2.0
"""What people look at: everything drawn from a result.

Small files beside a result.json: files, with chart for the picture.

A report is made in three steps, each in modules that know nothing of the others:
    of_compare, ... (sources says which)    a result becomes a page: verdict, sections, figures
    bars, curves, heatmap                   a figure's data become a drawing (frame, scale, svg)
    html, pdf, markdown                     the page becomes a file (command says which)
"""

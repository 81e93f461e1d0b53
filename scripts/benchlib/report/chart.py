# SPDX-License-Identifier: MIT OR Apache-2.0
"""The picture: mean latency of every mode relative to fio's own engine, one panel per case.

Bars start at zero so that their lengths compare; each carries its latency and its difference in
words, so nothing depends on colour alone. Colours are those of Okabe and Ito, safe for
colour-blind readers.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

from .colours import PALETTE  # noqa: E402
from ..errors import BenchError  # noqa: E402
from ..model import Case, Result, Summary  # noqa: E402
from ..table import case_title, cases, disturbed_share, labels, of_case, workload  # noqa: E402
from ..words import duration  # noqa: E402

GREY, DARK, RULE = "#8c8c8c", "#222222", "#d9d9d9"
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans", "font.size": 10, "svg.hashsalt": "libblkio",
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
    "axes.edgecolor": RULE, "text.color": DARK, "axes.labelcolor": DARK,
    "xtick.color": DARK, "ytick.color": DARK,
}
PANEL_WIDTH = 6.2
LEAST_WIDTH = 13.0  # or the lines above and below the panels would be cut off
ROW_HEIGHT = 0.36
PANEL_MARGIN = 0.95  # title and axis of a panel
HEAD, FOOT = 0.95, 0.75
CLIP = 2.2  # longer bars are cut off there and say so
LABEL_ROOM = 1.5  # the axis is so much longer than the longest bar, for the labels
CUT_LABEL_ROOM = 2.1  # where one of them has to say that its bar is cut off


def draw(result: Result, folder: Path) -> None:
    """Write chart.svg and chart.png."""
    shown = cases(result)
    if not shown:
        raise BenchError("the result holds no figures to draw")
    with pyplot.rc_context(STYLE):
        figure = _figure(result, shown)
        try:
            for kind in ("svg", "png"):
                figure.savefig(folder / f"chart.{kind}", dpi=150,
                               metadata={"Date": None} if kind == "svg" else None)
        except OSError as error:
            raise BenchError(f"cannot write the chart to {folder}: {error.strerror}") from error
        finally:
            pyplot.close(figure)


def _figure(result: Result, shown: list[Case]) -> Any:
    columns = min(2, len(shown))
    rows = math.ceil(len(shown) / columns)
    bars = [len(of_case(result, case)) for case in shown]
    tallest = [max(bars[i * columns:(i + 1) * columns]) for i in range(rows)]
    heights = [PANEL_MARGIN + slots * ROW_HEIGHT for slots in tallest]
    height = HEAD + FOOT + sum(heights)
    figure, grid = pyplot.subplots(rows, columns, squeeze=False, height_ratios=heights,
                                   figsize=(max(PANEL_WIDTH * columns + 0.6, LEAST_WIDTH),
                                            height))
    limit = _limit(result, shown)
    panels = list(grid.flat)
    for i, (panel, case) in enumerate(zip(panels, shown)):
        _panel(panel, result, case, limit, tallest[i // columns])
    for panel in panels[len(shown):]:
        panel.set_visible(False)
    _titles(figure, result, height)
    figure.tight_layout(rect=(0, FOOT / height, 1, 1 - HEAD / height), h_pad=1.4, w_pad=2)
    return figure


def _limit(result: Result, shown: list[Case]) -> float:
    """The longest bar drawn: one scale for all panels."""
    ends = [row.ratio.high for case in shown for row in of_case(result, case) if row.ratio]
    return min(CLIP, max([1.0, *ends]))


def _cuts(result: Result, limit: float) -> bool:
    return any(row.ratio.median > limit for row in result.summaries if row.ratio)


def _panel(panel: Any, result: Result, case: Case, limit: float, slots: int) -> None:
    rows, names = of_case(result, case), labels(result)
    for place, row in enumerate(rows):
        _bar(panel, place, row, _colour(result, row.contender), limit)
    panel.set_yticks(range(len(rows)), [names[row.contender] for row in rows])
    panel.set_ylim(slots - 0.4, -0.6)
    panel.set_xlim(0, limit * (CUT_LABEL_ROOM if _cuts(result, limit) else LABEL_ROOM))
    step = 0.25 if limit <= 1.5 else 0.5
    ticks = [i * step for i in range(int(limit / step + 1e-9) + 1)]
    panel.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
    panel.tick_params(length=0)
    panel.set_axisbelow(True)
    panel.grid(axis="x", color=RULE, linewidth=0.7)
    if any(row.ratio for row in rows):
        panel.axvline(1, color=DARK, linewidth=1, linestyle=(0, (4, 3)), zorder=3)
    panel.set_title(case_title(result, case, medium=False), loc="left", fontsize=11,
                    fontweight="bold")


def _bar(panel: Any, place: int, row: Summary, colour: str, limit: float) -> None:
    """A bar with its interval, then its latency and the difference in words."""
    ratio = row.ratio
    median, low, high = (ratio.median, ratio.low, ratio.high) if ratio else (1.0, 1.0, 1.0)
    cut = median > limit
    panel.barh(place, min(median, limit), height=0.66, color=colour, zorder=2,
               hatch="////" if cut else None, edgecolor="white" if cut else colour)
    if not cut and high > low:
        panel.errorbar(median, place, xerr=[[median - low], [min(high, limit) - median]],
                       fmt="none", ecolor=DARK, elinewidth=1.2, capsize=3, zorder=4)
        if high > limit:  # the whisker goes on
            panel.plot(limit, place, marker=">", color=DARK, markersize=6, zorder=5)
    text = duration(row.mean)
    if row.ratio:
        text += f"   {_difference(median)}{' (bar cut off)' if cut else ''}"
    panel.text(max(min(high, limit), min(median, limit), 1.0) + 0.02 * limit, place, text,
               va="center", ha="left", fontsize=9.5, zorder=6,
               bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
               fontweight="bold" if row.verdict == "faster" else "normal")


def _difference(ratio: float) -> str:
    percent = (ratio - 1) * 100
    if abs(percent) < 0.05:
        return "no difference"
    return f"{abs(percent):.1f} % {'less' if percent < 0 else 'more'}"


def _colour(result: Result, contender: str) -> str:
    """Native modes are grey, the others each have their own colour in the whole figure."""
    others = [item.name for item in result.contenders if not item.name.startswith("native")]
    return PALETTE[others.index(contender) % len(PALETTE)] if contender in others else GREY


def _titles(figure: Any, result: Result, height: float) -> None:
    settings, env = result.settings, result.environment
    partial = "PARTIAL RESULT. " if not result.complete else ""
    figure.text(0.015, 1 - 0.30 / height, f"{partial}Latency compared with fio's own io_uring "
                "engine: shorter bars are better", fontsize=14.5, fontweight="bold", va="center")
    figure.text(0.015, 1 - 0.62 / height,
                f"{workload(result).capitalize()}, one job on one CPU; mean time from submission "
                "to completion, relative to fio's io_uring in the same round", va="center")
    rounds = f"{settings.rounds} interleaved rounds" if result.complete else "interleaved rounds"
    caution = " Other programs disturbed the run." if disturbed_share(result) else ""
    figure.text(0.015, 0.42 / height,
                f"Median of {rounds} of {settings.runtime_ms} ms; whiskers: 95 % bootstrap "
                f"interval of the median; bold: the whole interval is below 1×.{caution}",
                fontsize=9, va="center")
    figure.text(0.015, 0.20 / height,
                f"libblkio {env.libblkio}, {env.fio}, {env.kernel}, {env.cpu}", fontsize=9,
                color="#555555", va="center")

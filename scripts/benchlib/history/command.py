# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench history`: add, list, trend, compare, migrate."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Sequence

from .. import prepare
from ..errors import Exit, refuse
from ..foreign import results
from ..page.page import Page
from ..page.write import write
from ..progress import Progress
from ..result import kinds
from ..result.words import counted, number
from . import chapter, figures, machine, metrics, options as history_options
from .changepoint import LEAST, MIN_EFFECT, Change
from .figures import Measured
from .schema import VERSION
from .store import Entry, History, migrated, opened
from .trends import Trend, sparkline, trends
from .versus import Difference, differences


def history(options: argparse.Namespace) -> Exit:
    place = options.history or str(prepare.ROOT / "results" / history_options.FILE)
    if options.action == "migrate":
        before = migrated(place)
        print(f"the history is of version {VERSION}" + (f", it was {before}" if before < VERSION
                                                        else " already"))
        return Exit.OK
    with opened(place, create=options.action == "add") as store:
        return ACTIONS[options.action](store, options)


# ---- add, list -------------------------------------------------------------------------------


def _add(store: History, options: argparse.Namespace) -> Exit:
    progress = Progress(len(options.results), quiet=not sys.stderr.isatty())
    progress.start()
    read = []
    for name in options.results:  # all are read before one is kept
        file = kinds.locate(Path(name))
        found = figures.measured(file)
        if not found.complete and not options.partial:
            raise refuse(f"{file} is the result of an interrupted run",
                         "Add it all the same with --partial.")
        if not found.figures:
            raise refuse(f"{file} holds no figures")
        read.append((file, _of_machine(file, found, options.machine)))
        progress.step(f"read {file}")
    progress.close()
    for file, found in sorted(read, key=lambda pair: pair[1].started):
        entry = store.add(found, results.raw(file), options.label)
        print(f"{file}: {'is there already' if entry is None else f'entry {entry}'}")
        for note in found.notes:
            print(f"  note: {note}")
    return Exit.OK


def _of_machine(file: Path, found: Measured, name: str) -> Measured:
    """With the machine that the user names: results of fio do not say which it was."""
    if found.kind != "fio":
        if name:
            raise refuse(f"--machine {name}: {file} says itself which machine it is of",
                         "Leave --machine out; it is for results of fio.")
        return found
    if not name:
        raise refuse(f"{file} is fio's JSON, which does not say what machine it is of",
                     "Name it: --machine NAME. Results of different machines are never mixed.")
    return replace(found, environment=replace(found.environment, cpu=name))


def _list(store: History, options: argparse.Namespace) -> Exit:
    entries = store.entries(options.machine)
    if not entries:
        print("no entries" + (f" of machine {options.machine}" if options.machine else ""))
        return Exit.OK
    print(f"{'entry':>5}  {'measured (UTC)':16}  {'kind':8}  {'machine':8}  {'libblkio':12}  "
          f"{'figures':>7}  {'verdict':13}  label")
    for entry in entries:
        note = entry.label + ("" if entry.complete else " (partial)")
        print(f"{entry.id:5}  {_date(entry)}  {entry.kind:8}  {entry.machine}  "
              f"{entry.circumstances['libblkio'][:12]:12}  {entry.figures:7}  "
              f"{entry.verdict:13}  {note}".rstrip())
    for name, facts in store.machines().items():
        print(f"machine {name}: {machine.describe(facts)}")
    return Exit.OK


def _date(entry: Entry) -> str:
    return entry.started[:16].replace("T", " ")


# ---- trend -----------------------------------------------------------------------------------


def _trend(store: History, options: argparse.Namespace) -> Exit:
    known = store.machines()
    chapters, found = [], []
    for name in _machines(store, options.machine):
        series = trends(store, name, options.metric, options.words, min_effect=options.min_effect)
        if not series:
            continue
        words = machine.describe(known[name])
        print(f"machine {name} ({words})")
        _print_machine(series, options.step)
        found += series
        if options.output:
            chapters.append(chapter.chapter(series, words, store.entries(name)))
    if not found:
        words = f" with {' or '.join(options.words)} in its name" if options.words else ""
        metric = f" has the metric {', '.join(options.metric)}" if options.metric else " is there"
        raise refuse(f"no series{words}{metric}",
                     f"There are the metrics {', '.join(metrics.METRICS)} and percentiles; history "
                     "list shows the entries.")
    if options.output:
        title = chapters[0].title if len(chapters) == 1 else f"History of {len(chapters)} machines"
        write(Page(title, chapters), Path(options.output))
        print(f"Report {options.output}")
    return Exit.OK


def _machines(store: History, asked: str) -> list[str]:
    """The machines to look at, each by itself: figures of several are never mixed."""
    machines = store.machines()
    if not machines:
        raise refuse("the history is empty", "Begin: scripts/bench history add RESULT")
    if asked and asked not in machines:
        listed = "\n".join(f"  --machine {name}  {machine.describe(facts)}"
                           for name, facts in machines.items())
        raise refuse(f"--machine {asked}: not in this history", f"There are\n{listed}")
    return [asked] if asked else list(machines)


def _print_machine(found: Sequence[Trend], step: float) -> None:
    for metric in dict.fromkeys(trend.metric for trend in found):
        print(f"\n{metrics.of(metric).words}")
        for trend in found:
            if trend.metric == metric:
                _print_trend(trend)
    changed = sum(bool(trend.changes) for trend in found)
    print(f"\n{len(found)} series, {changed} with changes")
    if short := sum(chapter.unknown(trend) for trend in found):
        print(f"{short} are too short: finding a change takes {2 * LEAST} entries")
    for text in _soon(found, step):
        print(text)
    print()


def _soon(found: Sequence[Trend], step: float) -> list[str]:
    """After how many entries a step is found: of the series that are timed, and of the counted."""
    lines = []
    for exact, what in ((False, "what is timed"), (True, "what is counted")):
        looked = [trend.outlook([step]) for trend in found
                  if metrics.of(trend.metric).exact == exact and not chapter.unknown(trend)]
        needed = [chapter.needed_words(outlook, outlook.needed[0]) for outlook in looked]
        known = sorted({int(text) for text in needed if text.isdigit()})
        others = [text for text in dict.fromkeys(needed) if not text.isdigit()]
        span = [f"{known[0]} to {known[-1]}" if len(known) > 1 else str(known[0])] if known else []
        if needed:
            lines.append(f"entries after which a step of {100 * step:.2g} % is found in {what}, "
                         f"9 times of 10: {', '.join(span + others)}")
    return lines


def _print_trend(trend: Trend) -> None:
    first, last = trend.figures[0].value, trend.figures[-1].value
    count = len(trend.figures)
    print(f"{trend.series}  {sparkline(trend.values)}  "
          f"{number(first)} → {number(last)}  "
          f"({counted(count, 'entry', 'entries')}, {trend.medium})")
    for change in trend.changes:
        entry = trend.entries[change.index]
        word = "worse" if trend.worse(change) else "better"
        chance = f"p {change.p:.2g}" if change.p else "counted"
        print(f"  {word}: {_size(trend, change)} from entry {entry.id} on ({_date(entry)}, "
              f"{chance})")
        for text in trend.circumstances(change):
            print(f"    changed at the same time: {text}")


def _size(trend: Trend, change: Change) -> str:
    return f"{change.ratio - 1:+.1%}" if 0 < change.ratio < float("inf") \
        else chapter.size(trend, change)


# ---- compare ---------------------------------------------------------------------------------


def _compare(store: History, options: argparse.Namespace) -> Exit:
    first, second = (_entry(store, name) for name in (options.first, options.second))
    if first.machine != second.machine and not options.across_machines:
        names = store.machines()
        raise refuse(f"entries {first.id} and {second.id} are of different machines: "
                     f"{machine.describe(names[first.machine])}; "
                     f"{machine.describe(names[second.machine])}",
                     "To compare them anyway: --across-machines; only ratios are meaningful then.")
    for word, entry in (("from", first), ("to  ", second)):
        print(f"{word} entry {entry.id}: {_date(entry)}, machine {entry.machine}, "
              f"libblkio {entry.circumstances['libblkio']} {entry.label}".rstrip())
    for text in machine.changes(first.circumstances, second.circumstances):
        print(f"  changed: {text}")
    names = options.metric or metrics.DEFAULT.get(first.kind, ("ratio",))
    effect = MIN_EFFECT if options.min_effect is None else options.min_effect
    either = [[figure for figure in store.figures(entry.id) if figure.metric in names]
              for entry in (first, second)]
    found = differences(*either, effect)
    if not found:
        raise refuse(f"the entries have no series with the metric {' or '.join(names)} in common",
                     f"There are the metrics {', '.join(metrics.METRICS)} and percentiles.")
    for name in dict.fromkeys(item.metric for item in found):
        print(f"\n{metrics.of(name).words}: difference, 95 % interval, Holm-corrected chance")
        _print_differences([item for item in found if item.metric == name])
    print("\nMeasured at different times: what the machine did then is in the difference. For a "
          "decision\nmeasure both in one run: scripts/bench gate")
    return Exit.OK


def _print_differences(found: Sequence[Difference]) -> None:
    width = max(len(item.series) for item in found)
    for item in found:
        print(f"  {item.series:{width}}  "
              f"{number(item.before):>10} → {number(item.after):>10}  "
              f"{item.ratio - 1:+7.1%} [{item.low - 1:+.1%}, {item.high - 1:+.1%}]  p {item.p:.2g}"
              f"  {item.verdict}")


def _entry(store: History, name: str) -> Entry:
    entries = store.entries()
    if name == "last" and entries:
        return entries[-1]
    found = [entry for entry in entries if str(entry.id) == name] or \
        [entry for entry in entries if entry.label == name]
    if len(found) != 1:
        raise refuse(f"{len(found) or 'no'} entries are called {name}",
                     "Give the number that history list shows.")
    return found[0]


ACTIONS = {"add": _add, "list": _list, "trend": _trend, "compare": _compare}

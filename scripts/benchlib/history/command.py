# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench history`: add, list, trend, compare."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Sequence

from .. import kinds, prepare
from ..errors import Exit, refuse
from ..progress import Progress
from . import figures, machine, options as history_options
from .changepoint import LEAST
from .figures import METRICS
from .store import Entry, History, opened
from .trends import Trend, sparkline, trends
from .versus import Difference, differences


def history(options: argparse.Namespace) -> Exit:
    file = Path(options.history) if options.history \
        else prepare.ROOT / "results" / history_options.FILE
    with opened(file, create=options.action == "add") as store:
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
        read.append((file, found))
        progress.step(f"read {file}")
    progress.close()
    for file, found in sorted(read, key=lambda pair: pair[1].started):
        entry = store.add(found, file.read_bytes(), options.label)
        print(f"{file}: {'is there already' if entry is None else f'entry {entry}'}")
    return Exit.OK


def _list(store: History, options: argparse.Namespace) -> Exit:
    entries = store.entries(options.machine)
    if not entries:
        print("no entries" + (f" of machine {options.machine}" if options.machine else ""))
        return Exit.OK
    print(f"{'entry':>5}  {'measured (UTC)':16}  {'kind':8}  {'machine':8}  {'libblkio':12}  "
          f"{'figures':>7}  label")
    for entry in entries:
        note = entry.label + ("" if entry.complete else " (partial)")
        print(f"{entry.id:5}  {_date(entry)}  {entry.kind:8}  {entry.machine}  "
              f"{entry.circumstances['libblkio'][:12]:12}  {entry.figures:7}  {note}".rstrip())
    for name, facts in store.machines().items():
        print(f"machine {name}: {machine.describe(facts)}")
    return Exit.OK


def _date(entry: Entry) -> str:
    return entry.started[:16].replace("T", " ")


# ---- trend -----------------------------------------------------------------------------------


def _trend(store: History, options: argparse.Namespace) -> Exit:
    chosen = _one_machine(store, options.machine)
    found = trends(store, chosen, options.metric, options.words, min_effect=options.min_effect)
    if not found:
        words = f" with {' or '.join(options.words)} in its name" if options.words else ""
        raise refuse(f"no series{words} has the metric {options.metric}",
                     f"There are the metrics {', '.join(METRICS)}; history list shows the entries.")
    print(f"{METRICS[options.metric][0]}, machine {chosen} "
          f"({machine.describe(store.machines()[chosen])})\n")
    for trend in found:
        _print_trend(trend)
    changed = sum(bool(trend.changes) for trend in found)
    print(f"{len(found)} series, {changed} with changes of {options.min_effect:.0%} or more")
    longest = max(len(trend.figures) for trend in found)
    if longest < 2 * LEAST:
        print(f"the longest has {longest} results; changes are told from {2 * LEAST} on")
    if options.output:
        _write(options.output, found, machine.describe(store.machines()[chosen]),
               options.min_effect)
    return Exit.OK


def _one_machine(store: History, asked: str) -> str:
    """The machine to look at; figures of several are never mixed."""
    machines = store.machines()
    listed = "\n".join(f"  --machine {name}  {machine.describe(facts)}"
                       for name, facts in machines.items())
    if not machines:
        raise refuse("the history is empty", "Begin: scripts/bench history add RESULT")
    if asked and asked not in machines:
        raise refuse(f"--machine {asked}: not in this history", f"There are\n{listed}")
    if not asked and len(machines) > 1:
        raise refuse(f"the history holds entries of {len(machines)} machines, which do not compare",
                     f"Choose one:\n{listed}")
    return asked or next(iter(machines))


def _print_trend(trend: Trend) -> None:
    first, last = trend.figures[0].value, trend.figures[-1].value
    count = len(trend.figures)
    print(f"{trend.series}  {sparkline(trend.values)}  {first:,.4g} → {last:,.4g}  "
          f"({count} {'entry' if count == 1 else 'entries'}, {trend.medium})")
    for change in trend.changes:
        entry = trend.entries[change.index]
        word = "worse" if trend.worse(change) else "better"
        print(f"  {word}: {change.ratio - 1:+.1%} from entry {entry.id} on ({_date(entry)}, "
              f"p {change.p:.2g})")
        for text in trend.circumstances(change):
            print(f"    with it changed: {text}")


def _write(output: str, found: Sequence[Trend], machine_words: str, min_effect: float) -> None:
    from ..report import command, of_history
    from ..report.page import Page
    chapter = of_history.chapter(found, machine_words, min_effect)
    command.write(Page(chapter.title, [chapter]), Path(output))
    print(f"Report {output}")


# ---- compare ---------------------------------------------------------------------------------


def _compare(store: History, options: argparse.Namespace) -> Exit:
    first, second = (_entry(store, name) for name in (options.first, options.second))
    if first.machine != second.machine and not options.across_machines:
        names = store.machines()
        raise refuse(f"entries {first.id} and {second.id} are of different machines: "
                     f"{machine.describe(names[first.machine])}; "
                     f"{machine.describe(names[second.machine])}",
                     "If you mean it: --across-machines; then only ratios mean something.")
    for word, entry in (("from", first), ("to  ", second)):
        print(f"{word} entry {entry.id}: {_date(entry)}, machine {entry.machine}, "
              f"libblkio {entry.circumstances['libblkio']} {entry.label}".rstrip())
    for text in machine.changes(first.circumstances, second.circumstances):
        print(f"  changed: {text}")
    found = differences(store.figures(first.id, options.metric),
                        store.figures(second.id, options.metric), options.min_effect)
    if not found:
        raise refuse(f"the entries have no series with the metric {options.metric} in common",
                     f"There are the metrics {', '.join(METRICS)}.")
    print(f"\n{METRICS[options.metric][0]}: difference, 95 % interval, Holm-corrected chance")
    _print_differences(found)
    print("\nMeasured at different times: what the machine did then is in the difference. For a "
          "decision\nmeasure both in one run: scripts/bench gate")
    return Exit.OK


def _print_differences(found: Sequence[Difference]) -> None:
    width = max(len(item.series) for item in found)
    for item in found:
        print(f"  {item.series:{width}}  {item.before:10,.4g} → {item.after:10,.4g}  "
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

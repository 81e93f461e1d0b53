# SPDX-License-Identifier: MIT OR Apache-2.0
"""A qualification as plain text: the verdict first, then why, then everything measured."""

from __future__ import annotations

from typing import Sequence

from ..machine.environment import describe
from ..progress import clock
from ..result import words
from ..stats import pairing
from ..verdict import REFUSED
from . import health, plan as plans, steady, verdict
from .cells import PERCENTS
from .model import Cell, Check, DriverRow, Health, Percentile, Qualification, Step
from .request import Request

Rows = Sequence[Sequence[str]]


def columns(rows: Rows, indent: str = "  ") -> list[str]:
    """Lines with aligned columns; what looks like a figure stands to the right."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows if i < len(row))
              for i in range(max(map(len, rows)))]
    right = [all(_figure(row[i]) for row in rows[1:] if i < len(row)) and len(rows) > 1
             for i in range(len(widths))]
    return [(indent + "  ".join(cell.rjust(width) if to_right else cell.ljust(width)
                                for cell, width, to_right in zip(row, widths, right))).rstrip()
            for row in rows]


def _figure(text: str) -> bool:
    return not text or text == "-" or text[0].isdigit()


def render(found: Qualification) -> str:
    """The whole text."""
    sections = [_head(found), _criteria(found), _caveats(found), _steps(found),
                *(_figures(step) for step in found.steps), _health(found),
                ["Preflight", *_checks(found.checks)], _environment(found)]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def preflight(checks: Sequence[Check]) -> str:
    return "\n".join(["Preflight", *_checks(checks)])


def plan(asked: Request) -> str:
    """What would be done, for --dry-run."""
    steps, guess = asked.steps, plans.guess_for(asked.device)
    rows = [("step", "what", "about", "at most", "writes"),
            *(_planned(step) for step in steps),
            ("", "all", clock(sum(step.estimate_seconds for step in steps)),
             clock(sum(step.most_seconds for step in steps)),
             _size(sum(step.estimate_written for step in steps)))]
    return "\n".join([
        f"Plan: profile {plans.title(asked.plan)} on {asked.device.path} ({asked.device.medium}), "
        f"{_size(asked.plan.extent)} of it, by {asked.plan.engine_label}",
        *columns(rows),
        f"  Times and bytes suppose a device that writes {guess.rate / 1e6:,.0f} MB/s and "
        f"{guess.iops:,.0f} IOPS; \"at most\" is when no steady state is reached."])


def _planned(step: Step) -> tuple[str, ...]:
    if step.state == "skipped":
        return (step.name, f"left out: {step.reason}", "-", "-", "-")
    if step.state == "done":
        return (step.name, "done already", "-", "-", "-")
    return (step.name, step.title, clock(step.estimate_seconds), clock(step.most_seconds),
            _size(step.estimate_written) if step.estimate_written else "-")


def _head(found: Qualification) -> list[str]:
    device = found.device
    names = [f"{word} {value}" for word, value in (("serial", device.serial),
                                                   ("firmware", device.firmware)) if value]
    head = verdict.headline(found, f"{device.path} ({device.medium})")
    lines = [head.line, *(f"  {reason}" for reason in head.details), "",
             "  " + ", ".join([_size(device.size), f"blocks of {device.logical_block} bytes",
                               *names]),
             f"  profile {plans.title(found.plan)}, {_size(found.plan.extent)} used, I/O by "
             f"{found.plan.engine_label}, seed {found.plan.seed}",
             f"  {found.started}, {clock(found.seconds)} in {len(found.sittings)} sitting(s)"]
    if not found.complete and found.verdict != REFUSED:
        lines.insert(0, "PARTIAL RESULT: not all steps were done.")
    return lines + [f"  not known: {text}" for text in device.unknown]


def _criteria(found: Qualification) -> list[str]:
    if not found.criteria:
        return []
    rows = [(item.verdict.upper(), item.requirement, item.value) for item in found.criteria]
    return ["Requirements", *columns([("", "demanded", "found"), *rows])]


def _caveats(found: Qualification) -> list[str]:
    return ["Caveats of every figure", *(f"  - {text}" for text in found.caveats)] \
        if found.caveats else []


def _checks(checks: Sequence[Check]) -> list[str]:
    rows = [("", "check", "value"),
            *(("accepted" if check.accepted else check.verdict, f"{check.title} ({check.name})",
               check.value) for check in checks)]
    advice = [f"  {check.name}: {check.remedy}" for check in checks
              if check.remedy and check.verdict in ("warn", "refuse")]
    head = ["  What to do"] if advice else []
    return [*columns(rows), *head, *(f"  {line}" for line in advice)]


def _steps(found: Qualification) -> list[str]:
    if found.verdict == REFUSED:
        return []
    rows = [(step.name, step.state, clock(step.seconds), _size(step.written) if step.written else
             "-", _steadiness(step)) for step in found.steps]
    notes = [f"  {step.name}: {text}" for step in found.steps
             for text in [*([step.reason] if step.reason else []), *step.notes]]
    return ["Steps", *columns([("step", "state", "time", "written", "steady state"), *rows]),
            *notes]


def _steadiness(step: Step) -> str:
    if not step.steady:
        return "-"
    worst = max(step.steady, key=lambda state: (not state.reached, state.spread))
    word = "reached" if worst.reached else "NOT reached"
    return (f"{word} in {len(worst.values)} rounds: scatter {worst.spread:.1%} of "
            f"{steady.MOST_SPREAD:.0%}, drift {worst.drift:.1%} of {steady.MOST_DRIFT:.0%}")


def _figures(step: Step) -> list[str]:
    if step.drivers:
        return [step.title, *_drivers(step.drivers)]
    if not step.cells:
        return []
    carried = {item.percent for cell in step.cells for item in cell.percentiles
               if item.value is not None}
    percents = [percent for percent in PERCENTS if percent in carried and percent != 90]
    rows = [("workload", "IOPS", "MB/s", "mean", *(f"p{percent:g}" for percent in percents), "max"),
            *(_cell(cell, percents) for cell in step.cells)]
    lines = [step.title, *columns(rows)]
    if step.kind == "qos":
        lines += [f"  {line}" for cell in step.cells for line in not_carried(cell)]
    return lines


def _cell(cell: Cell, percents: Sequence[float]) -> tuple[str, ...]:
    shown = {item.percent: item for item in cell.percentiles}
    return (plans.label(cell.workload), f"{cell.iops:,.0f}", f"{cell.bandwidth / 1e6:,.1f}",
            words.duration(cell.mean),
            *(_percentile(shown.get(p)) for p in percents),
            words.duration(cell.max))


def _percentile(item: Percentile | None) -> str:
    return "-" if item is None or item.value is None else words.duration(item.value)


def not_carried(cell: Cell) -> list[str]:
    """The percentiles that the counts do not carry, and what it would take."""
    return [f"p{item.percent:g} of {plans.label(cell.workload)} takes {item.needed:,} requests; "
            f"there were {cell.ios:,}" for item in cell.percentiles if item.value is None]


def _drivers(rows: Sequence[DriverRow]) -> list[str]:
    lines = []
    for work in dict.fromkeys(row.workload for row in rows):
        own = [row for row in rows if row.workload == work]
        table = [("mode", "IOPS", "mean", "p99", "latency vs. native"),
                 *(_driver(row) for row in own if row.rounds)]
        lines += [f"  {plans.label(work)}", *columns(table, "    ")]
        lines += [f"    {row.label}: {row.obstacle}" for row in own if row.obstacle]
    return lines


def _driver(row: DriverRow) -> tuple[str, ...]:
    ratio = f"{row.ratio.median:.3f} [{row.ratio.low:.3f}, {row.ratio.high:.3f}]  " \
        f"{pairing.VERDICTS[pairing.verdict(row.ratio)]}" if row.ratio else "-"
    return (row.label, f"{row.iops:,.0f}", words.duration(row.mean), words.duration(row.p99), ratio)


def _health(found: Qualification) -> list[str]:
    before, after = found.health_before, found.health_after
    lines = [f"Health, by {before.source}"]
    if before.unavailable:
        lines.append(f"  not known: {before.unavailable}")
    rows = [(health.LABELS[name], _value(before, name), _value(after, name) if after else "-")
            for name in health.known(before)]
    return lines + (columns([("", "before", "after"), *rows]) if rows else [])


def _value(state: Health, name: str) -> str:
    value = getattr(state, name)
    return "-" if value is None else health.in_words(name, value)


def _environment(found: Qualification) -> list[str]:
    return ["Environment", *columns([list(pair) for pair in describe(found.environment)])]


def _size(count: float) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count:,.0f} bytes"

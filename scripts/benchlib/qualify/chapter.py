# SPDX-License-Identifier: MIT OR Apache-2.0
"""A qualification as a chapter: is the device good enough, how does it behave, what is it."""

from __future__ import annotations

from typing import Sequence

from ..machine import environment
from ..page.page import (BAD, CAUTION, GOOD, NEUTRAL, Chapter, Download, Fact, Facts, Notes,
                         Section, Table, TableCell, cells, present, section, shown)
from ..page.tails import name as percentile_name
from ..progress import clock
from ..result.words import block_size, duration
from . import figures, health, plan as plans, text, verdict, within
from .limits import in_words
from .model import Check, Device, Health, Qualification, Step

MOODS = {"pass": GOOD, "fail": BAD, "ok": GOOD, "warn": CAUTION, "refuse": BAD, "unknown": CAUTION,
         "done": GOOD, "partial": CAUTION, "failed": BAD, "running": CAUTION}
METHOD = [
    "Steady state as SNIA's Performance Test Specification defines it: over five rounds the "
    "figures lie within 20 % of their mean, and the line fitted through them drifts by at most "
    "10 % of it. Figures are those of these rounds.",
    "Percentiles come from merged histograms, and only where at least ten I/Os were slower.",
    "Latency is submission to completion (fio's lat).",
    "What reads comes after what fills: a device that was never written answers from its tables.",
]


def chapter(found: Qualification, downloads: list[Download], host: str = "") -> Chapter:
    """`host` is where it was, when there are several."""
    device = found.device
    return Chapter(
        kind="Qualification", title=f"{host}: {device_name(device)}" if host else device_name(device),
        subtitle=f"{device.medium}, profile {plans.title(found.plan)}, "
                 f"measured {found.started[:16].replace('T', ' ')} UTC",
        verdict=shown(verdict.headline(found, device_name(found.device))),
        facts=_facts(found), downloads=downloads,
        sections=present(
            section("Requirements", _criteria(found)), section("Caveats", Notes(found.caveats)),
            section("Preflight", _checks(found.checks)),
            section("Steady state", *figures.steady_states(found)),
            section("Throughput", *figures.iops(found), *figures.throughput(found)),
            section("Latency", *figures.latency(found), *figures.depths(found),
                    *figures.tails_of(found)),
            section("Under pressure", *figures.saturation(found), *figures.mixed(found)),
            section("Within a run", *within.figures(found)),
            section("Ways to reach it", *figures.drivers(found), _drivers(found)),
            section("Steps", _steps(found.steps), Notes(_step_notes(found.steps))),
            section("Figures", *(_cells(step) for step in found.steps), Notes(_not_carried(found))),
            section("Device and health", Facts("", _device(device)), _health(found),
                    *figures.temperature(found)),
            _left_out(found), _environment(found),
            section("How it was measured", Notes(METHOD))))


def device_name(device: Device) -> str:
    return " ".join(dict.fromkeys(word for word in (device.model, device.name) if word)) or "Device"


def _facts(found: Qualification) -> list[Fact]:
    met = sum(item.verdict == "pass" for item in found.criteria)
    done = sum(step.state == "done" for step in found.steps)
    facts = [Fact(f"{met} of {len(found.criteria)}", "requirements met"),
             Fact(f"{done} of {len(found.steps)}", "steps done"),
             Fact(clock(found.seconds), "measured")]
    every = [(step, cell) for step in found.steps for cell in step.cells]
    reads = [cell for step, cell in every if step.kind == "iops"
             and figures.read_share(cell.workload.rw) == 100]
    if reads:
        best = max(reads, key=lambda cell: cell.iops)
        facts.insert(0, Fact(f"{best.iops / 1000:,.1f} k", "random reads per second, "
                             f"{block_size(best.workload.block_size)}"))
    single = [cell for step, cell in every if step.kind == "latency"
              and figures.read_share(cell.workload.rw) == 100]
    if single:
        best = min(single, key=lambda cell: cell.mean)
        facts.insert(1, Fact(duration(best.mean), "mean latency of one random read, "
                             f"{block_size(best.workload.block_size)}"))
    return facts


# ---- Tables ----------------------------------------------------------------------------------


def _criteria(found: Qualification) -> Table:
    return Table("What is demanded, and how it was met",
                 ["Requirement", "value", "verdict", "detail"],
                 [[TableCell(item.requirement), TableCell(item.value),
                   TableCell(item.verdict, MOODS[item.verdict]), TableCell(item.detail)]
                  for item in found.criteria], words=4)


def _checks(checks: Sequence[Check]) -> Table:
    rows = []
    for check in checks:
        word = f"{check.verdict}, accepted" if check.accepted else check.verdict
        advice = check.why if check.verdict == "ok" else " ".join(
            text for text in (check.why, check.remedy) if text)
        rows.append([*cells(check.title, check.value), TableCell(word, MOODS[check.verdict]),
                     TableCell(advice)])
    return Table("Was the machine fit for measuring?", ["Check", "found", "verdict", "why"], rows,
                 words=4)


def _steps(steps: Sequence[Step]) -> Table:
    rows = [[TableCell(step.title), TableCell(step.state, MOODS.get(step.state, NEUTRAL)),
             TableCell(clock(step.seconds)), TableCell(f"{step.written / 1e9:,.2f} GB"),
             TableCell(step.reason or step.purpose)] for step in steps]
    return Table("What was done", ["Step", "state", "time", "written", "purpose, or why not"], rows,
                 words=2, wordy_end=True)


def _step_notes(steps: Sequence[Step]) -> list[str]:
    lines = [f"{step.title.partition(':')[0]}: {note}" for step in steps for note in step.notes]
    lines += [f"{step.title.partition(':')[0]}: wrong data: {text}"
              for step in steps for text in step.corrupt]
    return lines


def _cells(step: Step) -> Table | None:
    if not step.cells:
        return None
    percents = [item.percent for item in step.cells[0].percentiles
                if any(other.percent == item.percent and other.value is not None
                       for cell in step.cells for other in cell.percentiles)]
    rows = []
    for cell in step.cells:
        known = {item.percent: item.value for item in cell.percentiles}
        rows.append([
            TableCell(figures.work_name(cell.workload)), TableCell(f"{cell.iops:,.0f}"),
            TableCell(in_words("bandwidth", cell.bandwidth)), TableCell(duration(cell.mean)),
            *(TableCell("–" if known.get(percent) is None else duration(known[percent] or 0))
              for percent in percents),
            TableCell(duration(cell.max)), TableCell(f"{cell.ios:,}")])
    return Table(step.title, ["Workload", "IOPS", "throughput", "mean",
                              *map(percentile_name, percents), "max", "I/Os"], rows)


def _not_carried(found: Qualification) -> list[str]:
    """Of the step that looks for the tail, what it had too few I/Os for."""
    return [line for step in found.steps if step.kind == "qos" for cell in step.cells
            for line in text.not_carried(cell)]


def _drivers(found: Qualification) -> Table | None:
    rows = [row for step in found.steps for row in step.drivers]
    if not rows:
        return None
    body = []
    for row in rows:
        if row.obstacle:
            body.append([*cells(row.label, figures.work_name(row.workload), "–", "–", "–"),
                         TableCell(f"cannot: {row.obstacle}", CAUTION)])
            continue
        ratio = f"{row.ratio.median:.3f} [{row.ratio.low:.3f}, {row.ratio.high:.3f}]" \
            if row.ratio else "reference"
        body.append(cells(row.label, figures.work_name(row.workload), f"{row.iops:,.0f}",
                          duration(row.mean), duration(row.p99), ratio))
    return Table("Every way to reach the device",
                 ["Engine", "workload", "IOPS", "mean", "p99", "against fio's own engine, or why not"],
                 body, words=2, wordy_end=True)


def _health(found: Qualification) -> Table | None:
    before, after = found.health_before, found.health_after
    names = [name for name in health.LABELS if _value(before, name) != "–"
             or (after and _value(after, name) != "–")]
    rows = [cells(health.LABELS[name], _value(before, name), _value(after, name) if after else "–")
            for name in names]
    if not rows:
        return None
    return Table(f"The device's own report ({before.source})",
                 ["What", "before", "after"], rows)


def _value(state: Health, name: str) -> str:
    value = getattr(state, name)
    return "–" if value is None else health.in_words(name, value)


def _device(device: Device) -> list[tuple[str, str]]:
    size = f"{device.size / 1e9:,.2f} GB in blocks of {device.logical_block} bytes " \
           f"(physical {device.physical_block})"
    queue = ", ".join(f"{name}={value}" for name, value in device.queue.items())
    items = [("model", device.model), ("serial", device.serial), ("firmware", device.firmware),
             ("path", device.path + (", made for this" if device.created else "")),
             ("kind", f"{device.kind}, {device.medium}"), ("size", size),
             ("PCI address", device.pci_address), ("link", device.link),
             ("NUMA node", "" if device.numa_node < 0 else str(device.numa_node)),
             ("queue", queue)]
    return [(name, value) for name, value in items if value]


def _left_out(found: Qualification) -> Section | None:
    lines = [f"{step.title.partition(':')[0]}: {step.state}"
             f"{', ' + step.reason if step.reason else ''}"
             for step in found.steps if step.state != "done"]
    lines += [f"not known: {text}" for text in found.device.unknown]
    for state, when in ((found.health_before, "before"), (found.health_after, "after")):
        if state and state.unavailable:
            lines.append(f"health {when}: {state.unavailable}")
    return section("Left out", Notes(list(dict.fromkeys(lines))))


def _environment(found: Qualification) -> Section | None:
    lines = environment.describe(found.environment)
    notes = [value for name, value in lines if name == "note"]
    plan = found.plan
    more = [("engine", f"{plan.engine_label}: {' '.join(plan.engine_options)}"),
            ("extent", f"{plan.extent / 1e9:,.2f} GB from the start"
                       f"{', read only' if plan.read_only else ''}"),
            ("fio's CPUs", ", ".join(map(str, plan.cpus))), ("seed", str(plan.seed)),
            ("sittings", ", ".join(found.sittings))]
    return section("Environment", Notes(notes),
                   Facts("", [line for line in lines if line[0] != "note"] + more))

# SPDX-License-Identifier: MIT OR Apache-2.0
"""A gate's result as a chapter: did the candidate get slower, where, and how sure is that?"""

from __future__ import annotations

import math
from typing import Sequence

import numpy as np

from ..machine import environment
from ..page import bars, panels, tails
from ..page.frame import Key, baseline_key, key
from ..page.page import (MOODS as SHADES, NEUTRAL, Chapter, Download, Fact, Facts, Figure, Notes,
                         Panel, Section, Table, TableCell, cells, present, section, shown)
from ..page.scale import change
from ..page.svg import Svg
from ..progress import clock
from ..result.model import Case, Sample
from ..result.words import case_label, duration
from ..stats import histograms, metrics
from ..verdict import GATE, IMPROVED, MOST_DISTURBED, REGRESS, TOO_FEW, TOO_NOISY
from .headline import headline, tally
from .judge import judge
from .model import BASELINE, CANDIDATE, Count, Finding, GateResult

MOODS = {name: SHADES[word.level] for name, word in GATE.words.items()}
Groups = dict[tuple[Case, str], dict[str, list[Sample]]]
LOOKS = {BASELINE: baseline_key("baseline"), CANDIDATE: key("candidate", 0)}
METHOD = [
    "Baseline and candidate ran in one campaign: in each round directly after each other, in "
    "random order and then in reverse.",
    "The shift is Hodges and Lehmann's estimate with the interval of the rank test. A regression "
    "must be significant after Holm's correction for the number of findings and at least as large "
    "as the least effect.",
    "Passed means that the interval excludes a regression of the least effect; what is neither "
    "shown nor excluded is too noisy, not passed.",
    "Instructions and system calls per I/O are counted, not timed: they repeat exactly.",
]


def chapter(result: GateResult, downloads: list[Download]) -> Chapter:
    versions = {side.name: f"{side.version} ({side.asked_for})" for side in result.sides}
    return Chapter(
        kind="Gate", title="Did the candidate get slower?",
        subtitle=f"Baseline {versions.get(BASELINE, 'unknown')}, candidate "
                 f"{versions.get(CANDIDATE, 'unknown')}; measured "
                 f"{result.started[:16].replace('T', ' ')} UTC",
        verdict=shown(headline(result)), facts=_facts(result), downloads=downloads,
        sections=present(
            section("Shifts", _shifts(result)),
            section("Counted, not timed", _counts(result.counts)),
            section("Slow I/Os", _ladders(result)), section("Over time", _rounds(result)),
            section("Figures", _findings(result)), section("Notes", Notes(_notes(result))),
            _environment(result), section("How it was measured", Notes(METHOD))))


def _facts(result: GateResult) -> list[Fact]:
    count = tally(result)
    samples = [item.samples for item in result.findings]
    facts = [Fact(str(count[word]), word.replace("-", " ")) for word in GATE.names
             if count[word]]
    if samples:
        facts.append(Fact(f"{min(samples)}–{max(samples)}" if min(samples) < max(samples)
                          else str(samples[0]), "pairs of runs behind a finding"))
    return [*facts, Fact(clock(result.seconds), "measured"),
            Fact(f"{result.limits.effect:.1%}".replace("%", " %"), "least effect of concern"),
            Fact(f"{result.other_load:.0%}".replace("%", " %"), "of the machine used by others")]


# ---- Figures ---------------------------------------------------------------------------------


def _shifts(result: GateResult) -> Figure | None:
    if not result.findings:
        return None
    several = len({item.metric for item in result.findings}) > 1
    spans = [bars.Span(f"{item.mode}, {item.metric}" if several else item.mode, role,
                       {"bad": "square", "good": "circle", "caution": "diamond"}.get(role, "plus"),
                       item.shift.median, item.shift.low, item.shift.high,
                       f"{change(item.shift.median)} {item.verdict.replace('-', ' ')}",
                       case_label(item.case))
             for item in result.findings for role in (MOODS.get(item.verdict, NEUTRAL),)]
    slower = sum(item.verdict == REGRESS for item in result.findings)
    unknown = sum(item.verdict in (TOO_FEW, TOO_NOISY) for item in result.findings)
    title = f"{slower or 'None'} of {len(spans)} timed findings {'is' if slower < 2 else 'are'} " \
            "proven slower" + (f"; {unknown} cannot be told" if unknown else "")
    alt = f"{title}. " + "; ".join(f"{span.group}, {span.name}: {span.words}" for span in spans)
    least = f"{result.limits.effect:.1%}".replace("%", " %")

    def draw(width: float, _legend: bool) -> Svg:
        return bars.spans(width, spans, alt, result.limits.effect,
                          "latency of the candidate against the baseline; left is better")

    return Figure(title, f"Marks: Hodges and Lehmann's shift; lines: its interval. The band is "
                  f"±{least}, the least effect of concern. Circles passed or improved, squares "
                  "regressed, diamonds cannot be told.", [Panel("", draw)])


def _groups(result: GateResult) -> Groups:
    """By case and mode, the runs of each side."""
    found: Groups = {}
    for sample in result.samples:
        mode, _, side = sample.engine.partition("@")
        if side in LOOKS:
            found.setdefault((sample.case, mode), {}).setdefault(side, []).append(sample)
    return found


def _title(case: Case, mode: str) -> str:
    return f"{mode}, {case_label(case)}"


def _ladders(result: GateResult) -> Figure | None:
    groups = _groups(result)
    found = [panel for (case, mode), sides in list(groups.items())[:panels.MOST]
             if (panel := panels.ladder(_title(case, mode), [
                 (LOOKS[side], histograms.merge(sample.latency for sample in sides[side]))
                 for side in LOOKS if side in sides]))]
    if not found:
        return None
    return Figure(_tail_title(result, groups),
                  "A point at 99 says: 99 % of all I/Os took no longer than this; lower is better. "
                  f"A line ends where fewer than {tails.ENOUGH} I/Os are left to tell.", found,
                  _legend(groups))


def _tail_title(result: GateResult, groups: Groups) -> str:
    """Where 99th percentiles are proven apart, by the same tests as the findings, and most so."""
    figure = metrics.tail(99, tails.ENOUGH)
    each = [[sample for side in sides.values() for sample in side] for sides in groups.values()]
    carried = [sample for samples in each if all(math.isfinite(figure(one)) for one in samples)
               for sample in samples]
    found = judge(carried, ["p99"], result.limits, all(item.paired for item in result.findings))
    apart = [item for item in found if item.verdict in (IMPROVED, REGRESS)]
    if not apart:
        return "No difference between the 99th percentiles is proven"
    farthest = max(apart, key=lambda item: abs(math.log(item.shift.median)))
    busy = f", while others used {result.other_load:.0%} of the machine".replace("%", " %") \
        if result.other_load > MOST_DISTURBED else ""
    return (f"In {len(apart)} of {len(groups)} cases the 99th percentiles are proven to differ, most "
            f"for {_title(farthest.case, farthest.mode)}: {change(farthest.shift.median)}{busy}")


def _rounds(result: GateResult) -> Figure | None:
    groups = _groups(result)
    found = [panel for (case, mode), sides in list(groups.items())[:panels.MOST]
             if (panel := panels.rounds(_title(case, mode), [
                 (LOOKS[side], sorted(sides[side], key=lambda sample: sample.round))
                 for side in LOOKS if side in sides]))]
    if not found:
        return None
    spreads = [panels.spread(samples) for sides in groups.values() for samples in sides.values()]
    typical = f"{float(np.median(spreads)):.0%}".replace("%", " %")
    return Figure(f"Half of a side's rounds typically lie within {typical} of each other: what is "
                  "slow for both cancels out",
                  "Each point is one fio process. Both sides of a round ran directly after each "
                  "other. Hollow points: other programs disturbed the round.", found,
                  _legend(groups))


def _legend(groups: Groups) -> list[Key]:
    return [look for side, look in LOOKS.items() if any(side in sides for sides in groups.values())]


# ---- Tables ----------------------------------------------------------------------------------


def _findings(result: GateResult) -> Table:
    rows = [[*cells(f"{item.mode}, {case_label(item.case)}", item.metric, duration(item.baseline),
                    duration(item.candidate), f"{item.shift.median:.4f}",
                    f"{item.shift.low:.4f} to {item.shift.high:.4f}", f"{item.p_holm:.2g}",
                    str(item.samples)),
             TableCell(_word(item), MOODS.get(item.verdict, NEUTRAL))] for item in result.findings]
    return Table("Every finding", ["Mode and case", "metric", "baseline", "candidate", "ratio",
                                   "interval", "p (Holm)", "samples", "verdict"], rows, words=2,
                 wordy_end=True)


def _word(item: Finding) -> str:
    return item.verdict.replace("-", " ") + ("" if item.paired else ", not paired")


def _counts(counts: Sequence[Count]) -> Table:
    rows = [[*cells(f"{item.mode}, {case_label(item.case)}", item.what.replace("_", " "),
                    f"{item.baseline:,.6g}", f"{item.candidate:,.6g}",
                    f"{item.candidate - item.baseline:+,.4g}"),
             TableCell(item.verdict.replace("-", " "), MOODS.get(item.verdict, NEUTRAL))]
            for item in counts]
    return Table("Spent per I/O", ["Mode and case", "what", "baseline", "candidate", "difference",
                                   "verdict"], rows, words=2, wordy_end=True)


def _notes(result: GateResult) -> list[str]:
    tolerated = ", ".join(word.replace("-", " ") for word in result.tolerated)
    return [*result.notes, *([f"Tolerated, by request: {tolerated}."] if tolerated else []),
            f"Exit status {result.exit_status}."]


def _environment(result: GateResult) -> Section | None:
    versions = ", ".join(f"{side.name} {side.version}" for side in result.sides)
    lines = [(what, f"{versions} ({result.environment.libblkio_build})" if what == "libblkio" else
              value) for what, value in environment.describe(result.environment)]
    notes = [value for name, value in lines if name == "note"]
    more = [(f"target {target.name}", f"{target.medium}, {target.size >> 20} MiB")
            for target in result.targets]
    more += [(side.name, f"{side.version}, asked for as {side.asked_for}") for side in result.sides]
    settings = result.settings
    more += [("fio's CPUs", ", ".join(map(str, settings.cpus))), ("seed", str(settings.seed)),
             ("false alarms", f"at most {result.limits.alpha:.0%} of runs without any difference")]
    return section("Environment", Notes(notes),
                   Facts("", [line for line in lines if line[0] != "note"] + more))

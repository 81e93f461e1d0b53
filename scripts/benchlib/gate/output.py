# SPDX-License-Identifier: MIT OR Apache-2.0
"""A gate's result for people and for CI: text, Markdown, JUnit XML."""

from __future__ import annotations

from typing import Sequence
from xml.etree import ElementTree

from ..result.words import case_id, case_label, duration
from ..verdict import GATE, REGRESS, TOO_FEW, TOO_NOISY
from .counts import INSTRUCTIONS
from .headline import headline
from .model import Count, Finding, GateResult, Item

FAILURES = (REGRESS, TOO_NOISY, TOO_FEW)


def sides(result: GateResult) -> str:
    return " and ".join(f"{side.name} {side.asked_for} ({side.version})" for side in result.sides)


def render(result: GateResult) -> str:
    """The text for a terminal."""
    lines = [headline(result).line, f"{sides(result)}; {_design(result)}", ""]
    rows = [_finding_row(finding) for finding in result.findings]
    rows += [_count_row(count) for count in result.counts]
    for case, group in _by_case(rows):
        lines += [case, *(f"  {text}" for text in group), ""]
    lines += [f"note: {note}" for note in result.notes]
    lines.append(f"Others used {result.other_load:.0%} of the machine meanwhile; seed "
                 f"{result.settings.seed}, {result.seconds:.0f} s; exit status "
                 f"{result.exit_status}.")
    return "\n".join(lines) + "\n"


def _design(result: GateResult) -> str:
    if all(finding.paired for finding in result.findings):
        return "latency by pairs of runs"
    return "UNPAIRED: the baseline was measured at another time"


def _by_case(rows: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    grouped: dict[str, list[str]] = {}
    for case, text in rows:
        grouped.setdefault(case, []).append(text)
    return list(grouped.items())


def change(ratio: float) -> str:
    return f"{ratio - 1:+.1%}"


def _finding_row(finding: Finding) -> tuple[str, str]:
    shift = finding.shift
    return case_label(finding.case), (
        f"{finding.verdict:10} {finding.mode} {finding.metric}: {duration(finding.baseline)} -> "
        f"{duration(finding.candidate)}, {change(shift.median)} [{change(shift.low)}, "
        f"{change(shift.high)}], p {finding.p_holm:.2g} (Mann-Whitney {finding.p_mann_whitney:.2g})"
        f", {finding.samples} {'pairs' if finding.paired else 'runs'}; median "
        f"{change(finding.ratio.median)} [{change(finding.ratio.low)}, "
        f"{change(finding.ratio.high)}]")


def _count_row(count: Count) -> tuple[str, str]:
    return case_label(count.case), (
        f"{count.verdict:10} {count.mode} {count.what} per I/O: {figure(count, count.baseline)} -> "
        f"{figure(count, count.candidate)}"
        + ("" if count.repeatable else " (does not repeat here)"))


def figure(count: Count, value: float) -> str:
    return f"{value:.1f}" if count.what == INSTRUCTIONS else f"{value:.2f}"


# ---- Markdown ----------------------------------------------------------------------------------


def markdown(result: GateResult) -> str:
    """A summary as pull requests and $GITHUB_STEP_SUMMARY show it."""
    lines = [f"### Latency gate: {headline(result).line}", "",
             f"{sides(result)[0].upper()}{sides(result)[1:]}; {_design(result)}.", "",
             "| verdict | case | mode | what | baseline | candidate | change | 95 % interval | p |",
             "|---|---|---|---|---:|---:|---:|---:|---:|"]
    for finding in result.findings:
        shift = finding.shift
        lines.append(
            f"| {_emphasis(finding.verdict)} | {case_label(finding.case)} | {finding.mode} | "
            f"{finding.metric} latency | {duration(finding.baseline)} | "
            f"{duration(finding.candidate)} | {change(shift.median)} | {change(shift.low)} to "
            f"{change(shift.high)} | {finding.p_holm:.2g} |")
    for count in result.counts:
        ratio = count.candidate / count.baseline if count.baseline else 1.0
        lines.append(
            f"| {_emphasis(count.verdict)} | {case_label(count.case)} | {count.mode} | "
            f"{count.what} per I/O | {figure(count, count.baseline)} | "
            f"{figure(count, count.candidate)} | {change(ratio)} | counted | |")
    e = result.environment
    lines += ["", *(f"- {note}" for note in result.notes),
              f"- {e.fio}, {e.kernel}, {e.cpu}; others used {result.other_load:.0%} of the machine",
              f"- least effect {result.limits.effect:.1%}, alpha {result.limits.alpha:.1%} after "
              f"Holm, seed {result.settings.seed}, {result.seconds:.0f} s"]
    return "\n".join(lines) + "\n"


def _emphasis(word: str) -> str:
    return f"**{word}**" if word in FAILURES else word


# ---- JUnit -------------------------------------------------------------------------------------


def junit(result: GateResult) -> str:
    """One test case per verdict; what is tolerated is skipped instead of failed."""
    items = result.items()
    failing = [item for item in items if _fails(item.verdict, result)]
    suite = ElementTree.Element("testsuite", name="libblkio-gate", tests=str(len(items)),
                                failures=str(len(failing)), errors=str(int(not items)),
                                skipped=str(sum(_skips(i.verdict, result) for i in items)),
                                time=f"{result.seconds:.1f}", timestamp=result.started[:19])
    properties = ElementTree.SubElement(suite, "properties")
    for side in result.sides:
        ElementTree.SubElement(properties, "property", name=side.name,
                               value=f"{side.asked_for} ({side.version})")
    for item in items:
        _junit_case(suite, item, result)
    if not items:
        case = ElementTree.SubElement(suite, "testcase", classname="gate", name="measurement")
        ElementTree.SubElement(case, "error", message=headline(result).line)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _junit_case(suite: ElementTree.Element, item: Item, result: GateResult) -> None:
    what = item.metric if isinstance(item, Finding) else item.what
    _, text = _finding_row(item) if isinstance(item, Finding) else _count_row(item)
    case = ElementTree.SubElement(suite, "testcase", classname=case_id(item.case),
                                  name=f"{item.mode} {what}")
    if _fails(item.verdict, result):
        ElementTree.SubElement(case, "failure", type=item.verdict,
                               message=GATE[item.verdict].meaning).text = text
    elif _skips(item.verdict, result):
        ElementTree.SubElement(case, "skipped", message=f"{item.verdict}, tolerated")
    ElementTree.SubElement(case, "system-out").text = text


def _fails(word: str, result: GateResult) -> bool:
    return word in FAILURES and word not in result.tolerated


def _skips(word: str, result: GateResult) -> bool:
    return word in FAILURES and word in result.tolerated

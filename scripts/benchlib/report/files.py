# SPDX-License-Identifier: MIT OR Apache-2.0
"""Everything drawn from a result: table, environment and chart, as files and on stdout."""

from __future__ import annotations

from pathlib import Path

from . import chart
from .. import environment, results, table
from ..model import Result


def write(folder: Path, result: Result) -> None:
    """Write the files for people beside result.json."""
    results.write_text(folder / "table.txt", table.render(result))
    results.write_text(folder / "environment.txt", environment_text(result))
    chart.draw(result, folder)


def announce(folder: Path, result: Result) -> None:
    """Print the table, and where everything is."""
    print(table.render(result))
    print(f"Chart {folder / 'chart.png'}, all figures and the environment in {folder}/")


def environment_lines(result: Result) -> list[tuple[str, str]]:
    """Where and with what was measured, as (what, value)."""
    lines = [("measured", f"{result.started}, {result.seconds:.0f} s"),
             *environment.describe(result.environment),
             ("fio's CPUs", ", ".join(map(str, result.settings.cpus)))]
    for target in result.targets:
        queue = ", ".join(f"{name}={value}" for name, value in target.queue.items())
        lines.append((f"target {target.name}", f"{target.medium}, {target.size >> 20} MiB"
                                               f"{', queue: ' + queue if queue else ''}"))
    for contender in result.contenders:
        flags = "unknown" if contender.ring_flags is None else \
            " ".join(contender.ring_flags) or "none"
        lines.append((f"mode {contender.name}", f"{' '.join(contender.options)}; "
                                                f"ring flags: {flags}"))
    return lines


def environment_text(result: Result) -> str:
    lines = environment_lines(result)
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:{width}}  {value}" for name, value in lines) + "\n"

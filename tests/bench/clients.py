# SPDX-License-Identifier: MIT OR Apache-2.0
"""One loop over several clients of a server: what run-nbd and run-iscsi share."""

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

from counting import calls, instructions, per_request

SKIPPED = 77


@dataclass
class Figure:
    """One line of the table; all figures are per read. None: cannot be counted here."""

    server: str
    length: int
    depth: int
    contender: str
    ns: float
    instructions: Optional[float]
    in_library: Optional[float]  # of the instructions
    calls: Optional[float]


def skip(reason: str) -> None:
    print(reason)
    sys.exit(SKIPPED)


def take_a_cpu() -> set[int]:
    """One CPU for this process and what it starts; the others are left for servers."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cpus)})
    return cpus - {max(cpus)} or cpus


def measure(program: Path, server: str, place: str, cell: tuple[int, int],
            args: argparse.Namespace) -> list[Figure]:
    length, depth = cell

    def command(n: int, rounds: int = 1, *which: str) -> list[str]:
        return [str(program), place, str(length), str(depth), str(n), str(rounds), *which]

    done = subprocess.run(command(args.requests, args.rounds), stdout=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode:
        sys.exit(f"{program.name} failed with {server}")
    found: dict[str, list[float]] = {}
    for record in map(json.loads, done.stdout.splitlines()):
        found.setdefault(record["contender"], []).append(record["ns"])
    return [Figure(server, length, depth, name, statistics.median(values),
                   *per_request(instructions, lambda n: command(n, 1, name), args.counted),
                   per_request(calls, lambda n: command(n, 1, name), args.requests)[0])
            for name, values in found.items()]


def show(figures: list[Figure]) -> str:
    def number(value: Optional[float], digits: int) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    rows = [("server", "bytes", "depth", "client", "instructions", "in libblkio", "calls", "ns")]
    rows += [(f.server, str(f.length), str(f.depth), f.contender, number(f.instructions, 0),
              number(f.in_library if "libblkio" in f.contender else None, 0),
              number(f.calls, 3), number(f.ns, 0)) for f in figures]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) if i in (0, 3) else cell.rjust(w)
                               for i, (cell, w) in enumerate(zip(row, widths))) for row in rows)


def parse(description: str, program: str) -> argparse.Namespace:
    """The command line of a script that runs `program` of the build."""
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("build/tests/bench"),
                        help=f"where {program} is (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--quick", action="store_true",
                        help="too few requests for useful figures: only shows that it runs")
    args = parser.parse_args()
    args.program = args.folder / program
    if not args.program.exists():
        parser.error(f"no {program} in {args.folder}: meson compile first, or name the folder")
    args.rounds, args.requests, args.counted = (1, 640, 320) if args.quick else (9, 20_000, 2_000)
    args.cells = ((512, 32),) if args.quick else ((512, 1), (512, 32), (4096, 1), (4096, 32))
    return args


def write(file: Path, name: str, figures: list[Figure], quick: bool) -> None:
    text = json.dumps({"kernel": os.uname().release, "quick": quick,
                       name: [asdict(f) for f in figures]}, indent=1)
    file.write_text(text + "\n")

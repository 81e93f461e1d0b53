# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a request costs in Rust and in C."""

import re
import shutil
from pathlib import Path

from tap import Tap, run
from workspace import Workspace

MAX_EXTRA = 40  # instructions per request over C
REQUESTS = 64_000


def events(work: Workspace, program: Path, requests: int, depth: int) -> dict[str, int]:
    """Instructions (Ir) and locked operations (Ge), as valgrind counts them."""
    out = work.folder / "callgrind.out"
    done = run(["valgrind", "--tool=callgrind", "--collect-bus=yes",
                f"--callgrind-out-file={out}", program, str(requests), str(depth)], env=work.env)
    text = out.read_text() if done.returncode == 0 else ""
    out.unlink(missing_ok=True)
    names = re.search(r"^events: (.*)$", text, re.M)
    sums = re.search(r"^(?:summary|totals): (.*)$", text, re.M)
    if not names or not sums:
        raise RuntimeError(done.stdout)
    return dict(zip(names[1].split(), map(int, sums[1].split())))


def per_request(work: Workspace, program: Path, depth: int) -> dict[str, float]:
    """What the second half of the requests adds."""
    few = events(work, program, REQUESTS, depth)
    many = events(work, program, 2 * REQUESTS, depth)
    return {name: (many.get(name, 0) - few.get(name, 0)) / REQUESTS for name in ("Ir", "Ge")}


def cost(tap: Tap, work: Workspace) -> None:
    """Exact counts, the same on any machine."""
    rust, c = work.target / "release" / "examples" / "cost", work.folder / "cost"
    if not shutil.which("valgrind"):
        tap.skip("cost of a request", "no valgrind: run scripts/setup")
        return
    for depth in (1, 32):
        try:
            mine, theirs = per_request(work, rust, depth), per_request(work, c, depth)
        except RuntimeError as failure:
            tap.case(f"cost at depth {depth}", [str(failure)])
            continue
        extra = mine["Ir"] - theirs["Ir"]
        tap.note(f"depth {depth}: {mine['Ir']:.1f} instructions, C {theirs['Ir']:.1f}; "
                 f"{mine['Ge']:.2f} locked operations, C {theirs['Ge']:.2f}")
        tap.case(f"at most {MAX_EXTRA} instructions over C at depth {depth}",
                 [] if extra <= MAX_EXTRA and theirs["Ir"] > 10 else [f"{extra:.1f}: {mine} {theirs}"])
        tap.case(f"no locked operation at depth {depth}",
                 [] if mine["Ge"] < 0.01 else [f"{mine['Ge']:.2f} per request"])

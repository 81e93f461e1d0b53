# SPDX-License-Identifier: MIT OR Apache-2.0
"""Latency, IOPS and bandwidth over the time of one run: fio's logs, averaged over an interval.

fio writes them when it is done, but adds each I/O up as it goes, which costs it some 50 ns; so they
are for runs that are long enough to have something to show.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

from ..result.model import Within

NAME = "log"  # of the files, before _lat.log and so on


@contextmanager
def logged(interval_ms: int) -> Iterator[tuple[list[str], Callable[[], Within | None]]]:
    """fio's options, and what its logs say once it has run; 0: neither."""
    if not interval_ms:
        yield [], lambda: None
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield options(folder, interval_ms), lambda: read(Path(folder), interval_ms)


def options(folder: str, interval_ms: int) -> list[str]:
    logs = [f"--write_{kind}_log={folder}/{NAME}" for kind in ("lat", "iops", "bw")]
    return [*logs, f"--log_avg_msec={interval_ms}", "--per_job_logs=0"]


def read(folder: Path, interval_ms: int) -> Within | None:
    """None when there is too little: a run that ended within an interval."""
    rates, bandwidths, latencies = (_entries(folder / f"{NAME}_{kind}.log", interval_ms)
                                    for kind in ("iops", "bw", "lat"))
    bins = sorted(bin_ for bin_ in rates if sum(rates[bin_].values()) > 0 and latencies[bin_])
    if len(bins) < 2:
        return None
    return Within(interval_ms, [bin_ * interval_ms for bin_ in bins],
                  [round(sum(rates[bin_].values())) for bin_ in bins],
                  [round(sum(bandwidths[bin_].values()) * 1024) for bin_ in bins],
                  [round(_mean(latencies[bin_], rates[bin_])) for bin_ in bins])


Entries = dict[int, dict[tuple[int, int], float]]


def _entries(file: Path, interval_ms: int) -> Entries:
    """Value by interval, and there by direction and job: "time, value, direction, ..." a line, each
    job's in the order of time, one job after the other. What is left at the end of a run and falls
    into an interval that is there already is dropped."""
    found: Entries = defaultdict(dict)
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return found
    job, before = 0, 0
    for line in lines:
        time, value, direction = (int(field) for field in line.split(",")[:3])
        job += time < before
        before = time
        number = max(1, int(time / interval_ms + 0.5))
        found[number].setdefault((direction, job), float(value))
    return found


def _mean(latencies: dict[tuple[int, int], float], rates: dict[tuple[int, int], float]) -> float:
    """Weighted by how many I/Os there were of each."""
    weights = {key: max(1.0, rates.get(key, 0.0)) for key in latencies}
    return sum(value * weights[key] for key, value in latencies.items()) / sum(weights.values())

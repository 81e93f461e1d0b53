# SPDX-License-Identifier: MIT OR Apache-2.0
"""Results for the tests of reports and history: plausible, complete, from a seed."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

from support import sample
from benchlib.gate import model as gate, verdict as gate_verdict
from benchlib.qualify import cells, model as qualify, verdict
from benchlib.qualify.steady import MOST_ROUNDS
from benchlib.result import model
from benchlib.result.model import Case, Histogram
from benchlib.stats import summaries

HOSTILE = ("<script>alert(1)</script>\"'&--><img src=http://evil.example/x onerror=a>|`*_${7*7}"
           "{{7*7}}")
ENVIRONMENT = model.Environment(
    fio="fio-3.33", libblkio="1.5.0", libblkio_build="release", kernel="Linux 6.1 x86_64",
    distribution="Debian", cpu="A CPU", cpus=4, threads_per_core=1, numa_nodes=1, virtualised="no",
    memory_mib=8192, governor="performance", idle_states="C1", cpu_latency_held=True, clock="tsc",
    mitigations="", python="3.11", notes=["the kitchen light was on"])


def histogram(source: random.Random, mean: float, ios: int = 20000) -> Histogram:
    """A bell with a tail."""
    bins = [int(mean * share) for share in (0.8, 0.9, 1.0, 1.1, 1.3, 2.0, 5.0, 20.0)]
    weights = (0.1, 0.2, 0.35, 0.2, 0.1, 0.04, 0.009, 0.001)
    return Histogram(bins, [max(1, int(ios * w * source.uniform(0.9, 1.1))) for w in weights])


def within(source: random.Random, mean: float, iops: float, size: int) -> model.Within:
    """Ten intervals, of which the seventh is slow."""
    shares = [source.uniform(0.97, 1.03) * (3 if i == 6 else 1) for i in range(10)]
    return model.Within(100, [100 * (i + 1) for i in range(10)],
                        [int(iops / share) for share in shares],
                        [int(iops * size / share) for share in shares],
                        [int(mean * share) for share in shares])


def comparison(rounds: int = 8, depths: tuple[int, ...] = (1, 32),
               sizes: tuple[int, ...] = (512,), speed: float = 0.9,
               **changes: Any) -> model.Result:
    """Native against two modes: `block` takes `speed` of native's time, `loop` more."""
    source = random.Random(7)
    samples = []
    for number in range(rounds):
        for case in (Case("page-cache", "randread", size, depth, 1) for size in sizes
                     for depth in depths):
            for name, share in (("native", 1.0), ("block", speed), ("loop", 1.4)):
                mean = 1000.0 * case.depth ** 0.8 * share * source.uniform(0.995, 1.005)
                latency = histogram(source, mean)
                samples.append(sample(
                    case=case, engine=name, round=number, mean=mean, latency=latency,
                    ios=sum(latency.counts), iops=case.depth * 1e9 / mean, calm=number != 1))
    fields: dict[str, Any] = {
        "schema": model.SCHEMA, "complete": True, "started": "2026-01-01T00:00:00+00:00",
        "seconds": 12.5,
        "settings": model.Settings(
            workloads=["randread"], block_sizes=list(sizes), depths=list(depths), numjobs=[1],
            modes=[], rounds=rounds, until=None, budget=None, runtime_ms=500, ramp_ms=100, seed=1,
            cpus=[1], max_load=0.05),
        "environment": ENVIRONMENT,
        "targets": [model.TargetInfo("page-cache", "page cache", "page-cache", False, 1 << 20,
                                     "ext4", "", {"io_poll": "0"})],
        "engines": [
            model.EngineInfo("native", "fio's io_uring", "", "", "fio-3.33", ["--x"], ["CQ"]),
            model.EngineInfo("block", "libblkio, blocking", "native", "1.5", "fio-3.33", ["--y"],
                                None),
            model.EngineInfo("loop", "libblkio, busy loop", "native", "1.5", "fio-3.33", ["--z"],
                                None)],
        "skips": [model.Skip("page-cache", "poll", "polling needs O_DIRECT")],
        "summaries": summaries.summarise(samples, {"block": "native", "loop": "native"}, 1),
        "system_calls": [], "retried_rounds": 0, "samples": samples}
    return model.Result(**{**fields, **changes})


# ---- Qualification ---------------------------------------------------------------------------


def _health(wear: int) -> qualify.Health:
    return qualify.Health(
        taken="2026-01-01T00:00:00+00:00", source="NVMe SMART log", unavailable="",
        critical_warning=0, temperature_c=41.0, warning_temperature_c=70.0, spare=100,
        spare_threshold=10, percentage_used=wear, data_read=10 ** 12, data_written=2 * 10 ** 12,
        power_cycles=12, power_on_hours=3456, unsafe_shutdowns=2, media_errors=0,
        error_log_entries=0, throttled_seconds=0)


class _Measuring:
    """Makes points as a device would give them."""

    def __init__(self) -> None:
        self.source = random.Random(11)
        self.at = 0.0

    def point(self, work: qualify.Workload, number: int, worn: float) -> tuple[qualify.Point, Any]:
        mean = 80e3 * max(1, work.depth / 8) * (work.block_size / 4096) ** 0.3 * worn
        mean *= self.source.uniform(0.97, 1.03)
        latency = histogram(self.source, mean)
        iops = work.depth * work.numjobs * 1e9 / mean
        self.at += 1.2
        point = qualify.Point(
            at=self.at, round=number, workload=work, engine="block", ios=sum(latency.counts),
            iops=iops, bandwidth=iops * work.block_size, mean=mean, stddev=mean / 5,
            min=latency.bins[0], max=latency.bins[-1], p99=mean * 2, user_cpu=20.0,
            system_cpu=50.0, other_load=0.0, temperature_c=40 + self.at / 40, written=0,
            within=within(self.source, mean, iops, work.block_size))
        return point, latency

    def step(self, kind: str, title: str, works: list[qualify.Workload], rounds: int,
             track: str = "", settles: int = 0) -> qualify.Step:
        """A step whose first `settles` rounds are quicker, as those of a fresh device."""
        points, latencies = [], []
        for number in range(rounds):
            for work in works:
                worn = 1.0 if number >= settles else 0.4 + 0.6 * number / settles
                point, latency = self.point(work, number, worn)
                points.append(point)
                latencies.append(latency)
        steady = [state for work in works[:1] if track and (state := cells.look(
            points, work, track, f"{track} of the first workload", MOST_ROUNDS))]
        return qualify.Step(
            name=kind, kind=kind, title=f"{title}: as it goes", purpose="to know", destructive=True,
            estimate_seconds=1.0, most_seconds=2.0, estimate_written=0, state="done",
            seconds=rounds * 1.2, points=points, steady=steady,
            cells=cells.cells(points, latencies, steady[0].first if steady else 0))


def _driver(name: str, label: str, mean: float, ratio: model.Interval | None,
            obstacle: str = "") -> qualify.DriverRow:
    return qualify.DriverRow(workload=qualify.Workload("randread", 4096, 1), engine=name,
                             label=label, obstacle=obstacle, rounds=7,
                             iops=1e9 / mean if mean else 0.0, mean=mean, p99=2 * mean, ratio=ratio)


def qualification(**changes: Any) -> qualify.Qualification:
    """A device that did well."""
    run, work = _Measuring(), qualify.Workload
    sizes = (4096, 8192, 65536, 131072)
    steps = [
        run.step("iops", "Random IOPS", [work(rw, size, 32) for size in sizes
                                         for rw in ("randwrite", "randrw:65", "randread")],
                 9, "iops", settles=4),
        run.step("throughput", "Sequential throughput",
                 [work(rw, 131072, 32) for rw in ("read", "write")], 6, "bandwidth"),
        run.step("latency", "Latency of single requests",
                 [work(rw, size, 1) for size in (512, 4096, 8192)
                  for rw in ("randread", "randrw:65", "randwrite")], 5, "mean"),
        run.step("depth", "Depth", [work("randread", 4096, depth)
                                    for depth in (1, 2, 4, 8, 16, 32, 64)], 2),
        run.step("qos", "The slowest requests", [work("randread", 4096, depth)
                                                 for depth in (1, 32)], 5),
        run.step("saturation", "Writing without a pause", [work("randwrite", 4096, 32)], 30,
                 settles=12),
        *(qualify.Step(name, name.partition("-")[0], f"{name.capitalize()}: as it goes", "to know",
                       True, 1.0, 2.0, 0, state="done", verified=32 << 20)
          for name in ("purge", "fill", "fill-random", "mixed", "integrity")),
        qualify.Step("trim", "trim", "Trim: throw away", "to know", True, 1.0, 2.0, 0,
                     state="skipped", reason="the device cannot trim"),
        qualify.Step("drivers", "drivers", "Drivers: every way", "to know", False, 1.0, 2.0, 0,
                     state="done", drivers=[
                         _driver("native", "fio's io_uring", 1e5, None),
                         _driver("block", "libblkio, blocking", 9e4,
                                 model.Interval(0.9, 0.88, 0.93, 0.95, 7)),
                         _driver("poll", "libblkio, polling", 0.0, None, "no poll queues")])]
    fields: dict[str, Any] = {
        "schema": qualify.SCHEMA, "verdict": "qualified", "reasons": ["2 of 2 requirements met"],
        "complete": True, "started": "2026-01-01T00:00:00+00:00", "seconds": 300.0,
        "sittings": ["2026-01-01T00:00:00+00:00"],
        "plan": qualify.Plan(profile="smoke", scale=1.0, engine="block", engine_label="libblkio, blocking",
                             engine_options=["--x"], extent=10 ** 12, read_only=False, cpus=[1],
                             seed=1), "environment": ENVIRONMENT,
        "device": qualify.Device(
            path="/dev/nvme0n1", kind="nvme", created=False, name="nvme0n1",
            medium="NVMe disk: SWIFT 1TB", model="SWIFT 1TB", serial="S123", firmware="2B2Q",
            size=10 ** 12, logical_block=512, physical_block=4096, pci_address="0000:01:00.0",
            link="8.0 GT/s x4 of 16.0 GT/s x4", numa_node=0, queue={"scheduler": "none"},
            unknown=[]),
        "health_before": _health(3), "health_after": _health(3),
        "checks": [qualify.Check("scheduler", "I/O scheduler", "none", "ok", False,
                                 "a scheduler adds latency", ""),
                   qualify.Check("governor", "CPU governor", "powersave", "warn", False,
                                 "clock changes add noise", "set it to performance")],
        "caveats": [], "steps": steps,
        "criteria": [qualify.Criterion("integrity", "all data read back as written", "32 MiB",
                                       "pass", ""),
                     qualify.Criterion("latency", "latency 4k randread p99 <= 200us", "160 µs",
                                       "pass", "demanded by the limits file")]}
    found = verdict.judged(qualify.Qualification(**{**fields, **changes}))
    return dataclasses.replace(found, **changes)


# ---- Gate ------------------------------------------------------------------------------------


def gated(shift: float = 1.0, instructions: float = 641.0, **changes: Any) -> gate.GateResult:
    """A gate whose candidate takes `shift` of the baseline's time."""
    source = random.Random(5)
    limits = gate.Limits(effect=0.02, alpha=0.05, instructions=0.01, system_calls=0.05)
    samples, findings = [], []
    for case in (Case("page-cache", "randread", 512, depth, 1) for depth in (1, 32)):
        for number in range(10):
            for side, share in ((gate.BASELINE, 1.0), (gate.CANDIDATE, shift)):
                mean = 1000.0 * case.depth * share * source.uniform(0.99, 1.01)
                samples.append(sample(case=case, engine=f"block@{side}", round=number,
                                      mean=mean, latency=histogram(source, mean)))
        interval = model.Interval(shift, shift * 0.995, shift * 1.005, 0.95, 10)
        p = 0.002 if shift != 1 else 0.7
        findings.append(gate.Finding(
            case=case, mode="block", metric="typical", paired=True, samples=10, baseline=1000.0,
            candidate=1000.0 * shift, ratio=interval, shift=interval, p=p, p_holm=p,
            p_mann_whitney=p, verdict=gate_verdict.of_shift(interval, p, 0.002, limits)))
    base = comparison()
    word = gate_verdict.worst(finding.verdict for finding in findings)
    if word == gate_verdict.PASS and shift < 1:
        word = gate_verdict.IMPROVED
    fields: dict[str, Any] = dict(
        schema=gate.SCHEMA, complete=True, started="2026-01-01T00:00:00+00:00", seconds=60.0,
        verdict=word, exit_status=0, tolerated=[], limits=limits, settings=base.settings,
        sides=[gate.Side(gate.BASELINE, "v1", "1.5.0"),
               gate.Side(gate.CANDIDATE, "build", "1.5.1")],
        environment=ENVIRONMENT, targets=base.targets, other_load=0.01, findings=findings,
        counts=[gate.Count(findings[0].case, "block", "instructions", 640.0, instructions, True,
                           "pass"),
                gate.Count(findings[0].case, "block", "system calls", 1.0, 1.0, True, "pass")],
        notes=[], samples=samples)
    return gate.GateResult(**{**fields, **changes})

# SPDX-License-Identifier: MIT OR Apache-2.0
"""The rounds on all hosts: each mode runs on every host at the same time, by one fio client per host,
so that a host that dies ends its own client only.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import BenchError
from ..measure import fio
from ..measure.engines import Engine
from ..measure.schedule import Block, blocks
from ..progress import Progress
from ..result.model import Case, Sample, Settings
from ..result.words import case_label, duration
from . import job as job_file

ELSEWHERE = "--cpus_allowed"  # CPUs of this machine


@dataclass
class Rounds:
    """What is measured where; `lost` grows when a host dies."""

    settings: Settings
    cases: list[Case]  # whose target is ""
    engines: dict[str, Engine]
    sockets: dict[str, Path]  # of each host
    sizes: dict[str, int]  # of the target on each host
    path: str
    direct: bool
    folder: Path  # for job files
    progress: Progress
    samples: list[Sample] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)  # host: why

    def alive(self) -> list[str]:
        return [host for host in self.sockets if host not in self.lost]

    def run(self) -> None:
        begin = time.monotonic()
        entries = {case: list(self.engines) for case in self.cases}
        for block in blocks(entries, self.settings.rounds, self.settings.seed):
            if not self.alive():
                raise BenchError("all hosts are lost: " + "; ".join(
                    f"{host}: {why}" for host, why in self.lost.items()))
            self._block(block, begin)

    def _block(self, block: Block[Case], begin: float) -> None:
        """All modes of a case on all hosts; a host that dies has no samples of this block."""
        outcomes: dict[str, list[fio.Outcome]] = {host: [] for host in self.alive()}
        for name in block.order:
            for host, outcome in self._on_all(block, name).items():
                outcomes[host].append(outcome)
            self.progress.step(f"round {block.round + 1}/{self.settings.rounds}  "
                               f"{case_label(block.case, 'each host')}  {self.engines[name].label}")
        at = round(time.monotonic() - begin, 2)
        for host in self.alive():
            self.samples += [
                Sample(case=replace(block.case, target=host), engine=name, at=at, round=block.round,
                       position=position, calm=True, other_load=0.0, **vars(outcome))
                for position, (name, outcome) in enumerate(zip(block.order, outcomes[host]))]

    def _on_all(self, block: Block[Case], name: str) -> dict[str, fio.Outcome]:
        found: dict[str, fio.Outcome] = {}
        hosts = self.alive()
        with ThreadPoolExecutor(len(hosts)) as pool:
            running = {host: pool.submit(self._on_one, block, name, host) for host in hosts}
        for host, outcome in running.items():
            try:
                found[host] = outcome.result()
            except BenchError as error:
                self.lost[host] = error.message
                self.progress.say(f"{host} is lost: {error}")
        return found

    def _on_one(self, block: Block[Case], name: str, host: str) -> fio.Outcome:
        case = block.case
        job = fio.Job(rw=case.rw, block_size=case.block_size, depth=case.depth, direct=self.direct,
                      size=self.sizes[host], runtime_ms=self.settings.runtime_ms,
                      ramp_ms=self.settings.ramp_ms, cpus=(0,), random_seed=block.random_seed,
                      numjobs=case.numjobs)
        file = self.folder / f"{len(self.samples)}-{name}-{list(self.sockets).index(host)}.fio"
        file.write_text(job_text(self.engines[name], job, self.path))
        outcome = fio.run(["fio", *fio.OUTPUT_OPTIONS, f"--client=sock:{self.sockets[host]}",
                           str(file)], job.seconds())
        self.progress.note(f"{host}: {duration(outcome.mean)}")
        return outcome


def job_text(engine: Engine, job: fio.Job, path: str) -> str:
    words = [*fio.DEFAULT_OPTIONS, *engine.options, *job.options(), *job_file.named(engine, path)]
    return job_file.text([word for word in words if not word.startswith(ELSEWHERE)])

# SPDX-License-Identifier: MIT OR Apache-2.0
"""On a host: what qualify asks where the device is. The very code that looks at a device here looks at
it there: there.py sends it along, and python3 runs it.

A request is a line of JSON, [name, arguments...]; the answer is {"value": ...} or an error. What the
agent holds (the claim on the device) it gives back when its input ends. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, TextIO

from ..errors import BenchError
from ..machine import environment, inuse, quiet
from ..measure.engines import Engine
from ..measure.targets import Target
from ..qualify import before, health, identity, request
from ..qualify.model import Check, Device, Health, Plan, Qualification, Step
from ..qualify.plan import StepSpec
from ..result import codec
from ..result.model import Environment
from . import job


@dataclass(frozen=True)
class Way:
    """An engine of the step `drivers`, and why it cannot run on the host, or ""."""

    name: str
    obstacle: str


@dataclass(frozen=True)
class Seen:
    """What a host found: Examined, without what only this program can hold."""

    plan: Plan
    device: Device
    specs: list[StepSpec]
    steps: list[Step]
    health: Health
    checks: list[Check]
    ways: list[Way]
    to_make: bool


def obstacle(engine: Engine, target: Target) -> str:
    if not job.remote(engine):
        return "it needs a server or a device besides, which fio's server does not start"
    return engine.obstacle(target)


class Agent:
    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.options = argparse.Namespace()
        self.meter = quiet.LoadMeter()
        self.session = 0  # of fio's server

    def examine(self, options: dict[str, Any], earlier: Any) -> Seen:
        self.options = argparse.Namespace(**options)
        self.found = before.examine(
            self.options, None if earlier is None else codec.decode(Qualification, earlier))
        self.asked = self.found.request
        if not job.remote(self.asked.engine):
            raise BenchError(f"--engine {self.asked.engine.name}: not on other machines")
        return self._seen()

    def begin(self) -> Seen:
        """Make the file, if one is to be made, and be the one who uses the device."""
        self.asked = request.ready(self.options, self.asked)
        self.stack.enter_context(quiet.no_deep_sleep())
        self.stack.enter_context(
            inuse.claim(self.asked.device.path, not self.asked.plan.read_only))
        return self._seen()

    def _seen(self) -> Seen:
        asked = self.asked
        return Seen(asked.plan, asked.device, asked.specs, asked.steps, self.found.health,
                    self.found.checks, [Way(engine.name, obstacle(engine, asked.target))
                                        for engine in asked.engines], asked.to_make)

    def environment(self) -> Environment:
        return environment.record(Path("/"), Path("/"), self.asked.plan.cpus[-1],
                                  os.access(quiet.LATENCY_REQUEST, os.W_OK))

    def health(self) -> Health:
        return health.record(self.asked.device)

    def temperature(self) -> float | None:
        return health.temperature(self.asked.device)

    def gone(self) -> str:
        return identity.gone(self.asked.device)

    def watch(self, session: int) -> None:
        """Begin to measure the load that is neither fio's, in that session, nor ours."""
        self.session = session
        self.meter = quiet.LoadMeter(session)

    def load(self) -> float:
        return self.meter.share()

    def interrupt(self) -> None:
        """End what fio is doing."""
        if self.session:
            with suppress(ProcessLookupError):
                os.killpg(self.session, signal.SIGTERM)

    def remove(self) -> None:
        """The file that was made."""
        if self.asked.device.created:
            Path(self.asked.device.path).unlink(missing_ok=True)


REQUESTS = ("examine", "begin", "environment", "health", "temperature", "gone", "watch", "load",
            "interrupt", "remove")


def serve(requests: TextIO, answers: TextIO) -> None:
    with ExitStack() as stack:
        agent = Agent(stack)
        for line in requests:
            print(json.dumps(_answer(agent, line)), file=answers, flush=True)


def _answer(agent: Agent, line: str) -> dict[str, Any]:
    name, *arguments = json.loads(line)
    assert name in REQUESTS
    method: Callable[..., Any] = getattr(agent, name)
    try:
        return {"value": codec.encode(method(*arguments))}
    except BenchError as error:
        return {"error": error.message, "remedy": error.remedy}
    except OSError as error:
        return {"error": f"{error.filename or name}: {error.strerror}", "remedy": ""}

# SPDX-License-Identifier: MIT OR Apache-2.0
"""From the command line to what will be done: which device, is it allowed, which steps. Whatever is
wrong is refused here, before anything is written.
"""

from __future__ import annotations

import argparse
import os
import random
from dataclasses import dataclass
from pathlib import Path

from .. import machine, targets
from ..blockdev import block_device
from ..contenders import Contender, all_contenders
from ..errors import BenchError, refuse
from ..prepare import LIBRARY, ROOT
from . import drivers, identity, plan, store
from .model import Device, Plan, Qualification, Step
from .plan import Spec
from .profiles import MIB, PROFILES

LEAST_EXTENT = 16 * MIB
DEFAULT_ENGINE = "libblkio"
ENGINES = {DEFAULT_ENGINE: "block"}  # words for modes of scripts/bench compare


@dataclass(frozen=True)
class Request:
    plan: Plan
    device: Device
    target: targets.Target
    contender: Contender
    contenders: list[Contender]  # of the step `drivers`
    specs: list[Spec]
    steps: list[Step]
    earlier: Qualification | None  # when it is resumed
    to_make: bool  # the file is still to be made


def fresh(options: argparse.Namespace) -> Request:
    """What the options ask for."""
    if not options.path:
        raise refuse("which device? Name a block device or a file.", "scripts/bench qualify --help")
    profile = PROFILES[options.profile]
    to_make = not os.path.exists(options.path)
    if to_make and options.read_only:
        raise refuse(f"{options.path} does not exist, so there is nothing to read")
    device = identity.to_be_made(options.path, options.size or profile.file_size) if to_make \
        else identity.identify(options.path)
    if options.size and not to_make:
        raise refuse(f"--size is the size of a file to make, and {options.path} is there",
                     "To use a part of it: --extent.")
    if not options.dry_run:
        _allowed(device, options.destroy, options.read_only)
    return _request(_plan(options, device), device, options, None, to_make)


def fresh_on_made(options: argparse.Namespace, asked: Request) -> Request:
    """The request again, now that its file is there to be looked at."""
    device = identity.identify(asked.device.path, created=True)
    return _request(asked.plan, device, options, None, to_make=False)


def resumed(options: argparse.Namespace) -> Request:
    """What an interrupted run still has to do."""
    earlier = store.read(Path(options.resume))
    if options.path and os.path.realpath(options.path) != earlier.device.path:
        raise refuse(f"{options.resume} is about {earlier.device.path}, not {options.path}")
    if all(step.state in ("done", "skipped") for step in earlier.steps):
        raise refuse(f"{options.resume}: all its steps are done",
                     f"Show it: scripts/bench report {options.resume}")
    device = identity.identify(earlier.device.path, earlier.device.created)
    other = identity.differences(earlier.device, device)
    if other:
        raise refuse(f"{device.path} is not the device that the run began with: {'; '.join(other)}",
                     "Begin anew, with another --output.")
    if not options.dry_run:
        _allowed(device, options.destroy, earlier.plan.read_only)
    return _request(earlier.plan, device, options, earlier, False)


def _allowed(device: Device, word: str | None, read_only: bool) -> None:
    """Refuse to write to what the user did not name."""
    wanted = identity.word_to_destroy(device)
    if read_only or device.created:
        if read_only and word:
            raise refuse("--destroy and --read-only contradict each other")
        return
    what = f"{device.path} ({device.medium}, {device.size / 1e9:.1f} GB)"
    means = "serial number" if device.serial else "name"
    if not word:
        raise refuse(f"qualifying writes over all of {what}",
                     f"If everything on it may be lost, say its {means}: --destroy {wanted!r}\n"
                     "  Or use --read-only for the steps that only read.")
    if word != wanted:
        raise refuse(f"--destroy {word}: the {means} of {what} is {wanted!r}",
                     "Nothing was written. Is it the device you mean?")


def _plan(options: argparse.Namespace, device: Device) -> Plan:
    profile = PROFILES[options.profile]
    bounds = [bound for bound in (device.size, profile.most_extent, options.extent) if bound]
    extent = min(bounds) // MIB * MIB
    if extent < LEAST_EXTENT:
        raise refuse(f"{extent >> 20} MiB are too little to qualify anything",
                     f"It takes {LEAST_EXTENT >> 20} MiB or more.")
    cpus = options.cpu or machine.choose_cpus(profile.numjobs)
    if not set(cpus) <= machine.allowed_cpus():
        raise refuse(f"--cpu {','.join(map(str, cpus))}: this process may use "
                     f"{sorted(machine.allowed_cpus())}")
    seed = random.SystemRandom().randrange(1 << 24) if options.seed is None else options.seed
    contender = _contender(options.engine, library(options))
    return Plan(profile=profile.name, engine=contender.name, engine_label=contender.label,
                engine_options=[option.replace(library(options), LIBRARY)
                                for option in contender.options],
                extent=extent, read_only=options.read_only, cpus=cpus, seed=seed)


def build_folder(options: argparse.Namespace) -> Path:
    return Path(options.build_dir) if options.build_dir else ROOT / "build"


def library(options: argparse.Namespace) -> str:
    """The library in the build folder, as fio gets it."""
    return os.path.abspath(build_folder(options) / LIBRARY)


def _contender(name: str, engine: str) -> Contender:
    known = all_contenders(engine)
    mode = ENGINES.get(name, name)
    if mode not in known:
        raise refuse(f"--engine {name}: no such engine",
                     f"Choose {DEFAULT_ENGINE} or one of {', '.join(known)}.")
    return known[mode]


def _request(asked: Plan, device: Device, options: argparse.Namespace,
             earlier: Qualification | None, to_make: bool) -> Request:
    contender = _contender(asked.engine, library(options))
    target = _target(device, asked, to_make)
    obstacle = "" if to_make else contender.obstacle(target)
    if obstacle:
        raise refuse(f"--engine {contender.name} cannot reach {device.path}: {obstacle}",
                     "Choose another --engine.")
    specs = plan.specs(PROFILES[asked.profile], device, asked.extent, asked.read_only,
                       _no_trim(device, contender))
    contenders = [] if to_make else drivers.candidates(library(options), target)
    steps = earlier.steps if earlier else _steps(specs, device, len(contenders), options.steps)
    kept = {step.name for step in steps}
    return Request(asked, device, target, contender, contenders,
                   [spec for spec in specs if spec.name in kept], steps, earlier, to_make)


def _steps(specs: list[Spec], device: Device, ways: int, only: list[str]) -> list[Step]:
    names = [spec.name for spec in specs]
    unknown = set(only) - set(names)
    if unknown:
        raise refuse(f"--steps {', '.join(sorted(unknown))}: no such step",
                     f"Choose from {', '.join(names)}.")
    guess = plan.guess_for(device)
    return [spec.planned(guess, max(1, ways)) for spec in specs if not only or spec.name in only]


def _target(device: Device, asked: Plan, to_make: bool) -> targets.Target:
    place = os.path.dirname(device.path) if to_make else device.path
    kind = "direct-file" if device.kind == "file" else "block-device"
    return targets.Target(
        name=device.name, label=device.name, kind=kind, path=device.path, direct=True,
        size=asked.extent, device=block_device(place), scratch=device.created,
        written=not asked.read_only)


def _no_trim(device: Device, contender: Contender) -> str:
    """Why there will be no trims, or ""."""
    if device.kind == "file":
        return f"{contender.label} cannot trim files" if contender.name.startswith("native") else ""
    disk = block_device(device.path)
    if disk and disk.setting("discard_max_bytes") in ("", "0"):
        return f"{device.name} takes no trims (discard_max_bytes is 0)"
    return ""


def make_file(device: Device) -> None:
    """Make the file that is to be qualified, with all its space."""
    folder = os.path.dirname(device.path)
    status = os.statvfs(folder)
    free, needed = status.f_bavail * status.f_frsize, device.size + targets.KEEP_FREE
    if free < needed:
        raise refuse(f"{free >> 20} MiB free in {folder}, {needed >> 20} MiB needed",
                     "Make room, or use a smaller --size.")
    try:
        with open(device.path, "xb") as file:
            os.posix_fallocate(file.fileno(), 0, device.size)
    except OSError as error:
        raise BenchError(f"cannot make {device.path}: {error.strerror}") from error

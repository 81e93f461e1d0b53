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

from ..errors import BenchError, refuse
from ..machine import quiet
from ..machine.blockdev import block_device
from ..measure import rings, targets
from ..measure.engines import Engine, all_engines
from ..prepare import LIBRARY, ROOT
from ..result.contents import is_native
from . import identity, plan, store
from .model import Device, Plan, Qualification, Step
from .plan import StepSpec
from .profiles import LEAST_EXTENT, MIB, named, scaled_extent

DEFAULT_ENGINE = "libblkio"


@dataclass(frozen=True)
class Request:
    plan: Plan
    device: Device
    target: targets.Target
    engine: Engine
    engines: list[Engine]  # of the step `drivers`
    specs: list[StepSpec]
    steps: list[Step]
    earlier: Qualification | None  # when it is resumed
    to_make: bool  # the file is still to be made


def fresh(options: argparse.Namespace) -> Request:
    """What the options ask for."""
    if not options.path:
        raise refuse("which device? Name a block device or a file.", "scripts/bench qualify --help")
    profile = named(options.profile, options.scale)
    folder = targets.folder_for_new(options.path)
    if folder and options.read_only:
        raise refuse(f"{options.path} does not exist, so there is nothing to read")
    device = identity.to_be_made(options.path, folder, options.size or profile.file_size) \
        if folder else identity.identify(options.path)
    if options.size and not folder:
        raise refuse(f"--size is the size of a file to make, and {options.path} is there",
                     "To use a part of it: --extent.")
    if not options.dry_run:
        _allowed(device, options.destroy, options.read_only)
    return _request(_plan(options, device), device, options, None, to_make=bool(folder))


def ready(options: argparse.Namespace, asked: Request) -> Request:
    """With the file made, if one is to be made: the request again, now that it can be looked at."""
    if not asked.to_make:
        return asked
    make_file(asked.device)
    try:
        device = identity.identify(asked.device.path, created=True)
        return _request(asked.plan, device, options, None, to_make=False)
    except BaseException:
        os.unlink(asked.device.path)
        raise


def earlier(options: argparse.Namespace) -> Qualification | None:
    """The interrupted run that the options name."""
    return store.read(Path(options.resume)) if options.resume else None


def resumed(options: argparse.Namespace, earlier: Qualification) -> Request:
    """What an interrupted run still has to do."""
    if options.path and os.path.realpath(options.path) != earlier.device.path:
        raise refuse(f"{options.resume} is about {earlier.device.path}, not {options.path}")
    if all(step.state in ("done", "skipped") for step in earlier.steps):
        raise refuse(f"{options.resume}: all its steps are done",
                     f"Show it: scripts/bench report {options.resume}")
    device = identity.identify(earlier.device.path, earlier.device.created)
    other = identity.differences(earlier.device, device)
    if other:
        raise refuse(f"{device.path} is not the device that the run began with: {'; '.join(other)}",
                     "Start again, with another --output.")
    if not options.dry_run:
        _allowed(device, options.destroy, earlier.plan.read_only)
    return _request(earlier.plan, device, options, earlier, False)


def _allowed(device: Device, words: list[str], read_only: bool) -> None:
    """Refuse to write to what the user did not name."""
    wanted = identity.word_to_destroy(device)
    if read_only or device.created:
        if read_only and words:
            raise refuse("--destroy and --read-only contradict each other")
        return
    what = f"{device.path} ({device.medium}, {device.size / 1e9:.1f} GB)"
    means = "serial number" if device.serial else "name"
    if not words:
        raise refuse(f"qualifying writes over all of {what}",
                     f"If everything on it may be lost, say its {means}: --destroy {wanted!r}\n"
                     "  Or use --read-only for the steps that only read.")
    if wanted not in words:
        raise refuse(f"--destroy {','.join(words)}: the {means} of {what} is {wanted!r}",
                     "Nothing was written. Is it the device you mean?")


def _plan(options: argparse.Namespace, device: Device) -> Plan:
    profile = named(options.profile, options.scale)
    whole = device.size if device.created else scaled_extent(device.size, options.scale)
    bounds = [bound for bound in (whole, profile.most_extent, options.extent) if bound]
    extent = min(bounds) // MIB * MIB
    if extent < LEAST_EXTENT:
        raise refuse(f"{extent >> 20} MiB are too little to qualify anything",
                     f"It takes {LEAST_EXTENT >> 20} MiB or more.")
    cpus = options.cpu or quiet.choose_cpus(profile.numjobs)
    if not set(cpus) <= quiet.allowed_cpus():
        raise refuse(f"--cpu {','.join(map(str, cpus))}: this process may use "
                     f"{sorted(quiet.allowed_cpus())}")
    seed = random.SystemRandom().randrange(1 << 24) if options.seed is None else options.seed
    engine = _engine(options.engine, library_path(options))
    return Plan(profile=profile.name, scale=options.scale, engine=engine.name, engine_label=engine.label,
                engine_options=[option.replace(library_path(options), LIBRARY)
                                for option in engine.options],
                extent=extent, read_only=options.read_only, cpus=cpus, seed=seed)


def build_folder(options: argparse.Namespace) -> Path:
    return Path(options.build_dir) if options.build_dir else ROOT / "build"


def library_path(options: argparse.Namespace) -> str:
    """The library as fio gets it: the one that is named, or that in the build folder."""
    return options.library or os.path.abspath(build_folder(options) / LIBRARY)


def _engine(name: str, library: str) -> Engine:
    known = all_engines(library)
    mode = rings.default_mode() if name == DEFAULT_ENGINE else name
    if mode not in known:
        raise refuse(f"--engine {name}: no such engine",
                     f"Choose {DEFAULT_ENGINE} or one of {', '.join(known)}.")
    return known[mode]


def _request(asked: Plan, device: Device, options: argparse.Namespace,
             earlier: Qualification | None, to_make: bool) -> Request:
    engine = _engine(asked.engine, library_path(options))
    target = _target(device, asked, to_make)
    obstacle = "" if to_make else engine.obstacle(target)
    if obstacle:
        raise refuse(f"--engine {engine.name} cannot reach {device.path}: {obstacle}",
                     "Choose another --engine.")
    specs = plan.specs(named(asked.profile, asked.scale), device, asked.extent, asked.read_only,
                       _no_trim(device, engine))
    engines = [] if to_make else _engines(library_path(options), target)
    steps = earlier.steps if earlier else _steps(specs, device, len(engines), options.steps)
    kept = {step.name for step in steps}
    return Request(asked, device, target, engine, engines,
                   [spec for spec in specs if spec.name in kept], steps, earlier, to_make)


def _engines(library: str, target: targets.Target) -> list[Engine]:
    """The engines that belong on the target, able or not."""
    return [engine for engine in all_engines(library).values()
            if engine.default and engine.wanted(target)]


def _steps(specs: list[StepSpec], device: Device, ways: int, only: list[str]) -> list[Step]:
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


def _no_trim(device: Device, engine: Engine) -> str:
    """Why there will be no trims, or ""."""
    if device.kind == "file":
        return f"{engine.label} cannot trim files" if is_native(engine.name) else ""
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

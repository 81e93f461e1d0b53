# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench gate`: find and build both sides, run, write, tell."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from .. import prepare
from ..errors import BenchError, Exit, refuse
from ..machine import environment
from ..measure import rings
from ..page.write import beside
from ..result import storage
from ..result.contents import is_native
from ..result.model import Sample
from ..stats import metrics
from ..verdict import GATE
from ..vm import guest
from . import chapter, counted, output, sides, store
from .model import BASELINE, CANDIDATE, GateResult, Side
from .run import Library, run
from .selftest import selftest


ROUNDS = 20
RUNTIME_MS = 100


def gate(options: argparse.Namespace) -> Exit:
    # The guest of --count has its own kernel, which permits rings.
    options.modes = options.modes or ["block" if options.count else rings.default_mode()]
    check(options)
    options.rounds = options.rounds or (counted.ROUNDS if options.count else ROUNDS)
    options.runtime = options.runtime or (guest.COUNTED_MS if options.count else RUNTIME_MS)
    if options.aa or options.self_test:
        return selftest(options)
    baseline = sides.spec(BASELINE, options.baseline)
    candidate = sides.spec(CANDIDATE, options.candidate)
    if candidate.kind == sides.RESULTS:
        raise refuse(f"--candidate {options.candidate} is a stored result",
                     "The candidate is measured; compare two results with scripts/bench compare.")
    if options.count and baseline.kind == sides.RESULTS:
        raise refuse(f"--count --baseline {options.baseline} is a stored result",
                     "Name a git revision or a build folder: both sides are measured.")
    folder = storage.new_folder("gate", options.output, storage.RESULT, storage.GATE)
    stored, notes, side = _stored(baseline, options)
    folders, built = _libraries([candidate] if stored else [baseline, candidate], options)
    if options.count:
        storage.prepare_folder(folder)
        outcome = counted.run(options, folders, built, folder)
        write(folder, outcome.result, options)
        return outcome.code
    with ExitStack() as stack:
        places = sides.stage(folders, stack)
        libraries = [Library(side, place) for side, place in zip(built, places)]
        storage.prepare_folder(folder)
        outcome = run(options, libraries, folders[-1], stored, notes)
    result = outcome.result
    if side:
        result.sides.insert(0, side)
    write(folder, result, options)
    return outcome.code


def check(options: argparse.Namespace) -> None:
    """Refuse what is wrong before anything is built."""
    for name in options.metric:
        metrics.metric(name)
    native = [mode for mode in options.modes if is_native(mode)]
    if native:
        raise refuse(f"--modes {', '.join(native)}: fio's own engine, the same on both sides",
                     "Choose modes of libblkio, such as block or loop.")
    if options.count:
        counted.check(options)
    unknown = set(options.tolerate) - set(GATE.names)
    if unknown:
        raise refuse(f"--tolerate: no verdict {', '.join(sorted(unknown))}",
                     f"Choose from {', '.join(GATE.names)}.")


def _libraries(specs: list[sides.SideSpec], options: argparse.Namespace) -> tuple[list[Path],
                                                                                  list[Side]]:
    """Build all sides, and see fio load each."""
    folders, built = [], []
    for spec in specs:
        folder, side = sides.library(spec, options.setup, not options.no_build)
        prepare.check_engine(folder)
        folders.append(folder)
        built.append(side)
    return folders, built


def _stored(baseline: sides.SideSpec, options: argparse.Namespace) -> tuple[list[Sample], list[str],
                                                                            Side | None]:
    """The baseline's samples from a file, and the options set to what they were measured with."""
    if baseline.kind != sides.RESULTS:
        return [], [], None
    found = store.stored_runs(Path(baseline.text))
    now = environment.fio_version(), environment.kernel(), environment.cpu_model()
    then = found.environment.fio, found.environment.kernel, found.environment.cpu
    if now[2] != then[2]:
        raise refuse(f"--baseline {baseline.text} was measured on {then[2]}, this is {now[2]}",
                     "Latencies of two machines do not compare; name a git revision instead.")
    samples = [sample for sample in store.baseline_samples(found)
               if sample.engine.partition("@")[0] in options.modes]
    if not samples:
        raise refuse(f"{baseline.text} has no runs of {', '.join(options.modes)}",
                     "Choose with --modes among those that it has.")
    samples = [store.renamed(sample, BASELINE) for sample in samples]
    settings = found.settings
    options.rw, options.bs = settings.workloads, settings.block_sizes
    options.depth, options.numjobs = settings.depths, settings.numjobs
    options.runtime = settings.runtime_ms
    options.target = [target.path or target.name for target in found.targets]
    notes = ["the baseline is from a file: what the machine did then and does now is in the shift"]
    notes += [f"{what} was {old}, is {new}" for what, old, new in
              zip(("fio", "the kernel"), then, now) if old != new]
    version = found.environment.libblkio
    return samples, notes, Side(BASELINE, baseline.label(), version)


def write(folder: Path, result: GateResult, options: argparse.Namespace) -> None:
    """All files, and the text on stdout."""
    if options.raw:
        storage.keep(folder, store.FILE, result)
        return
    text = output.render(result)
    print(text)
    try:
        folder = storage.keep(folder, store.FILE, result)
        for name, content in (("gate.txt", text), ("summary.md", output.markdown(result)),
                              ("junit.xml", output.junit(result))):
            storage.write_text(folder / name, content)
        beside(folder / store.FILE, lambda raw: chapter.chapter(result, raw))
        if options.junit:
            storage.write_text(Path(options.junit), output.junit(result))
        if options.summary:
            _append(Path(options.summary), output.markdown(result))
    finally:
        print(f"Everything is in {folder}/", file=sys.stderr)


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a") as file:
            file.write(text)
    except OSError as error:
        raise BenchError(f"cannot write {path}: {error.strerror}") from error

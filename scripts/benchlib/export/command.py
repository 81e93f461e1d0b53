# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench export`: figures out, in another program's format."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Callable, Sequence

from ..errors import Exit, refuse
from ..history import figures, machine, store
from ..result import kinds, storage
from . import documents, openmetrics, tables
from .model import Exported

WRITERS: dict[str, Callable[[Sequence[Exported]], str]] = {
    "csv": tables.table, "otava": tables.otava, "openmetrics": openmetrics.text,
    "github-smaller": lambda found: documents.github(found, less_is_better=True),
    "github-bigger": lambda found: documents.github(found, less_is_better=False),
    "bencher": documents.bencher,
}


def export(options: argparse.Namespace) -> Exit:
    if bool(options.history) == bool(options.results):
        raise refuse("export takes RESULTs or a --history, one of both")
    found = _of_history(options.history, options.entry) if options.history \
        else [_of_file(Path(name)) for name in options.results]
    found = [_chosen(item, options.metric) for item in found
             if options.machine in ("", item.machine)]
    found = [item for item in found if item.figures]
    if not found:
        raise refuse("there is nothing to export: no result has these metrics, or is of this machine")
    written = WRITERS[options.format](found)
    if not options.output:
        sys.stdout.write(written)
        return Exit.OK
    output = Path(options.output)
    storage.write_text(output, written)
    if options.format == "otava":
        storage.write_text(output.with_suffix(".yaml"),
                           tables.otava_config(found, str(output.absolute())))
    return Exit.OK


def _chosen(item: Exported, names: Sequence[str]) -> Exported:
    return replace(item, figures=[f for f in item.figures if not names or f.metric in names])


def _of_file(path: Path) -> Exported:
    measured = figures.measured(kinds.locate(path))
    return Exported(measured.kind, measured.started, "", machine.fingerprint(measured.environment),
                    measured.environment.libblkio, measured.verdict, measured.figures)


def _of_history(place: str, wanted: Sequence[int]) -> list[Exported]:
    with store.opened(place) as history:
        entries = [entry for entry in history.entries() if not wanted or entry.id in wanted]
        readings = history.readings([entry.id for entry in entries])
    return [Exported(entry.kind, entry.started, entry.label, entry.machine,
                     entry.circumstances.get("libblkio", ""), entry.verdict,
                     readings.get(entry.id, [])) for entry in entries]

# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench show`: a stored result, printed and drawn again."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import results
from .errors import Exit
from .report import files


def show(options: argparse.Namespace) -> Exit:
    source = Path(options.result)
    result = results.read(source)
    folder = Path(options.output) if options.output else source if source.is_dir() \
        else source.parent
    results.prepare_folder(folder)
    files.write(folder, result)
    print(files.environment_text(result))
    files.announce(folder, result)
    return Exit.OK

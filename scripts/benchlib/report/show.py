# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench show`: a stored result, printed and drawn again."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..compare import output
from ..errors import Exit
from ..result import storage


def show(options: argparse.Namespace) -> Exit:
    source = Path(options.result)
    result = storage.read(source)
    folder = Path(options.output) if options.output else source if source.is_dir() \
        else source.parent
    storage.prepare_folder(folder)
    output.write(folder, result)
    print(output.environment_text(result))
    output.announce(folder, result)
    return Exit.OK

# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options of `scripts/bench copy`, and its --help text. Standard library only."""

from __future__ import annotations

import argparse
from typing import Callable

from .. import options

PAIRS = ("tmpfs", "disk", "loop", "nbd", "vhost-user")
CONTENTS = ("dense", "sparse", "zeroes")

DESCRIPTION = """\
Compares blkio-copy with qemu-img convert, nbdcopy, dd and cp, each copying the same data between
the same places. A run ends when the copy is on stable storage. In each round, every program copies
once; the result is the median of the rounds' ratios. Each program's peak memory is also measured.
"""

EPILOG = """\
pairs
  tmpfs       a file to a new file, both on tmpfs
  disk        a file in the page cache to a new file, on the file system of the build folder
  loop        a file on tmpfs to a loop device on tmpfs; takes root
  nbd         a qemu-storage-daemon's NBD export to a new file on tmpfs; without dd and cp
  vhost-user  the same daemon as a vhost-user device; the others copy from its NBD export

contents
  dense       random data
  sparse      1 MiB of random data in every 8 MiB, the rest holes
  zeroes      zeroes, written as data

examples
  scripts/bench copy                             all pairs and contents: some 5 minutes
  scripts/bench copy --pairs disk --size 4g

exit status: 0 measured, 1 something failed, 2 refused, 130 interrupted
"""


def register(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("--pairs", type=_some(PAIRS), default=list(PAIRS), metavar="LIST",
                        help=f"default: {','.join(PAIRS)}")
    parser.add_argument("--contents", type=_some(CONTENTS), default=list(CONTENTS), metavar="LIST",
                        help=f"default: {','.join(CONTENTS)}")
    parser.add_argument("--size", type=options.size, default=256 << 20, metavar="SIZE",
                        help="bytes to copy, whole MiB (default: 256m)")
    parser.add_argument("--quick", action="store_true", help="5 rounds")
    parser.add_argument("--rounds", type=options.count, metavar="N", help="default: 15")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the random order")
    options.add_build(parser)
    parser.add_argument("--output", metavar="DIR",
                        help="folder for the results (default: results/copy-DATE-TIME)")


def _some(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        found = options.names(text)
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return found

    return parse

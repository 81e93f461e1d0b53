# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options of `scripts/bench qemu`, and its --help text."""

from __future__ import annotations

import argparse

from .. import options

DESCRIPTION = """\
Compares QEMU's two ways to a file: its own io_uring code (driver=file,aio=io_uring) and its
libblkio driver (driver=io_uring), which loads the library built here.

qemu-img bench of Debian trixie, unpacked below .deps (70 MB to download, once), does 512-byte reads
scattered over the file. Rounds interleave both; the result is the median of the rounds' ratios.
"""

EPILOG = """\
examples
  scripts/bench qemu                              a file on tmpfs, depths 1 and 32: half a minute
  scripts/bench qemu --target /var/tmp/disk.img --depth 1,4,16,64

exit status: 0 measured, 1 something failed, 2 refused, 130 interrupted
"""


def register(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("--target", default="tmpfs", metavar="PATH",
                        help="a file or block device, or one of the scratch files page-cache, "
                             "tmpfs, disk (default: tmpfs)")
    parser.add_argument("--depth", type=options.counts, default=[1, 32], metavar="LIST",
                        help="queue depths (default: 1,32)")
    parser.add_argument("--bs", type=options.size, default=512, metavar="SIZE",
                        help="block size (default: 512)")
    parser.add_argument("--quick", action="store_true", help="5 short rounds")
    parser.add_argument("--rounds", type=options.count, metavar="N", help="default: 11")
    parser.add_argument("--runtime", type=options.milliseconds, metavar="SECONDS",
                        help="approximate time of one run (default: 0.5)")
    parser.add_argument("--size", type=options.size, default=256 << 20, metavar="SIZE",
                        help="size of a scratch file (default: 256m)")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the random order")
    options.add_build(parser)
    parser.add_argument("--output", metavar="DIR",
                        help="folder for the results (default: results/qemu-DATE-TIME)")

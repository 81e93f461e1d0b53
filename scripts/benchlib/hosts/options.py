# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options of `scripts/bench --hosts`, and its --help text. Standard library only."""

from __future__ import annotations

import argparse

from .. import options
from ..qualify import options as qualify_options

DESCRIPTION = """\
Runs the comparison on many machines at the same time and makes one report of it: the figures of
each host, those of all together, and which hosts stand out. Each host runs fio --server behind ssh;
no port is opened. Only workloads that read are allowed: what is in use on another machine is not
known here.
"""

EPILOG = """\
what a host needs
  ssh without a password, and fio of the same version as here. For modes of libblkio, the library,
  built for that fio: installed, or at the path --library. A host that lacks something is left out,
  with the reason, and so is one that dies meanwhile; the others go on. Clocks, CPUs, kernels and
  libraries that differ are told.

examples
  scripts/bench --hosts n1,n2,n3 --target /dev/nvme0n1
  scripts/bench --hosts rack7.txt --target /srv/disk.img --modes native --bs 4k,64k --depth 1,32
  scripts/bench --hosts root@n1,root@n2 --ssh "ssh -i key" --target /dev/sdb --library /opt/libblkio.so

exit status: 0 measured, 1 something failed or a host was lost (the others are kept), 2 refused,
130 interrupted
"""


QUALIFY = """\
Qualifies the device at PATH on many machines at the same time and makes one report of it: each host
by itself, all of them together, and which stand out. Each host looks at its own device and refuses
what it would refuse if scripts/bench qualify were run there; fio's server does the I/O.

A host needs what scripts/bench --hosts --help says, and python3. Give --destroy the serial numbers of
all devices that may be overwritten. A host whose device has none of them is left out.
"""


def register(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    where = parser.add_argument_group("where")
    _add_hosts(where)
    where.add_argument("--target", dest="path", required=True, metavar="PATH",
                       help="the file or block device to read, the same path on each host")
    where.add_argument("--buffered", action="store_true",
                       help="go through the page cache (default: O_DIRECT)")
    _add_comparison(parser)


def register_qualify(parser: argparse.ArgumentParser) -> None:
    qualify_options.describe(parser)
    parser.description = QUALIFY
    _add_hosts(qualify_options.add(parser))


def _add_hosts(where: argparse._ArgumentGroup) -> None:
    where.add_argument("--hosts", required=True, metavar="LIST",
                       help="hosts as ssh knows them, with commas between them; or a file with one "
                            "a line")
    where.add_argument("--ssh", default="ssh", metavar="COMMAND",
                       help="how to reach them (default: ssh)")
    where.add_argument("--library", default="libblkio.so", metavar="PATH",
                       help="the library on each host (default: libblkio.so, as the loader finds it)")
    where.add_argument("--fio", default="fio", metavar="PATH", help="the fio on each host")


def _add_comparison(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to measure")
    what.add_argument("--modes", type=options.names, default=["native", "block"], metavar="LIST",
                      help="modes of compare that need no server or other device (default: native, "
                           "block)")
    what.add_argument("--baseline", default="native", metavar="MODE",
                      help="the mode that the others are compared with (default: native)")
    options.add_matrix(what)
    how = parser.add_argument_group("how long and how")
    how.add_argument("--rounds", type=options.count, default=11, metavar="N",
                     help="rounds per case (default: 11)")
    how.add_argument("--runtime", type=options.milliseconds, default=500, metavar="SECONDS",
                     help="measured time of one fio process (default: 0.5)")
    how.add_argument("--seed", type=int, metavar="N",
                     help="seed of the random order (default: a new one, recorded)")
    how.add_argument("--output", metavar="DIR",
                     help="result folder (default: results/hosts-DATE-TIME)")

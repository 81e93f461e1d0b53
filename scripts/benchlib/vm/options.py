# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options of `scripts/bench vm` (or `scripts/bench --vm`), and its --help text."""

from __future__ import annotations

import argparse

from .. import options
from .guests import GUESTS

DESCRIPTION = """\
Runs the comparison in the test VM, on devices that this machine need not have. Boots a guest for
each DEVICES, compares there and puts table, chart and all figures under results/, one folder each.

A guest whose processor is emulated (QEMU without KVM, as here unless KVM works) shows what software
costs: every instruction of kernel, library and fio takes its time there, and no hardware is in it.
Read the ratios, and only those.
"""

EPILOG = """\
devices
{devices}
  all        each of these

examples
  scripts/bench --vm                       all of them, about {minutes} minutes
  scripts/bench --vm vfio --quick          first impression of one
  scripts/bench --vm nvme --modes native-cmd,nvme-block --depth 1 --rounds 21
  scripts/bench --vm vfio --dry-run        how to boot the guest by hand

exit status: as that of scripts/bench compare; 2 also where the VM is not set up
"""


def register(parser: argparse.ArgumentParser) -> None:
    devices = "\n".join(f"  {name:9}  {guest.summary}" for name, guest in GUESTS.items())
    parser.description = DESCRIPTION
    parser.epilog = EPILOG.format(devices=devices, minutes=4 * len(GUESTS))
    parser.add_argument("devices", nargs="*", metavar="DEVICES", default=["all"],
                        help=f"{', '.join(GUESTS)} or all (default: all)")
    parser.add_argument("--modes", type=options.names, default=[], metavar="LIST",
                        help="modes to compare (default: those that show what DEVICES is for)")
    parser.add_argument("--bs", type=options.sizes, default=[512], metavar="LIST",
                        help="block sizes (default: 512)")
    parser.add_argument("--depth", type=options.counts, default=[1], metavar="LIST",
                        help="queue depths (default: 1)")
    parser.add_argument("--quick", action="store_true", help="5 short rounds")
    parser.add_argument("--rounds", type=options.count, metavar="N",
                        help="rounds per case (default: 11)")
    parser.add_argument("--runtime", type=options.milliseconds, metavar="SECONDS",
                        help="measured time of one fio process (default: 0.5)")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the random order")
    parser.add_argument("--timeout", type=options.seconds, metavar="SECONDS",
                        help="stop a guest that takes longer (default: four times what is planned)")
    options.add_build(parser)
    parser.add_argument("--output", metavar="DIR",
                        help="folder for the results (default: results/vm-DATE-TIME)")
    parser.add_argument("--dry-run", action="store_true",
                        help="print how each guest would be booted, run nothing")

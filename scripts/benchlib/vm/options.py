# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options of `scripts/bench vm` (or `scripts/bench --vm`), and its --help text."""

from __future__ import annotations

import argparse

from .. import options
from .guests import GUESTS, Guest

DESCRIPTION = """\
Runs the comparison in the test VM, on devices that this machine need not have. Boots a guest for
each DEVICES, compares there and puts table, chart and all figures under results/, one folder each.

A guest whose processor is emulated (QEMU without KVM, as here unless KVM works) shows what software
costs: every instruction of kernel, library and fio takes its time there, and no hardware is in it.
Read the ratios, and only those.

With --count the guest's clock counts instructions: one of the kernel, fio or the library is a
nanosecond. Other load on this machine no longer matters, and the figures repeat to a fraction of a
percent. They do not include what caches, system call entry and wake-ups cost on real hardware.
"""

EPILOG = """\
devices
{devices}
  all        each of these that can be timed, or with --count counted

examples
  scripts/bench --vm                       all of them, about {minutes} minutes
  scripts/bench --vm vfio --quick          first impression of one
  scripts/bench --vm nvme --baseline native-cmd --modes nvme-block --rounds 41
  scripts/bench --vm --count               instructions instead of time, about {counting} minutes
  scripts/bench --vm vfio --dry-run        how to boot the guest by hand

exit status: as that of scripts/bench compare; 2 also where the VM is not set up
"""


def _ways(guest: Guest) -> str:
    if not guest.timed:
        return " (--count only)"
    return " (also with --count)" if guest.counted else ""


def register(parser: argparse.ArgumentParser) -> None:
    devices = "\n".join(f"  {name:10} {guest.summary}{_ways(guest)}"
                        for name, guest in GUESTS.items())
    parser.description = DESCRIPTION
    parser.epilog = EPILOG.format(
        devices=devices, minutes=4 * sum(bool(guest.timed) for guest in GUESTS.values()),
        counting=2 * sum(bool(guest.counted) for guest in GUESTS.values()))
    parser.add_argument("devices", nargs="*", metavar="DEVICES", default=["all"],
                        help=f"{', '.join(GUESTS)} or all (default: all)")
    parser.add_argument("--count", action="store_true",
                        help="count instructions instead of time, exact whatever else runs here")
    parser.add_argument("--modes", type=options.names, default=[], metavar="LIST",
                        help="modes to compare (default: those that show what DEVICES is for)")
    parser.add_argument("--baseline", default="native", metavar="MODE",
                        help="the mode that the others are compared with (default: native)")
    parser.add_argument("--bs", type=options.sizes, default=[512], metavar="LIST",
                        help="block sizes (default: 512)")
    parser.add_argument("--depth", type=options.counts, default=[1], metavar="LIST",
                        help="queue depths (default: 1)")
    parser.add_argument("--rw", type=options.names, default=["randread"], metavar="LIST",
                        help="fio's workloads (default: randread); the guests' disks may be "
                             "written to")
    parser.add_argument("--quick", action="store_true", help="5 short rounds")
    parser.add_argument("--rounds", type=options.count, metavar="N",
                        help="rounds per case (default: 11; with --count 5)")
    parser.add_argument("--runtime", type=options.milliseconds, metavar="SECONDS",
                        help="measured time of one fio process (default: 0.5; counted 0.05)")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the random order")
    parser.add_argument("--timeout", type=options.seconds, metavar="SECONDS",
                        help="stop a guest that takes longer (default: four times what is planned)")
    options.add_build(parser)
    parser.add_argument("--output", metavar="DIR",
                        help="folder for the results (default: results/vm-DATE-TIME)")
    parser.add_argument("--dry-run", action="store_true",
                        help="print how each guest would be booted, run nothing")

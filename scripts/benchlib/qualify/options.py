# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options of `scripts/bench qualify`, and its --help text."""

from __future__ import annotations

import argparse
import textwrap

from .. import options
from ..verdict import QUALIFY
from .health import LABELS
from .profiles import PROFILES

DESCRIPTION = """\
Qualifies a block device: checks that it can be measured, brings it into a steady state, measures it
in every respect, verifies what it stores, compares its health before and after, and says whether
that is good enough. It overwrites everything on the device.

PATH is a block device, or a file. A file that does not exist is created, and removed at the end.
"""

GRAMMAR = """\
  # STEP SIZE RW [depth N] METRIC <=|<|>=|> VALUE
  latency 4k randread p99 <= 200us
  qos 4k randread p99.999 <= 5ms        # p50 to p99.9999, where the counts carry it
  iops 4k randrw:65 iops >= 100k
  depth 4k randread depth 16 mean <= 150us
  throughput 128k read bandwidth >= 2GB/s
  steady iops                           # the step must reach its steady state
  health percentage_used <= 5           # FIELD at the end, as the device reports
  health reallocated_sectors == 0
  change data_written <= 500000000000   # the difference between end and beginning
  firmware == 2B2QEXM7
"""

EPILOG = """\
profiles
{profiles}

steps, in this order (--steps takes some of them)
  purge fill iops throughput fill-random latency depth mixed qos drivers saturation trim integrity

what it may destroy
  qualify writes to a device only if you give its serial number: --destroy S3Z8NB0K. Without it,
  qualify refuses, and the message gives the number. For a disk without a serial number, or a file
  that exists, give its name: --destroy loop0. A device that is mounted or in use is never written.
  --read-only runs only the steps that read; the device is then measured, not qualified.

the preflight
  Each check ends in ok, warn, refuse or unknown, with the reason and the remedy. A warning
  becomes a caveat of all figures. A refusal ends the run. Fix the cause, or use --accept CHECK to
  make it a caveat as well. No option makes qualify write to a device that others use.

limits: a text file, one requirement a line, # begins a comment
{limits}
  Health is the NVMe SMART log, and of SATA and SAS disks what smartctl reads (smartmontools). FIELD is
  one of
  {fields}.
  Always required, where they can be determined: data read back as written; no new media errors,
  reallocated or unreadable sectors; no critical warning, and no failure predicted by the disk.

examples
  scripts/bench qualify /mnt/disk/try --profile smoke        a file, made and removed: 3 minutes
  scripts/bench qualify /dev/nvme1n1 --dry-run               the plan: steps, time, bytes written
  scripts/bench qualify /dev/nvme1n1 --profile smoke --destroy S3Z8NB0K
  scripts/bench qualify /dev/nvme1n1 --profile standard --destroy S3Z8NB0K --limits nvme.limits
  scripts/bench qualify /dev/nvme1n1 --profile full --scale 0.001 --destroy S3Z8NB0K   to try it
  scripts/bench qualify /dev/nvme0n1 --read-only --profile smoke
  scripts/bench qualify --resume results/qualify-20260131-120000 --destroy S3Z8NB0K
  scripts/bench qualify --hosts n1,n2 /dev/nvme1n1 --destroy S3Z8NB0K,S3Z8NB11   docs/hosts.md

verdicts and exit status
{verdicts}
  130  stopped    by Ctrl-C; --resume continues
  Limits are optional, a steady state is not. The verdict is at best "measured" if a series reached
  no steady state; if other programs used more than 5 % of the machine in more than a tenth of a
  step's measurements; or if less than the profile was done: --read-only, --steps, --scale, less
  than 90 % of the device, a refusal that was accepted. The first line of the result names each of
  these, and the steps that were left out because the device cannot do them.

The result is qualification.json, verdict.txt and report.html in a folder; scripts/bench report makes
a PDF of it.
"""


def register(parser: argparse.ArgumentParser) -> None:
    describe(parser)
    options.add_build(add(parser))
    parser.set_defaults(library="")


def describe(parser: argparse.ArgumentParser) -> None:
    profiles = "\n".join(f"  {profile.name:<10} {profile.summary}" for profile in PROFILES.values())
    parser.description = DESCRIPTION
    parser.epilog = EPILOG.format(profiles=profiles, limits=GRAMMAR.rstrip(),
                                     fields=textwrap.fill(", ".join(LABELS), 96,
                                                          subsequent_indent="  "),
                                     verdicts=QUALIFY.table())


def add(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """All options but which library; gives the group of those that say where."""
    parser.add_argument("path", nargs="?", metavar="PATH", help="the block device or file")
    what = parser.add_argument_group("what to do")
    what.add_argument("--profile", choices=list(PROFILES), default="smoke",
                      help="how thorough, see below (default: smoke)")
    what.add_argument("--scale", type=options.portion, default=1.0, metavar="SHARE",
                      help="do all steps of the profile with this share of its times and sizes, for "
                           "example 0.001, to try it out: the result is marked, and at best "
                           "measured")
    what.add_argument("--destroy", type=options.names, default=[], metavar="SERIAL",
                      help="the device with this serial number may be overwritten")
    what.add_argument("--read-only", action="store_true", help="only the steps that only read")
    what.add_argument("--steps", type=options.names, default=[], metavar="LIST",
                      help="only these steps")
    what.add_argument("--engine", default="libblkio", metavar="MODE",
                      help="the engine: libblkio (default; with driver posix where io_uring is "
                           "not permitted), native (fio's io_uring) or any mode of scripts/bench "
                           "compare")
    what.add_argument("--limits", metavar="FILE", help="requirements of the device, see below")
    what.add_argument("--accept", type=options.names, default=[], metavar="LIST",
                      help="continue even if these checks of the preflight refuse")
    what.add_argument("--size", type=options.size, metavar="SIZE",
                      help="size of a file to make (default: 256m, 8g or 32g by profile)")
    what.add_argument("--extent", type=options.size, metavar="SIZE",
                      help="use only this much of the device, from its start (default: all of it, "
                           "but 256m for smoke)")
    what.add_argument("--cpu", type=options.whole_numbers, metavar="LIST",
                      help="CPUs for fio's jobs (default: the last ones)")
    what.add_argument("--seed", type=int, metavar="N",
                      help="seed of offsets and data (default: a new one, recorded)")

    where = parser.add_argument_group("where, and resuming")
    where.add_argument("--resume", metavar="FOLDER",
                       help="continue an interrupted run; finished steps are kept")
    where.add_argument("--output", metavar="DIR",
                       help="folder for the result (default: results/qualify-DATE-TIME)")
    where.add_argument("--keep", action="store_true", help="keep the file that qualify made")
    where.add_argument("--dry-run", action="store_true",
                       help="print preflight and plan, measure nothing, write nothing")
    return where

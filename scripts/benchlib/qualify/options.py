# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options of `scripts/bench qualify`, and its --help text."""

from __future__ import annotations

import argparse

from .. import options
from .profiles import PROFILES

DESCRIPTION = """\
Qualifies a block device: looks whether it may be measured at all, brings it into a steady state,
measures it from every side, verifies what it stores, looks at its health before and after, and
says whether that is good enough. It writes over everything on the device.

PATH is a block device, or a file. A file that does not exist is made, and removed in the end.
"""

GRAMMAR = """\
  # STEP SIZE RW [depth N] METRIC <=|<|>=|> VALUE
  latency 4k randread p99 <= 200us
  qos 4k randread p99.999 <= 5ms
  iops 4k randrw:65 iops >= 100k
  depth 4k randread depth 16 mean <= 150us
  throughput 128k read bandwidth >= 2GB/s
  steady iops                           # the step must reach its steady state
  health percentage_used <= 5           # afterwards, as the device says
  change data_written <= 500000000000   # afterwards minus before
  firmware == 2B2QEXM7
"""

EPILOG = """\
profiles
{profiles}

steps, in this order (--steps takes some of them)
  purge fill iops throughput fill-random latency depth mixed qos drivers saturation trim integrity

what it may destroy
  A device is written to only when you say its serial number: --destroy S3Z8NB0K. Without it
  qualify refuses, and its message has the number. A disk without a serial number, and a file that
  exists, is called by its name: --destroy loop0. What is mounted or in use is never written to.
  --read-only keeps to the steps that only read; the others are then not part of the verdict.

the preflight
  Each check ends in ok, warn, refuse or unknown, with the reason and the remedy. A warning
  becomes a caveat of all figures. A refusal ends the run: mend it, or take it as a caveat too with
  --accept CHECK. Nothing makes it write to a device that others use.

limits: a text file, one requirement a line, # begins a comment
{limits}
  Always required, where they can be known: data read back as written, no new media errors, no
  critical warning.

examples
  scripts/bench qualify /mnt/disk/try --profile smoke        a file, made and removed: 3 minutes
  scripts/bench qualify /dev/nvme1n1 --dry-run               the plan: steps, time, bytes written
  scripts/bench qualify /dev/nvme1n1 --profile smoke --destroy S3Z8NB0K
  scripts/bench qualify /dev/nvme1n1 --profile standard --destroy S3Z8NB0K --limits nvme.limits
  scripts/bench qualify /dev/nvme0n1 --read-only --profile smoke
  scripts/bench qualify --resume results/qualify-20260131-120000 --destroy S3Z8NB0K

exit status: 0 qualified; 1 incomplete: something failed or is missing, what is known is kept;
2 refused; 3 not qualified; 130 interrupted, --resume goes on
The result is qualification.json, verdict.txt and report.html in a folder; scripts/bench report makes
a PDF of it.
"""


def register(parser: argparse.ArgumentParser) -> None:
    profiles = "\n".join(f"  {profile.name:<10} {profile.summary}" for profile in PROFILES.values())
    parser.description = DESCRIPTION
    parser.epilog = EPILOG.format(profiles=profiles, limits=GRAMMAR.rstrip())
    parser.add_argument("path", nargs="?", metavar="PATH", help="the block device or file")
    what = parser.add_argument_group("what to do")
    what.add_argument("--profile", choices=list(PROFILES), default="smoke",
                      help="how thorough, see below (default: smoke)")
    what.add_argument("--destroy", metavar="SERIAL",
                      help="yes, everything on the device with this serial number may be lost")
    what.add_argument("--read-only", action="store_true", help="only the steps that only read")
    what.add_argument("--steps", type=options.names, default=[], metavar="LIST",
                      help="only these steps")
    what.add_argument("--engine", default="libblkio", metavar="MODE",
                      help="who does the I/O: libblkio (default), native (fio's io_uring) or any "
                           "mode of scripts/bench compare")
    what.add_argument("--limits", metavar="FILE", help="what is demanded of the device, see below")
    what.add_argument("--accept", type=options.names, default=[], metavar="LIST",
                      help="go on although these checks of the preflight refuse")
    what.add_argument("--size", type=options.size, metavar="SIZE",
                      help="size of a file to make (default: 256m, 8g or 32g by profile)")
    what.add_argument("--extent", type=options.size, metavar="SIZE",
                      help="use only so much of the device, from its start (default: all of it, "
                           "but 256m for smoke)")
    what.add_argument("--cpu", type=options.whole_numbers, metavar="LIST",
                      help="CPUs for fio's jobs (default: the last ones)")
    what.add_argument("--seed", type=int, metavar="N",
                      help="seed of offsets and data (default: a new one, recorded)")

    where = parser.add_argument_group("where, and again")
    where.add_argument("--resume", metavar="FOLDER",
                       help="go on with a run that was interrupted; finished steps stay")
    where.add_argument("--output", metavar="DIR",
                       help="folder for the result (default: results/qualify-DATE-TIME)")
    where.add_argument("--keep", action="store_true", help="keep a file that was made")
    options.add_build(where)
    where.add_argument("--dry-run", action="store_true",
                       help="print preflight and plan, measure nothing, write nothing")

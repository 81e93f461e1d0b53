# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options of `scripts/bench compare`, and its --help text."""

from __future__ import annotations

import argparse

from . import options

DESCRIPTION = """\
Compares libblkio with fio's own io_uring engine, both driven by fio, and draws the result. Also
compares drivers, wait modes, builds of the library and versions of fio; or stored results.

Without options it sets up and builds what is missing, then measures 512-byte random reads on one
CPU at queue depths 1 and 32, on three scratch files that it removes afterwards: one in the page
cache, one on tmpfs with O_DIRECT, one on disk with O_DIRECT. It takes about six minutes. The
table and the verdict are printed; everything, with a chart, goes to a folder under results/.
"""

EPILOG = """\
modes
  native        fio's ioengine=io_uring, the baseline where no other is named
  block         libblkio, sleeping in the kernel until an I/O completes
  eventfd       libblkio, sleeping in read() on the completion eventfd
  loop          libblkio, looking for completions without ever sleeping
  poll          libblkio with hipri: the kernel polls the device (it must have poll queues)
  native-poll   fio's io_uring with hipri, where the device can poll
  native-fixed  fio's io_uring with fixed buffers and registered files (not by default)
  temporary     libblkio, mapping and unmapping memory for each I/O (not by default; depth 1)
  vhost-MODE    the same modes through a qemu-storage-daemon that serves the target; by default
                only where no device is (tmpfs), whose noise would hide what that costs
  nvme-MODE     NVMe commands past the kernel's block layer, on an NVMe namespace; native-cmd and
                native-cmd-poll are fio's io_uring_cmd there
  vfio-MODE     a virtio-blk disk, taken from the kernel for each fio run and given back
                (scripts/vfio-bind); never by default

how it measures
  Each figure comes from many short fio processes. A round runs all modes directly after each other
  in random order, the next round in reverse; results are the median of the ratios within rounds,
  so drift of the machine cancels out. fio's job has a CPU to itself, idle states that wake up
  slowly are forbidden (as root), and rounds disturbed by other programs are repeated at
  the end.

examples
  scripts/bench --quick                                 first impression in half a minute
  scripts/bench --target /dev/nvme0n1 --modes block,poll
  scripts/bench --target /dev/nvme0n1 --bs 4k --depth 1,4,16,64,256
  scripts/bench --target tmpfs --rounds 31 --runtime 1  one target, narrow intervals
  scripts/bench --target disk --modes vhost-block,vhost-poll
  scripts/bench --rw randread,randrw:70 --bs 512,4k,64k --depth 1,8,32 --numjobs 1,2
  scripts/bench --until 1 --budget 900                  more rounds until +-1 % or 15 minutes
  scripts/bench --build old=../other/build --build new=build --modes block,loop
  scripts/bench --modes native --fio debian=/usr/bin/fio --fio new=/opt/fio/fio
  scripts/bench --build build --build new=build-new --fio new=/opt/fio/fio --modes block
  scripts/bench --baseline block --modes block,eventfd,loop
  scripts/bench compare results/monday results/tuesday  two kernels, two machines: unpaired
  scripts/bench --dry-run                               the plan and every fio command

exit status: 0 measured, 1 something failed, 2 refused, 130 interrupted (results so far are kept)
Other commands, each with --help: scripts/bench gate, qualify, report, history, show, reproduce,
vm (also spelled --vm), qemu
"""

SCRATCH_NAMES = ("page-cache", "tmpfs", "disk")


def register(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("results", nargs="*", metavar="RESULT",
                        help="two or more stored results, to be compared as they are: nothing is "
                             "measured")
    what = parser.add_argument_group("what to measure")
    options.add_targets(what, SCRATCH_NAMES)
    what.add_argument("--modes", type=options.names, default=[], metavar="LIST",
                      help="modes to compare, see below (default: see there)")
    what.add_argument("--baseline", default="native", metavar="MODE",
                      help="the mode that the others are compared with (default: native)")
    options.add_matrix(what)

    how = parser.add_argument_group("how long and how")
    how.add_argument("--quick", action="store_true",
                     help="a coarse answer in well under a minute: page cache only, 5 short rounds")
    how.add_argument("--rounds", type=options.count, metavar="N",
                     help="rounds per case (default: 11); with --until the least")
    how.add_argument("--until", type=options.share, metavar="PERCENT",
                     help="go on beyond --rounds until the interval of every ratio reaches no "
                          "further than so much to either side")
    how.add_argument("--budget", type=options.seconds, default=600.0, metavar="SECONDS",
                     help="but begin no more rounds after so long (default: 600)")
    how.add_argument("--runtime", type=options.milliseconds, metavar="SECONDS",
                     help="measured time of one fio process (default: 0.5)")
    how.add_argument("--max-load", type=options.share, default=0.05, metavar="PERCENT",
                     help="repeat a round when other programs used more of the machine "
                          "(default: 5)")
    how.add_argument("--patience", type=options.seconds, metavar="SECONDS",
                     help="how long to wait in all for quiet moments to repeat such rounds in "
                          "(default: 60)")
    options.add_machine(how)

    where = parser.add_argument_group("where")
    where.add_argument("--build", "--build-dir", action="append", default=[], metavar="NAME=DIR",
                       help="build folder of the library (default: build/ of this project); may be "
                            "repeated, to compare builds with the first one")
    where.add_argument("--fio", action="append", default=[], metavar="NAME=PATH",
                       help="the fio of the build of that name (default: the one in PATH); without "
                            "such a build, to compare its own engines: --modes native")
    where.add_argument("--no-build", action="store_true",
                       help="take the library in the build folder as it is")
    where.add_argument("--output", metavar="DIR",
                       help="folder for the results (default: results/compare-DATE-TIME)")
    where.add_argument("--keep", action="store_true", help="keep the scratch files")
    where.add_argument("--raw", action="store_true",
                       help="write result.json only; scripts/bench show draws it, anywhere")
    where.add_argument("--dry-run", action="store_true",
                       help="print the plan and the fio commands, run nothing")

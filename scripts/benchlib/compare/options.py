# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options of `scripts/bench compare`, and its --help text."""

from __future__ import annotations

import argparse

from .. import options

DESCRIPTION = """\
Compares libblkio with fio's own io_uring engine, both driven by fio, and draws the result. Also
compares drivers, wait modes, builds of the library and versions of fio; or stored results.

Without options it sets up and builds what is missing, then measures 512-byte random reads on one
CPU at queue depths 1 and 32, on three scratch files that it removes afterwards: one in the page
cache, one on tmpfs with O_DIRECT, one on disk with O_DIRECT. It takes 7 to 10 minutes. The
table and the verdict are printed; everything, with a chart, goes to a folder under results/.
"""

EPILOG = """\
modes
  native        fio's ioengine=io_uring, which most modes are compared with
  block         libblkio, sleeping in the kernel until an I/O completes
  eventfd       libblkio, sleeping in read() on the completion eventfd
  loop          libblkio, polling the completion queue without sleeping
  poll          libblkio with hipri: the kernel polls the device (it must have poll queues)
  native-poll   fio's io_uring with hipri, where the device can poll
  native-fixed  fio's io_uring with fixed buffers and registered files (not by default)
  temporary     libblkio, mapping and unmapping memory for each I/O (not by default; depth 1)
  posix-MODE    the same modes without io_uring, through driver posix (with --posix)
  psync, libaio, posixaio
                fio's engines of these names, to compare posix-MODE with (with --posix; psync has
                one I/O in flight whatever the depth)
  vhost-MODE    the same modes through a qemu-storage-daemon that serves the target; by default
                only on tmpfs, where no device's noise hides the cost. They are compared with
                native-nbd: the same server, reached another way
  native-vhost  libblkio 1.5 in fio's own libblkio engine, on such a server; by default where
                tests/diff/make-root and tests/diff/make-fio have been run
  nbd-MODE      the same modes through a qemu-storage-daemon that serves the target as an NBD export
                (not by default); compared with native-nbd
  native-nbd    fio's nbd engine, which is libnbd, on such an export
  nbdkit-MODE, native-nbdkit
                the same two with an nbdkit as the server, on targets in the page cache (not by
                default)
  iscsi-MODE    the same modes through a tgtd that serves the target over iSCSI (not by default; needs
                the package tgt); compared with native-nbd, another server reached another way
  native-iscsi  fio's libiscsi engine on such a target, where fio was built with it: Debian's was
                not, so it is no mode's reference unless --baseline names it
  nvme-MODE     NVMe commands past the kernel's block layer, on an NVMe namespace; native-cmd and
                native-cmd-poll are fio's io_uring_cmd there
  vfio-MODE     a virtio-blk disk, unbound from the kernel for each fio run
                (scripts/vfio-bind); never by default
  pci-MODE      the same with an NVMe disk

how it measures
  Each figure comes from many short fio processes. A round runs all modes directly after each other
  in random order; the next round runs them in reverse. The results are medians of the ratios within
  rounds, so drift of the machine cancels out. fio's job has a CPU to itself. As root, idle states
  that wake up slowly are forbidden. Rounds that other programs disturbed are repeated at the end.

examples
  scripts/bench --quick                                 a first impression in half a minute
  scripts/bench --target /dev/nvme0n1 --modes block,poll
  scripts/bench --target /dev/nvme0n1 --bs 4k --depth 1,4,16,64,256
  scripts/bench --target tmpfs --rounds 31 --runtime 1  one target, narrow intervals
  scripts/bench --target disk --modes vhost-block,vhost-poll
  scripts/bench --target page-cache --modes nbd-block,nbd-poll
  scripts/bench --target page-cache --modes iscsi-block,iscsi-poll
  scripts/bench --rw randread,randrw:70 --bs 512,4k,64k --depth 1,8,32 --numjobs 1,2
  scripts/bench --target /dev/nvme0n1 --runtime 10 --log 100ms      what happens within a run
  scripts/bench --job my.fio --target /dev/nvme0n1 --destructive   your own workload
  scripts/bench --until 1 --budget 900                  more rounds until +-1 % or 15 minutes
  scripts/bench --build old=../other/build --build new=build --modes block,loop
  scripts/bench --modes native --fio debian=/usr/bin/fio --fio new=/opt/fio/fio
  scripts/bench --build build --build new=build-new --fio new=/opt/fio/fio --modes block
  scripts/bench --baseline block --modes block,eventfd,loop
  scripts/bench --posix --baseline psync --depth 1      without io_uring, one I/O at a time
  scripts/bench compare results/monday results/tuesday  two kernels, two machines: unpaired
  scripts/bench compare old.json new.json               fio's own JSON: docs/data.md
  scripts/bench --dry-run                               the plan and every fio command

verdict
  It names the best mode of each case, the largest proven differences first, and begins with a
  headline that claims no more than the worst it rests on: cases with fewer than five rounds, without
  a clear difference, or whose rounds other programs disturbed are counted in it.

exit status: 0 measured, whatever the verdict (scripts/bench gate is for pass or fail); 1 something
failed; 2 refused; 130 interrupted (results so far are kept)
Other commands, each with --help: scripts/bench gate, qualify, report, history, export, show,
reproduce, vm (also spelled --vm), hosts (--hosts), qemu, copy
"""


def register(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("results", nargs="*", metavar="RESULT",
                        help="stored results to compare, two or more; nothing is measured")
    what = parser.add_argument_group("what to measure")
    options.add_targets(what)
    what.add_argument("--modes", type=options.names, default=[], metavar="LIST",
                      help="modes to compare, see below")
    what.add_argument("--posix", action="store_true",
                      help="compare what does not need io_uring: driver posix with fio's psync, libaio "
                           "(the baseline) and posixaio; the default where io_uring is not "
                           "permitted")
    what.add_argument("--baseline", metavar="MODE",
                      help="the mode that all others are compared with (default: native, and "
                           "native-nbd for modes that need a server)")
    options.add_matrix(what)
    what.add_argument("--job", metavar="FILE", default="",
                      help="take the workload from this job file of fio: engine, file and times are "
                           "replaced, all else is kept. Sections that fio would run at the same time "
                           "are one case; a stonewall begins the next")

    how = parser.add_argument_group("how long and how")
    how.add_argument("--quick", action="store_true",
                     help="a coarse answer in well under a minute: page cache only, 5 short rounds")
    how.add_argument("--rounds", type=options.count, metavar="N",
                     help="rounds per case (default: 11); with --until, the minimum")
    how.add_argument("--until", type=options.share, metavar="PERCENT",
                     help="continue after --rounds until the interval of each ratio is within "
                          "PERCENT on either side")
    how.add_argument("--budget", type=options.seconds, default=600.0, metavar="SECONDS",
                     help="start no further rounds after this time (default: 600)")
    how.add_argument("--runtime", type=options.milliseconds, metavar="SECONDS",
                     help="measured time of one fio process (default: 0.5)")
    how.add_argument("--log", type=options.milliseconds, metavar="INTERVAL",
                     help="also log latency, IOPS and bandwidth within each run, averaged over "
                          "INTERVAL (50ms, 0.5), and draw them; costs all modes some time per I/O")
    how.add_argument("--max-load", type=options.share, default=0.05, metavar="PERCENT",
                     help="repeat a round when other programs used more of the machine "
                          "(default: 5)")
    how.add_argument("--patience", type=options.seconds, metavar="SECONDS",
                     help="total time to wait for quiet moments in which to repeat such rounds "
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
                       help="result folder (default: results/compare-DATE-TIME)")
    where.add_argument("--keep", action="store_true", help="keep the scratch files")
    where.add_argument("--raw", action="store_true",
                       help="write result.json only; scripts/bench show draws it, anywhere")
    where.add_argument("--dry-run", action="store_true",
                       help="print the plan and the fio commands, run nothing")

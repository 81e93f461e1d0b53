# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options of `scripts/bench gate`, and its --help text."""

from __future__ import annotations

import argparse

from .. import options
from ..verdict import GATE

DESCRIPTION = """\
Is the candidate slower than the baseline? Builds both, measures them alternately in one run on this
machine, and gives a verdict for each case, for continuous integration.

Without options, it compares the working tree with HEAD: libblkio's io_uring driver, sleeping in
the kernel, on a file in the page cache, where the whole latency is software. Where io_uring is not
permitted, driver posix takes its place.
"""

EPILOG = f"""\
verdicts and exit status
{GATE.table()}
    1  failed     something could not be built or run
    2  refused    an option or a file is wrong; nothing was run
  130  stopped    by Ctrl-C; what was measured is kept and marked partial
  The exit status is that of the worst verdict (the list is in order). --tolerate excludes verdicts
  from it: with --tolerate improved,too-few,too-noisy, a CI job fails for regressions only.

how it decides
  A round runs baseline and candidate directly after each other, each in a new fio process; the next
  round runs them in reverse. The ratios of the rounds decide. The verdict is regress if Hodges and
  Lehmann's centre of the ratios is at or above 1 + the least effect and the signed-rank test,
  corrected for the number of cases (Holm), finds it significant. It is pass if the interval stays
  below 1 + the least effect, else too-noisy. Rounds are added until the interval is narrow.
  The metric "typical" is the mean of the middle half of a run's latencies, because other programs
  disturb the tails. Mann and Whitney's test and the bootstrap interval of the median are reported.
  Instructions and system calls per I/O are counted as well; these need no quiet machine.
  A baseline from a file was measured at another time. Its runs cannot be paired, so Mann and
  Whitney's test decides, and the machine must be the same.

examples
  scripts/bench gate                                   the working tree against HEAD
  scripts/bench gate --baseline origin/main            a branch against main, as in CI
  scripts/bench gate --baseline build-old --candidate build-new --no-build
  scripts/bench gate --baseline v1.5 --target tmpfs --target page-cache --modes block,loop
  scripts/bench gate --baseline results/gate-20260101-120000  against a stored result
  scripts/bench gate --effect 5 --budget 60            coarse and quick
  scripts/bench gate --count --effect 1                exact, in instructions, on any machine
  scripts/bench gate --aa 20                           how often is it wrong when nothing differs?
  scripts/bench gate --self-test                       ... and is a slowdown of 5 % found?

docs/gate.md says more; docs/ci-gate.yml is a workflow to start from.
"""


def register(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    sides = parser.add_argument_group("what to compare")
    sides.add_argument("--baseline", default="HEAD", metavar="WHAT",
                       help="a git revision, a build folder, or a stored result of gate or compare "
                            "(default: HEAD)")
    sides.add_argument("--candidate", default=".", metavar="WHAT",
                       help="a source tree, a build folder or a git revision (default: .)")
    sides.add_argument("--modes", type=options.names, default=[], metavar="LIST",
                       help="modes of compare, of libblkio (default: block; where io_uring is not "
                            "permitted, posix-block)")
    sides.add_argument("-D", action="append", default=[], dest="setup", metavar="OPTION=VALUE",
                       help="meson option for both builds; may be repeated")
    sides.add_argument("--no-build", action="store_true", help="take build folders as they are")

    what = parser.add_argument_group("what to measure")
    options.add_targets(what)
    options.add_matrix(what)
    what.add_argument("--metric", type=options.names, default=["typical"], metavar="LIST",
                      help="typical (default), mean, p50, p99, p99.9: each is a finding of its own")
    what.add_argument("--no-counts", action="store_true",
                      help="do not count instructions and system calls")

    how = parser.add_argument_group("how long and how")
    how.add_argument("--rounds", type=options.count, metavar="N",
                     help="minimum of rounds per case (default: 20; with --count 10)")
    how.add_argument("--until", type=options.share, default=0.01, metavar="PERCENT",
                     help="add rounds until the interval is within PERCENT on either side "
                          "(default: 1)")
    how.add_argument("--budget", type=options.seconds, default=300.0, metavar="SECONDS",
                     help="start no further rounds after this time (default: 300)")
    how.add_argument("--runtime", type=options.milliseconds, metavar="SECONDS",
                     help="measured time of one fio process (default: 0.1): many short ones are "
                          "better than few long ones")
    options.add_machine(how)
    how.add_argument("--count", action="store_true",
                     help="measure in the test VM, whose clock then counts instructions: exact on a "
                          "busy machine, and includes the kernel. --target is page-cache (default) "
                          "or null_blk; --until, --budget, --size and --cpu are ignored")

    limits = parser.add_argument_group("what counts")
    limits.add_argument("--effect", type=options.share, default=0.02, metavar="PERCENT",
                        help="least effect: smaller shifts do not count (default: 2)")
    limits.add_argument("--alpha", type=options.share, default=0.05, metavar="PERCENT",
                        help="chance of a false alarm in a run where nothing differs (default: 5)")
    limits.add_argument("--instructions", type=options.share, default=0.01, metavar="PERCENT",
                        help="allowed increase of instructions per I/O (default: 1)")
    limits.add_argument("--calls", type=options.seconds, default=0.05, metavar="N",
                        help="allowed increase of system calls per I/O (default: 0.05)")
    limits.add_argument("--tolerate", type=options.names, default=[], metavar="LIST",
                        help="verdicts that leave the exit status at 0")

    out = parser.add_argument_group("output")
    out.add_argument("--output", metavar="DIR",
                     help="folder for the results (default: results/gate-DATE-TIME)")
    out.add_argument("--junit", metavar="FILE", help="also write JUnit XML there")
    out.add_argument("--summary", metavar="FILE",
                     help="append the Markdown summary there, for example $GITHUB_STEP_SUMMARY")
    out.add_argument("--raw", action="store_true",
                     help="write gate.json only; scripts/bench report draws it, anywhere")
    out.add_argument("--keep", action="store_true", help="keep the scratch files")

    itself = parser.add_argument_group("the gate itself")
    itself.add_argument("--aa", type=options.count, metavar="N",
                        help="compare the candidate with itself N times, and count the false "
                             "alarms")
    itself.add_argument("--self-test", action="store_true",
                        help="--aa (20), then the same number of times a build that --slowdown "
                             "makes slower, and count how often it is detected")
    itself.add_argument("--slowdown", type=options.share, default=0.05, metavar="PERCENT",
                        help="how much slower, of the typical latency (default: 5)")

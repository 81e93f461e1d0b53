# SPDX-License-Identifier: MIT OR Apache-2.0
"""scripts/bench: finds the subcommand, runs it, turns errors into messages and exit codes.

A subcommand is one entry in COMMANDS: a module with `register(parser)`, which adds its options,
and a function to run, imported only then, because it may need what the set-up installs.
"""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Callable

from . import compare_options, show_options
from .errors import BenchError, Exit
from .gate import options as gate_options
from .history import options as history_options
from .qualify import options as qualify_options
from .qemu import options as qemu_options
from .report import options as report_options
from .reproduce import options as reproduce_options
from .vm import options as vm_options

Run = Callable[[argparse.Namespace], int]


def _compare(options: argparse.Namespace) -> Exit:
    from . import plan, prepare
    if options.results:
        prepare.set_up()
        from .unpaired import compare_stored
        return compare_stored(options)
    campaign = plan.campaign(options)  # refuses what is wrong before anything is installed
    if options.dry_run:
        plan.announce(campaign)
        plan.print_commands(campaign)
        return Exit.OK
    prepare.set_up()
    from .compare import compare
    return compare(options, campaign)


def _show(options: argparse.Namespace) -> Exit:
    from . import prepare
    prepare.set_up()
    from .show import show
    return show(options)


def _qualify(options: argparse.Namespace) -> int:
    from . import prepare
    prepare.set_up()
    from .qualify.command import qualify
    return qualify(options)


def _report(options: argparse.Namespace) -> Exit:
    from . import prepare
    prepare.set_up()
    from .report.command import report
    return report(options)


def _vm(options: argparse.Namespace) -> Exit:
    from .vm.command import in_vm
    return in_vm(options)


def _history(options: argparse.Namespace) -> Exit:
    from . import prepare
    prepare.set_up()
    from .history.command import history
    return history(options)


def _gate(options: argparse.Namespace) -> Exit:
    from . import prepare
    prepare.set_up()
    from .gate.command import gate
    return gate(options)


def _qemu(options: argparse.Namespace) -> Exit:
    from . import prepare
    prepare.set_up()
    from .qemu.command import qemu
    return qemu(options)


def _reproduce(options: argparse.Namespace) -> Exit:
    from .reproduce.command import reproduce
    return reproduce(options)


DEFAULT = "compare"
COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], Run]] = {
    "compare": (compare_options.register, _compare),
    "gate": (gate_options.register, _gate),
    "show": (show_options.register, _show),
    "report": (report_options.register, _report),
    "history": (history_options.register, _history),
    "qualify": (qualify_options.register, _qualify),
    "vm": (vm_options.register, _vm),
    "qemu": (qemu_options.register, _qemu),
    "reproduce": (reproduce_options.register, _reproduce),
}


def main(arguments: list[str]) -> int:
    # `scripts/bench --quick` means `scripts/bench compare --quick`, --vm is the command vm
    if "--vm" in arguments:
        arguments = ["vm", *(word for word in arguments if word != "--vm")]
    name = arguments[0] if arguments and arguments[0] in COMMANDS else DEFAULT
    rest = arguments[1:] if arguments[:1] == [name] else arguments
    register, run = COMMANDS[name]
    parser = argparse.ArgumentParser(prog=f"scripts/bench {name}" if rest is not arguments
                                     else "scripts/bench",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    register(parser)
    options = parser.parse_args(rest)
    signal.signal(signal.SIGTERM, _interrupt)  # so that scratch files go and results are kept
    try:
        return run(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return Exit.FAILED


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt

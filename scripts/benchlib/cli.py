# SPDX-License-Identifier: MIT OR Apache-2.0
"""scripts/bench: finds the subcommand, runs it, turns errors into messages and exit codes.

A subcommand is one entry in COMMANDS. What it runs is named, not imported: it may need what the
set-up installs, so main() imports it after the set-up. This is the one place of such imports; what
is imported here needs the standard library only.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from dataclasses import dataclass
from typing import Any, Callable

from . import prepare
from .compare import options as compare_options
from .copy import options as copy_options
from .errors import BenchError, Exit
from .export import options as export_options
from .gate import options as gate_options
from .history import options as history_options
from .hosts import options as hosts_options
from .measure import targets
from .qemu import options as qemu_options
from .qualify import options as qualify_options
from .report import options as report_options, show_options
from .reproduce import options as reproduce_options
from .vm import options as vm_options


@dataclass(frozen=True)
class Command:
    """A subcommand; its functions are named as package.module:function."""

    register: Callable[[argparse.ArgumentParser], None]  # adds its options
    run: str
    # Called before the set-up, with the standard library only: refuses what is wrong, and returns
    # an exit status when no set-up is needed (--dry-run, --list).
    before: str = ""
    programs: tuple[str, ...] = ()  # to be installed besides those that every command needs


DEFAULT = "compare"
COMMANDS = {
    "compare": Command(compare_options.register, "compare.command:compare",
                       before="compare.before:before"),
    "gate": Command(gate_options.register, "gate.command:gate", programs=("git",)),
    "show": Command(show_options.register, "report.show:show"),
    "report": Command(report_options.register, "report.command:report"),
    "export": Command(export_options.register, "export.command:export"),
    "history": Command(history_options.register, "history.command:history"),
    "hosts": Command(hosts_options.register, "hosts.command:hosts", programs=("ssh",)),
    "qualify-hosts": Command(hosts_options.register_qualify, "hosts.qualify:qualify",
                             programs=("ssh",)),
    "qualify": Command(qualify_options.register, "qualify.command:qualify",
                       before="qualify.before:before"),
    "vm": Command(vm_options.register, "vm.command:in_vm", before="vm.plan:before"),
    "qemu": Command(qemu_options.register, "qemu.command:qemu"),
    "copy": Command(copy_options.register, "copy.command:copy",
                    programs=("qemu-img", "nbdcopy", "time")),
    "reproduce": Command(reproduce_options.register, "reproduce.command:reproduce",
                         before="reproduce.plan:before"),
}


def main(arguments: list[str]) -> int:
    # `scripts/bench --quick` means `scripts/bench compare --quick`, --vm is the command vm, and
    # --hosts is the command hosts, of qualify qualify-hosts
    if "--vm" in arguments:
        arguments = ["vm", *(word for word in arguments if word != "--vm")]
    elif any(word.partition("=")[0] == "--hosts" for word in arguments):
        if arguments[0] == "qualify":
            arguments = ["qualify-hosts", *arguments[1:]]
        elif arguments[0] == DEFAULT or arguments[0] not in COMMANDS:
            arguments = ["hosts", *(arguments[1:] if arguments[0] == DEFAULT else arguments)]
    name = arguments[0] if arguments and arguments[0] in COMMANDS else DEFAULT
    rest = arguments[1:] if arguments[:1] == [name] else arguments
    parser = argparse.ArgumentParser(prog=f"scripts/bench {name}" if rest is not arguments
                                     else "scripts/bench",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    COMMANDS[name].register(parser)
    options = parser.parse_args(rest)
    signal.signal(signal.SIGTERM, _interrupt)  # so that scratch files go and results are kept
    try:
        return _run(COMMANDS[name], options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return Exit.FAILED


def _run(command: Command, options: argparse.Namespace) -> int:
    if named := getattr(options, "target", None):
        targets.check_named([named] if isinstance(named, str) else named)
    if command.before:
        status = _function(command.before)(options)
        if status is not None:
            return int(status)
    prepare.set_up(*command.programs)
    return int(_function(command.run)(options))


def _function(name: str) -> Callable[[argparse.Namespace], Any]:
    """The function package.module:function, imported now."""
    module, _, function = name.partition(":")
    found: Callable[[argparse.Namespace], Any] = getattr(
        importlib.import_module(f"{__package__}.{module}"), function)
    return found


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt

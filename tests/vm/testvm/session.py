# SPDX-License-Identifier: MIT OR Apache-2.0
"""From a configuration to an exit status: boot (again, if need be), run, judge."""
from __future__ import annotations

import re
import shutil
import sys
import time
from pathlib import Path

from benchlib.machine import sockets
from . import terminal
from .config import Config, command_script, job_script
from .kernel_log import complaints
from .machine import BootFailed, Deadline, GuestDied, Machine
from .qemu import accelerators, remember_kvm_is_broken

EXIT_KERNEL_COMPLAINED = 123
EXIT_DEADLINE = 124
EXIT_VM_FAILED = 125

# A KVM that works is up in about a second.
_KVM_BOOT_SECONDS = 10.0


def say(message: str) -> None:
    print(f"vm: {message}", file=sys.stderr, flush=True)


def _tail(text: str, lines: int = 25) -> str:
    return "\n".join("    " + line for line in text.splitlines()[-lines:])


def _prepare(config: Config, work: Path) -> None:
    """A fresh job for every boot."""
    shutil.rmtree(work, ignore_errors=True)
    (work / "job").mkdir(parents=True)
    (work / "job" / "job").write_text(job_script(config))
    (work / "job" / "command").write_text(command_script(config))


def _keep(config: Config, machine: Machine) -> None:
    """The logs belong to the results, if someone wants results."""
    if config.out:
        (config.out / "dmesg.log").write_text(machine.kernel_log())
        (config.out / "console.log").write_text(machine.console())


def _judge(config: Config, machine: Machine, status: int) -> int:
    """A complaint of the kernel fails a command that passed."""
    allowed = [re.compile(pattern) for pattern in config.allow]
    found = [line for line in complaints(machine.kernel_log())
             if not any(pattern.search(line) for pattern in allowed)]
    if not found:
        return status
    say("the kernel complained:\n" + _tail("\n".join(found)))
    return status or EXIT_KERNEL_COMPLAINED


def _too_late(config: Config, machine: Machine) -> int:
    say(f"'{config.command[0]}' exceeded {config.timeout:.0f} s and was stopped; the end of the "
        f"kernel's log:\n{_tail(machine.console())}")
    return EXIT_DEADLINE


def _run_command(config: Config, machine: Machine, deadline: float) -> int:
    if config.verbose:
        say(f"ready after {machine.boot_seconds:.1f} s")
    try:
        if config.shell:
            terminal.connect(machine.tty())
        status = machine.run(deadline)
    except Deadline:
        return _too_late(config, machine)
    except GuestDied:
        say("the guest died while the command ran; the end of the kernel's log:\n"
            f"{_tail(machine.console(), 60)}\n{machine.qemu_errors()}")
        return EXIT_VM_FAILED
    finally:
        _keep(config, machine)
    return _judge(config, machine, status)


def _attempt(config: Config, accel: str, work: Path, boot_seconds: float, deadline: float) -> int:
    _prepare(config, work)
    with Machine(config, accel, work) as machine:
        try:
            machine.boot(min(boot_seconds, deadline - machine.started))
        except BootFailed as error:
            if error.hung and time.monotonic() >= deadline:
                return _too_late(config, machine)
            if error.hung and accel == "tcg":
                say(f"{error}; processors and the end of the kernel's log:\n"
                    f"{_tail(machine.registers(), 60)}\n{_tail(machine.console())}")
            elif not error.hung and machine.console():
                say(f"the end of the kernel's log:\n{_tail(machine.console())}")
            raise
        return _run_command(config, machine, deadline)


def run(config: Config) -> int:
    # A terminal's user is in no hurry.
    deadline = float("inf") if config.shell else time.monotonic() + config.timeout
    with sockets.folder("vm-") as folder:
        work = Path(folder) / "work"
        attempts = accelerators(config)
        # Rarely, about 1 boot in 200, the guest hangs under TCG before it runs anything.
        attempts.append(attempts[-1])
        for number, accel in enumerate(attempts, 1):
            last = number == len(attempts)
            kvm_trial = accel == "kvm" and config.accel == "auto"
            # The machine may just be slow: more patience the second time.
            patience = _KVM_BOOT_SECONDS if kvm_trial else config.boot_timeout * (1 + last)
            try:
                return _attempt(config, accel, work, patience, deadline)
            except BootFailed as error:
                if kvm_trial and not last:
                    say("KVM boots no guest here (remembered until the host reboots); using TCG")
                    remember_kvm_is_broken()
                elif last or not error.hung:
                    say(f"the guest did not start: {error}")
                    return EXIT_VM_FAILED
                else:
                    say("the boot hung; trying once more")
    return EXIT_VM_FAILED

# SPDX-License-Identifier: MIT OR Apache-2.0
"""What to boot: the command, the profiles and where the prepared kernel lies."""
from __future__ import annotations

import os
import platform
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from .profiles import PROFILES

HOME = Path(__file__).resolve().parent.parent
CACHE = HOME.parent.parent / ".deps" / "vm"
REMEDY = "run tests/vm/setup"

# Folders of CACHE: the kernel, its modules and its initramfs.
KERNELS = {"debian": "kernel", "custom": "custom"}

# Passed to the guest without being asked for.
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TERM", "LD_LIBRARY_PATH", "LD_PRELOAD", "MALLOC_PERTURB_",
               "ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS")


class Unavailable(Exception):
    """The VM cannot run on this machine as it is; the message names the remedy."""


@dataclass
class Config:
    command: list[str]
    profiles: list[str] = field(default_factory=lambda: ["plain"])
    shell: bool = False
    kernel: str = "debian"
    out: Path | None = None
    env: dict[str, str] = field(default_factory=dict)
    timeout: float = 300.0
    boot_timeout: float = 60.0
    accel: str = "auto"
    memory: str = "1G"
    cpus: int = 2
    icount: bool = False  # the guest's clock counts its instructions
    append: list[str] = field(default_factory=list)
    qemu_args: list[str] = field(default_factory=list)
    allow: list[str] = field(default_factory=list)
    verbose: bool = False


def kernel_folder(config: Config) -> Path:
    return CACHE / KERNELS[config.kernel]


def check_available(config: Config) -> None:
    remedy = "scripts/test --custom-kernel makes it" if config.kernel == "custom" else REMEDY
    if platform.machine() != "x86_64":
        raise Unavailable(f"the VM runs host binaries on x86_64 only, this is {platform.machine()}")
    if not shutil.which("qemu-system-x86_64"):
        raise Unavailable(f"qemu-system-x86_64 is missing; {REMEDY}")
    for name in config.profiles:
        if PROFILES[name].kernel not in ("", config.kernel):
            raise Unavailable(f"profile {name} needs --kernel {PROFILES[name].kernel}")
    for name in ("vmlinux", "initramfs"):
        path = kernel_folder(config) / name
        if not path.exists():
            raise Unavailable(f"{path} is missing; {remedy}")
    if {"vdpa", "vduse"} & set(config.profiles) and not (kernel_folder(config) / "vdpa").exists():
        raise Unavailable(f"the vDPA modules are missing; {REMEDY} without --no-vdpa")


def job_script(config: Config) -> str:
    """Read by guest/stage1 and stage2."""
    lines = {
        "VM_HOME": str(HOME),
        "VM_KERNEL": str(kernel_folder(config)),
        "VM_PROFILES": " ".join(config.profiles),
        "VM_OUT": str(config.out or ""),
        "VM_SHELL": "yes" if config.shell else "",
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in lines.items())


def command_script(config: Config) -> str:
    """What the guest's /bin/sh runs in the end."""
    env = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    env |= config.env
    if config.out:
        env["VM_OUT"] = str(config.out)
    if config.icount:
        env["VM_ICOUNT"] = "1"
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in env.items())
    if config.shell:
        exports += "stty cols {} rows {}\n".format(*shutil.get_terminal_size())
    return (f"{exports}cd {shlex.quote(os.getcwd())} || exit 125\n"
            f"exec {shlex.join(config.command)}\n")

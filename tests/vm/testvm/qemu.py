# SPDX-License-Identifier: MIT OR Apache-2.0
"""QEMU's command line, and which accelerator works here."""
from __future__ import annotations

import os
from pathlib import Path

from .config import CACHE, Config, kernel_folder
from .profiles import PROFILES

_KERNEL_ARGS = ("console=ttyS0 panic=-1 loglevel=5 log_buf_len=2M mitigations=off nokaslr nowatchdog "
                "cryptomgr.notests tsc=reliable no_timer_check random.trust_cpu=on")
_KVM_BROKEN = CACHE / "kvm-broken"

# What the guest and the runner say to each other: virtio ports of these names.
CHANNELS = ("control", "stdout", "stderr", "tty")


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text()


def accelerators(config: Config) -> list[str]:
    """Those worth trying, best first."""
    if config.icount:
        return ["tcg"]
    if config.accel != "auto":
        return [config.accel]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return ["tcg"]
    if _KVM_BROKEN.exists() and _KVM_BROKEN.read_text() == _boot_id():
        return ["tcg"]
    return ["kvm", "tcg"]


def remember_kvm_is_broken() -> None:
    """Until the host boots again, so that only one run pays for finding out."""
    try:
        _KVM_BROKEN.write_text(_boot_id())
    except OSError:
        pass  # the next run finds out by itself


def _profile_args(config: Config, disks: Path) -> list[str]:
    args = []
    for name in config.profiles:
        profile = PROFILES[name]
        paths = {}
        for disk, size in profile.disks.items():
            paths[disk] = disks / f"{disk}.img"
            with open(paths[disk], "wb") as image:
                image.truncate(size)
        for arg in profile.devices:
            for disk, path in paths.items():
                arg = arg.replace(f"{{disk:{disk}}}", str(path).replace(",", ",,"))
            args.append(arg)
    return args


def _share(tag: str, path: Path, readonly: bool) -> list[str]:
    path_arg = str(path).replace(",", ",,")
    fsdev = f"local,id={tag},path={path_arg},security_model=none,multidevs=remap"
    return ["-fsdev", fsdev + (",readonly=on" if readonly else ""),
            "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]


def _processor(config: Config, accel: str) -> list[str]:
    if config.icount:
        # One instruction is one nanosecond. With several processors the clock follows none of them.
        return ["-accel", "tcg,thread=single", "-icount", "shift=0", "-cpu", "max", "-smp", "1"]
    if accel == "tcg":
        return ["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(config.cpus)]
    return ["-accel", accel, "-cpu", "host", "-smp", str(config.cpus)]


def command_line(config: Config, accel: str, work: Path, fds: dict[str, int]) -> list[str]:
    """work has the job (work/job) and takes the disks; fds: one socket per channel, and "monitor"."""
    profiles = [PROFILES[name] for name in config.profiles]
    append = " ".join([_KERNEL_ARGS, *(p.append for p in profiles), *config.append])
    args = [
        # QEMU must not outlive its runner, however that ends.
        "setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64",
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "q35" + "".join(p.machine for p in profiles),
        *_processor(config, accel),
        "-m", config.memory,
        "-bios", "qboot.rom",
        "-kernel", str(kernel_folder(config) / "vmlinux"),
        "-initrd", str(kernel_folder(config) / "initramfs"),
        "-append", append,
        "-serial", f"file:{work / 'console'}",
        "-chardev", f"socket,id=monitor,fd={fds['monitor']}",
        "-mon", "chardev=monitor,mode=readline",
    ]
    # First among the devices: an IOMMU must come before what it translates for.
    args += _profile_args(config, work)
    args += _share("host", Path("/"), readonly=True)
    args += _share("vm", work / "job", readonly=False)
    if config.out:
        args += _share("out", config.out, readonly=False)
    args += ["-device", "virtio-serial-pci,id=channels"]
    for number, channel in enumerate(CHANNELS, 1):
        device = "virtconsole" if channel == "tty" else "virtserialport"
        args += ["-chardev", f"socket,id={channel},fd={fds[channel]}",
                 "-device", f"{device},bus=channels.0,nr={number},chardev={channel},name={channel}"]
    return args + config.qemu_args

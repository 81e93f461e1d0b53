# SPDX-License-Identifier: MIT OR Apache-2.0
"""PCI devices, lent to programs through VFIO and given back: what scripts/vfio-bind does, and the
comparison around a fio process. Standard library only.
"""

from __future__ import annotations

import errno
import os
import pwd
import re
import stat
import subprocess
import time
from pathlib import Path

from . import inuse

SYSFS = Path("/sys")
DEVICES = SYSFS / "bus/pci/devices"
ADDRESS = re.compile(r"(?:([0-9a-fA-F]{4,8}):)?([0-9a-fA-F]{2}):([0-9a-fA-F]{2})\.([0-7])$")
UNSAFE = SYSFS / "module/vfio/parameters/enable_unsafe_noiommu_mode"
BRIDGE, STORAGE, NETWORK = 0x06, 0x01, 0x02  # base classes
IFF_UP = 1
SECONDS_TO_APPEAR = 5


class Refused(Exception):
    """Why the device stays as it is, and what to do about it."""


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def link_name(path: Path) -> str:
    return os.path.basename(os.readlink(path)) if path.is_symlink() else ""


class PciDevice:
    """A PCI function, by its folder in sysfs."""

    def __init__(self, address: str) -> None:
        match = ADDRESS.match(Path(address).name)
        if not match:
            raise Refused(f"{address} is not a PCI address such as 0000:01:00.0 or 01:00.0")
        domain, bus, slot, function = match.groups()
        self.address = f"{domain or '0000'}:{bus}:{slot}.{function}".lower()
        self.folder = DEVICES / self.address
        if not self.folder.is_dir():
            raise Refused(f"there is no PCI device {self.address}: see vfio-bind status")

    @property
    def driver(self) -> str:
        return link_name(self.folder / "driver")

    @property
    def group(self) -> str:
        return link_name(self.folder / "iommu_group")

    def group_nodes(self) -> list[Path]:
        nodes = [Path("/dev/vfio", name + self.group) for name in ("", "noiommu-")]
        return [node for node in nodes if node.exists()]

    def nodes(self) -> list[Path]:
        """What programs open once vfio-pci has it: its group's, and with iommufd its own."""
        own = [Path("/dev/vfio/devices", path.name) for path in self.folder.glob("vfio-dev/*")]
        return self.group_nodes() + [node for node in own if node.exists()]

    @property
    def ids(self) -> str:
        return f"{read(self.folder / 'vendor')[2:]}:{read(self.folder / 'device')[2:]}"

    @property
    def base_class(self) -> int:
        return int(read(self.folder / "class") or "0", 16) >> 16

    def neighbours(self) -> list["PciDevice"]:
        """The others in its IOMMU group; bridges may keep their driver."""
        members = sorted((self.folder / "iommu_group/devices").glob("*"))
        found = [PciDevice(member.name) for member in members if member.name != self.address]
        return [device for device in found if device.base_class != BRIDGE]

    def owns(self, folder: Path) -> bool:
        return self.folder.resolve() in folder.resolve().parents

    def _owned(self, kind: str) -> list[Path]:
        """Those of multipath NVMe are in a subsystem's folder, beside links to its controllers."""
        def places(node: Path) -> list[Path]:
            folder = node.resolve()
            if (folder / "partition").exists():
                folder = folder.parent
            beside = folder.parent.glob("nvme*")
            return [node, *(link for link in beside if link.is_symlink())]

        return [node for node in sorted(SYSFS.glob(kind))
                if any(self.owns(place) for place in places(node))]

    def disks(self) -> list[Path]:
        """With their partitions."""
        return self._owned("class/block/*")

    def commands(self) -> list[Path]:
        """The nodes of NVMe controllers and namespaces that take commands."""
        return self._owned("class/nvme/*") + self._owned("class/nvme-generic/*")

    def interfaces(self) -> list[Path]:
        return [path for path in sorted((SYSFS / "class/net").glob("*")) if self.owns(path)]


# ---- In use? ------------------------------------------------------------------------------------

def identity(path: Path) -> tuple[int, int] | None:
    """Which device a node, or a descriptor in /proc, stands for: it may have several names."""
    try:
        status = os.stat(path)
    except OSError:
        return None  # it has ended, or is not ours to look into
    return stat.S_IFMT(status.st_mode), status.st_rdev


def opened(nodes: list[Path]) -> dict[Path, list[str]]:
    """The processes that have them open, as "name (pid)". Each process is looked at once."""
    found: dict[Path, set[str]] = {node: set() for node in nodes}
    known = {identity(node): node for node in nodes if node.exists()}
    for fd in Path("/proc").glob("[0-9]*/fd/*") if known else ():
        node = known.get(identity(fd))
        if node:
            process = fd.parent.parent
            found[node].add(f"{read(process / 'comm')} ({process.name})")
    return {node: sorted(programs) for node, programs in found.items()}


def use_of(device: PciDevice) -> str:
    """What the kernel's driver is needed for; "" for nothing."""
    disks = [Path("/dev", disk.name) for disk in device.disks()]
    others = [Path("/dev", node.name) for node in device.commands()]
    programs = opened(disks + others)
    for node in disks:
        uses = inuse.users(str(node)) if node.exists() else []
        uses += [f"open in {program}" for program in programs[node]]
        if uses:
            return f"{node} is {uses[0]}: end that first"
    for node in others:
        uses = inuse.exports(str(node)) + [f"open in {program}" for program in programs[node]]
        if uses:
            return f"{node} is {uses[0]}: end that first"
    for interface in device.interfaces():
        if int(read(interface / "flags") or "0", 16) & IFF_UP:
            return f"network interface {interface.name} is up: ip link set {interface.name} down"
    functions = device.folder / "sriov_numvfs"
    if read(functions) not in ("", "0"):
        return f"it has {read(functions)} virtual functions: echo 0 >{functions}"
    return ""


def user_of(device: PciDevice) -> str:
    """Who drives a device that is bound to vfio-pci."""
    found = sorted({program for programs in opened(device.nodes()).values()
                    for program in programs})
    return f"driven by {', '.join(found)}" if found else ""


def is_held(device: PciDevice) -> bool:
    """A program that has the device may have closed the group's node, which it needs no longer."""
    for node in device.group_nodes():
        try:
            os.close(os.open(node, os.O_RDWR | os.O_CLOEXEC))
        except OSError as error:
            if error.errno == errno.EBUSY:
                return True
    return False


# ---- Commands -----------------------------------------------------------------------------------

def write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="ascii")
    except OSError as error:
        hint = ": are you root?" if isinstance(error, PermissionError) else ""
        raise Refused(f"cannot write {text.strip() or 'an empty line'} to {path}: "
                      f"{error.strerror}{hint}") from error


def rebind(device: PciDevice, override: str) -> None:
    write(device.folder / "driver_override", override + "\n")
    if device.driver:
        write(device.folder / "driver/unbind", device.address)
    write(SYSFS / "bus/pci/drivers_probe", device.address)


def need_vfio() -> None:
    if (SYSFS / "bus/pci/drivers/vfio-pci").is_dir():
        return
    done = subprocess.run(["modprobe", "vfio-pci"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"there is no driver vfio-pci: {done.stderr.strip()}")


def wait_for_nodes(device: PciDevice) -> list[Path]:
    deadline = time.monotonic() + SECONDS_TO_APPEAR
    while not device.nodes():
        if time.monotonic() > deadline:
            raise Refused(f"/dev/vfio/{device.group} did not appear: is udev, or devtmpfs, at work?")
        time.sleep(0.05)
    return device.nodes()


def lend(device: PciDevice) -> None:
    try:
        rebind(device, "vfio-pci")
    finally:
        if device.driver != "vfio-pci":
            rebind(device, "")
    if device.driver != "vfio-pci":
        raise Refused(f"the kernel did not bind {device.address} to vfio-pci: see dmesg; it is bound "
                      f"to {device.driver or 'no driver'}")


def bind(device: PciDevice, owner: str | None = None) -> list[str]:
    """Gives what is to be said of it: where the device is, and what is in its way."""
    uid = pwd.getpwnam(owner).pw_uid if owner else None
    if not device.group and read(UNSAFE) != "Y":
        raise Refused(f"{device.address} is not behind an IOMMU: turn it on in the firmware and for "
                      "the kernel (intel_iommu=on, ...)")
    if device.driver != "vfio-pci":
        use = use_of(device)
        if use:
            raise Refused(f"{device.address} is in use: {use}")
        need_vfio()
        lend(device)
    nodes = wait_for_nodes(device)
    for node in nodes if uid is not None else []:
        os.chown(node, uid, -1)
    return [f"{device.address} is bound to vfio-pci: {', '.join(map(str, nodes))}",
            *(f"but {other.address}, in the same IOMMU group, is bound to {other.driver}: until that "
              "is unbound or bound to vfio-pci, neither can be used"
              for other in device.neighbours()
              if other.driver not in ("", "vfio-pci", "pci-stub"))]


def unbind(device: PciDevice) -> list[str]:
    if device.driver != "vfio-pci":
        return [f"{device.address} is bound to {device.driver or 'no driver'}, not to vfio-pci"]
    use = user_of(device)
    if not use and is_held(device):
        use = "driven by a program that has its group"
    if use:
        raise Refused(f"{device.address} is in use, {use}: end that first, or the kernel would "
                      "wait for it")
    rebind(device, "")
    return [f"{device.address} is bound to {device.driver or 'no driver'}"]


def describe(device: PciDevice) -> str:
    use = user_of(device) if device.driver == "vfio-pci" else use_of(device)
    return (f"{device.address}  {device.ids}  {device.driver or '-':<16} "
            f"{'group ' + device.group if device.group else 'no IOMMU':<10}  {use or 'not in use'}")

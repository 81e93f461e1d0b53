#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""A power cut in mid-write: what our drivers acknowledged as durable is there afterwards.

QEMU keeps of a qcow2 image which cluster is where, and writes that only at a flush: killed, it
forgets what was written since, as a disk does with its cache. One program shows that it does
so, the others write through each driver until QEMU is killed. In a second guest, all that was
acknowledged by then must be there.

usage: test_cut.py VM-RUN WRITER
"""
from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CAPACITY = 4 << 30
GENERATIONS = 12  # of each driver, before the power goes
SECONDS = 250
# Name, driver and path of each disk; the first is the one that is to forget.
DISKS = (("forgets", "io_uring", "/dev/$(nvme forgets)n1"),
         ("block", "io_uring", "/dev/$(nvme block)n1"),
         ("passthrough", "nvme-io_uring", "/dev/$(nvme passthrough)n1"),
         ("vfio", "virtio-blk-vfio-pci", "$vfio"),
         ("pci", "nvme-vfio-pci", "$pci"))
# Those that VFIO lends: QEMU's device, and the slot of its port beside the profile's own.
LENT = {"vfio": ("virtio-blk-pci,disable-legacy=on,iommu_platform=on", "1e.0"),
        "pci": ("nvme,serial=pci", "1d.0")}
# The others are numbered as they are found, which is another order every time.
SETUP = """
lent() {
	folder=$(echo /sys/devices/pci0000:00/0000:00:$1/0000:*:00.0)
	echo vfio-pci >$folder/driver_override
	[ -e $folder/driver ] || echo ${folder##*/} >/sys/bus/pci/drivers_probe
	echo ${folder##*/}
}
nvme() { basename "$(dirname "$(grep -l "^$1 *$" /sys/class/nvme/*/serial)")"; }
"""
SETUP += "".join(f"{name}=$(lent {slot})\n" for name, (_device, slot) in LENT.items())
SETUP += """modprobe nvme
for serial in forgets block passthrough; do
	until [ -b /dev/$(nvme $serial)n1 ]; do sleep 0.1; done
done
until [ -e /dev/ng$(nvme passthrough | tr -d nvme)n1 ]; do sleep 0.1; done
"""


def devices(folder: Path) -> list[str]:
    """QEMU's arguments for the disks."""
    args = []
    for number, (name, _driver, _path) in enumerate(DISKS):
        args += ["-blockdev", f"driver=qcow2,node-name={name},cache-clean-interval=0,"
                              f"file.driver=file,file.filename={folder}/{name}.qcow2"]
        if name not in LENT:
            args += ["-device", f"nvme,serial={name},drive={name}"]
            continue
        device, slot = LENT[name]
        args += ["-device", f"pcie-root-port,id=port-{name},chassis={10 + number},"
                            f"slot={10 + number},addr={slot}",
                 "-device", f"{device},bus=port-{name},drive={name}"]
    return args


def guest(run: str, folder: Path, script: str) -> subprocess.Popen[str]:
    command = [run, "--profile", "viommu", "--timeout", str(SECONDS)]
    command += [f"--qemu={arg}" for arg in devices(folder)]
    return subprocess.Popen(
        [*command, "--", "sh", "-c", SETUP + script], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(folder)})


def write_until_cut(run: str, writer: str, folder: Path) -> dict[str, int]:
    """The last generation that each driver acknowledged."""
    programs = [f"{writer} {'write' if number else 'lose'} {name} {driver} {path} & "
                for number, (name, driver, path) in enumerate(DISKS)]
    acknowledged = {name: 0 for name, _driver, _path in DISKS}
    machine = guest(run, folder, "".join(programs) + "wait")
    try:
        for line in machine.stdout:
            match = re.match(r"(\w+) (durable|unflushed) (\d+)$", line)
            assert match, f"the guest says: {line}"
            acknowledged[match[1]] = int(match[3])
            if min(acknowledged.values()) >= GENERATIONS:
                break
        else:
            raise AssertionError("the guest ended before its power was cut")
    finally:
        machine.kill()  # and QEMU with it, by its parent-death signal
        rest, _ = machine.communicate()
    # Said before the cut, read after it.
    for match in re.finditer(r"^(\w+) durable (\d+)$", rest, re.M):
        acknowledged[match[1]] = int(match[2])
    return acknowledged


def verify(run: str, writer: str, folder: Path, acknowledged: dict[str, int]) -> str:
    programs = [f"{writer} {'verify' if number else 'lost'} {name} {driver} {path} "
                f"{acknowledged[name]} && " for number, (name, driver, path) in enumerate(DISKS)]
    machine = guest(run, folder, "".join(programs) + "true")
    output, _ = machine.communicate(timeout=SECONDS + 30)
    assert machine.returncode == 0, f"status {machine.returncode}: {output}"
    return output


def main() -> int:
    run, writer = sys.argv[1:]
    print("1..2", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for disk, _driver, _path in DISKS:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", f"{folder}/{disk}.qcow2",
                            str(CAPACITY)], check=True)
        acknowledged = write_until_cut(run, writer, folder)
        time.sleep(1)  # until QEMU has let go of the images
        print(f"# acknowledged as durable before the cut: {acknowledged}")
        output = verify(run, writer, folder, acknowledged)
    print("".join(f"# {line}\n" for line in output.splitlines()), end="")
    lost = int(re.search(r"forgets lost (\d+)", output)[1])
    print(f"{'ok' if lost else 'not ok'} 1 - the cut is one: {lost} of 16 writes without a flush are lost")
    found = all(f"{disk} verified {acknowledged[disk]}" in output for disk, *_ in DISKS[1:])
    print(f"{'ok' if found else 'not ok'} 2 - everything acknowledged as durable is there")
    return 0 if lost and found else 1


if __name__ == "__main__":
    sys.exit(main())

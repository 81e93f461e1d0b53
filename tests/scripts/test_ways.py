#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The ways to a target: who takes part where, servers that come and go, and a comparison with one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from support import BENCH, build_folder, main
from benchlib import contenders, nvme, results, storage_daemon, vfio
from benchlib.blockdev import BlockDevice
from benchlib.errors import BenchError
from benchlib.targets import Target

SIZE = 1 << 20


class WaysTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "da,ta"  # a comma means something to QEMU
        self.file.write_bytes(os.urandom(SIZE))

    def target(self, path: str = "", kind: str = "direct-file", direct: bool = True,
               device: BlockDevice | None = None, written: bool = False) -> Target:
        return Target("t", "t", kind, path or str(self.file), direct, SIZE, device, False, written)


class Choice(WaysTest):
    def names(self, target: Target, *named: str) -> set[str]:
        return {contender.name for contender in contenders.choose(list(named), "lib")
                if contender.wanted(target)}

    def test_each_way_where_it_is_of_use(self) -> None:
        plain = {"native", "native-poll", "block", "eventfd", "loop", "poll"}
        vhost = {"vhost-block", "vhost-eventfd", "vhost-loop", "vhost-poll"}
        disk = BlockDevice("sda", Path("/nowhere/sda"), Path("/nowhere/sda"))
        self.assertEqual(self.names(self.target(direct=False)), plain)
        self.assertEqual(self.names(self.target(device=disk)), plain)
        self.assertEqual(self.names(self.target()), plain | vhost)
        self.assertEqual(
            self.names(self.target("/dev/nvme0n1", "block-device", device=disk)),
            plain | {"native-cmd", "native-cmd-poll", "nvme-block", "nvme-eventfd", "nvme-loop",
                     "nvme-poll"})

    def test_what_is_named_is_told_why_it_cannot(self) -> None:
        target = self.target()
        self.assertEqual(self.names(target, "nvme-block", "vfio-poll"),
                         {"native", "nvme-block", "vfio-poll"})
        obstacles = {contender.name: contender.obstacle(target)
                     for contender in contenders.choose(["nvme-block", "vfio-poll"], "lib")}
        self.assertIn("whole NVMe namespaces only", obstacles["nvme-block"])
        self.assertIn("no whole virtio-blk disk", obstacles["vfio-poll"])

    def test_namespaces_and_their_twins(self) -> None:
        for path, node in (("/dev/nvme0n1", "/dev/ng0n1"), ("/dev/nvme10n23", "/dev/ng10n23"),
                           ("/dev/nvme0n1p1", ""), ("/dev/sda", ""), ("/dev/nvme0", ""),
                           ("/tmp/nvme0n1", "")):
            self.assertEqual(nvme.generic_node(path), node, path)

    def disk(self, driver: str, address: str = "0000:02:00.0") -> BlockDevice:
        """A folder as sysfs has it for a disk on PCI."""
        function = self.folder / "sys" / address
        node = function / "virtio3" / "block" / "vda"
        (self.folder / "drivers" / driver).mkdir(parents=True)
        node.mkdir(parents=True)
        (node / "device").symlink_to("../..")
        (function / "virtio3" / "driver").symlink_to(self.folder / "drivers" / driver)
        return BlockDevice("vda", node, node)

    def test_the_pci_function_of_a_disk(self) -> None:
        target = self.target("/dev/vda", "block-device", device=self.disk("virtio_blk"))
        folder = vfio.pci_folder(target)
        assert folder is not None
        self.assertEqual(folder.name, "0000:02:00.0")
        self.assertIn("behind no IOMMU", vfio.WAY.obstacle(target))
        by_hand = vfio.WAY.rehearse(target)
        self.assertEqual((by_hand.before, by_hand.options),
                         (["scripts/vfio-bind bind 0000:02:00.0"], ["--libblkio_path=0000:02:00.0"]))

    def test_disks_that_vfio_does_not_take(self) -> None:
        self.assertIsNone(vfio.pci_folder(self.target()))
        other = self.target("/dev/sda", "block-device", device=self.disk("sd"))
        self.assertIsNone(vfio.pci_folder(other))
        assert other.device is not None
        part = BlockDevice("vda", other.device.node / "vda1", other.device.disk)
        self.assertIsNone(vfio.pci_folder(self.target("/dev/vda1", "block-device", device=part)))
        no_pci = self.disk("virtio_blk", "virtio-mmio.0")
        self.assertIsNone(vfio.pci_folder(self.target("/dev/vda", "block-device", device=no_pci)))


@unittest.skipIf(shutil.which(storage_daemon.PROGRAM) is None, "qemu-storage-daemon is missing")
class StorageDaemon(WaysTest):
    def listens(self, path: str) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(path) == 0

    def test_it_serves_and_is_gone(self) -> None:
        for written in (False, True):
            with storage_daemon.WAY.reach(self.target(direct=False, written=written)) as options:
                path = options[0].partition("=")[2]
                self.assertTrue(self.listens(path))
                words = self.servers(path)
                self.assertEqual(len(words), 1)
                self.assertEqual(f"writable={'on' if written else 'off'}" in words[0], True)
            self.assertEqual((self.servers(path), os.path.exists(path)), ([], False))

    def servers(self, path: str) -> list[str]:
        """Command lines that name the socket."""
        lines = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue  # it has ended
        return [line for line in lines if path in line and storage_daemon.PROGRAM in line]

    def test_it_goes_after_a_failure_too(self) -> None:
        with self.assertRaises(KeyboardInterrupt):
            with storage_daemon.WAY.reach(self.target(direct=False)) as options:
                raise KeyboardInterrupt
        self.assertEqual(self.servers(options[0].partition("=")[2]), [])

    def test_its_own_words(self) -> None:
        with self.assertRaisesRegex(BenchError, "(?s)ended at once: .*No such file"):
            with storage_daemon.WAY.reach(self.target("/nowhere/at/all", direct=False)):
                self.fail("it served what is not there")

    def test_one_that_will_not_start_is_not_waited_for(self) -> None:
        begin = time.monotonic()
        with self.assertRaisesRegex(BenchError, "cannot run /nowhere/at/all"):
            with storage_daemon.running(["/nowhere/at/all"], self.folder / "s", self.folder / "l"):
                self.fail("it runs")
        self.assertLess(time.monotonic() - begin, storage_daemon.READY_SECONDS / 2)

    def compare(self, modes: str, *more: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """One short round; the result is in self.output."""
        data, self.output = self.folder / "data", self.folder / "result"
        data.write_bytes(os.urandom(SIZE))
        return subprocess.run(
            [BENCH, "--no-build", "--build-dir", build_folder(), "--output", self.output,
             "--target", data, "--buffered", "--modes", modes, "--depth", "1", "--rounds", "1",
             "--runtime", "0.1", "--max-load", "100", *more],
            capture_output=True, text=True, timeout=120, env={**os.environ, **environment})

    def test_a_comparison(self) -> None:
        done = self.compare("vhost-block,vhost-poll,vhost-temporary")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        result, names = results.read(self.output), ["native", "vhost-block", "vhost-poll",
                                                    "vhost-temporary"]
        self.assertEqual([contender.name for contender in result.contenders], names)
        self.assertEqual({sample.contender for sample in result.samples}, set(names))
        self.assertTrue((self.output / "chart.svg").exists())

    def test_a_server_that_fails_costs_its_mode(self) -> None:
        server = self.folder / "bin" / storage_daemon.PROGRAM
        server.parent.mkdir()
        server.write_text("#!/bin/sh\necho out of order >&2\nexit 3\n")
        server.chmod(0o755)
        done = self.compare("vhost-block", "--raw", PATH=f"{server.parent}:{os.environ['PATH']}")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("out of order", done.stderr)
        self.assertEqual(os.listdir(self.output), ["result.json"])
        self.assertEqual({sample.contender for sample in results.read(self.output).samples},
                         {"native"})


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The ways to a target: who takes part where, servers that come and go, and a comparison with one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import mock

from support import BENCH, build_folder, main, program
from benchlib.errors import BenchError
from benchlib.machine import vfio_bind
from benchlib.machine.blockdev import BlockDevice
from benchlib.measure import (engines, fio, iscsi, nbd, nvme, nvme_tcp, older,
                               storage_daemon, vfio)
from benchlib.measure.targets import Target
from benchlib.result import storage

SIZE = 1 << 20
SERVERS = (storage_daemon.PROGRAM, "nbdkit")


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
        return {engine.name for engine in engines.choose(list(named), "lib")
                if engine.wanted(target)}

    def test_each_way_where_it_is_of_use(self) -> None:
        plain = {"native", "native-poll", "block", "eventfd", "loop", "poll"}
        vhost = {"native-nbd", "vhost-block", "vhost-eventfd", "vhost-loop", "vhost-poll"}
        disk = BlockDevice("sda", Path("/nowhere/sda"), Path("/nowhere/sda"))
        self.assertEqual(self.names(self.target(direct=False)), plain)
        self.assertEqual(self.names(self.target(device=disk)), plain)
        for has_older, older_too in (False, set()), (True, {"native-vhost"}):
            with mock.patch.object(older, "is_there", return_value=has_older):
                self.assertEqual(self.names(self.target()), plain | vhost | older_too)
        self.assertEqual(
            self.names(self.target("/dev/nvme0n1", "block-device", device=disk)),
            plain | {"native-cmd", "native-cmd-poll", "nvme-block", "nvme-eventfd", "nvme-loop",
                     "nvme-poll"})

    def test_what_is_named_is_told_why_it_cannot(self) -> None:
        target = self.target()
        self.assertEqual(self.names(target, "nvme-block", "vfio-poll"),
                         {"native", "nvme-block", "vfio-poll"})
        obstacles = {engine.name: engine.obstacle(target)
                     for engine in engines.choose(["nvme-block", "vfio-poll"], "lib")}
        self.assertIn("whole NVMe namespaces only", obstacles["nvme-block"])
        self.assertIn("not a whole virtio-blk disk", obstacles["vfio-poll"])

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
        self.assertIn("not behind an IOMMU", vfio.TRANSPORT.obstacle(target))
        by_hand = vfio.TRANSPORT.dry_run(target)
        self.assertEqual((by_hand.before, by_hand.options),
                         (["scripts/vfio-bind bind 0000:02:00.0"], ["--libblkio_path=0000:02:00.0"]))

    def namespace(self, driver: str) -> BlockDevice:
        """A folder as sysfs has it for an NVMe namespace on PCI."""
        function = self.folder / "sys" / "0000:03:00.0"
        disk = function / "nvme" / "nvme0" / "nvme0n2"
        (self.folder / "drivers" / driver).mkdir(parents=True)
        disk.mkdir(parents=True)
        (disk / "device").symlink_to("..")
        (disk / "nsid").write_text("2\n")
        (function / "driver").symlink_to(self.folder / "drivers" / driver)
        return BlockDevice("nvme0n2", disk, disk)

    def test_the_controller_of_a_namespace(self) -> None:
        target = self.target("/dev/nvme0n2", "block-device", device=self.namespace("nvme"))
        self.assertIn("not behind an IOMMU", vfio.NVME.obstacle(target))
        by_hand = vfio.NVME.dry_run(target)
        self.assertEqual((by_hand.before, by_hand.options),
                         (["scripts/vfio-bind bind 0000:03:00.0"],
                          ["--libblkio_path=0000:03:00.0", "--libblkio_pre_connect_props=nsid=2"]))
        self.assertIn("not a whole virtio-blk disk", vfio.TRANSPORT.obstacle(target))
        assert target.device is not None
        part = BlockDevice("nvme0n2p1", target.device.node / "nvme0n2p1", target.device.disk)
        self.assertIsNone(vfio.controller_folder(self.target("/dev/p", "block-device", device=part)))
        self.assertIsNone(vfio.controller_folder(self.target()))

    def remote(self, transport: str, address: str) -> Target:
        """The kernel's disk of namespace 3 of a fabrics controller."""
        controller = self.folder / "sys" / "nvme0"
        disk = controller / "nvme0n1"
        disk.mkdir(parents=True)
        (disk / "device").symlink_to("..")
        for name, text in (("transport", transport), ("address", address),
                           ("subsysnqn", "nqn.2024-01.x:y")):
            (controller / name).write_text(text + "\n")
        (disk / "nsid").write_text("3\n")
        return self.target("/dev/nvme0n1", "block-device",
                           device=BlockDevice("nvme0n1", disk, disk))

    def test_the_namespace_of_a_disk_over_tcp(self) -> None:
        target = self.remote("tcp", "traddr=::1,trsvcid=4421,src_addr=::1")
        self.assertEqual(nvme_tcp.TRANSPORT.obstacle(target), "")
        with nvme_tcp.TRANSPORT.reach(target) as options:
            self.assertEqual(options, ["--libblkio_path=nvme+tcp://[::1]:4421/nqn.2024-01.x:y/3"])
        self.assertIn("page cache", nvme_tcp.TRANSPORT.obstacle(replace(target, direct=False)))
        self.assertIn("not a whole disk", nvme_tcp.TRANSPORT.obstacle(self.target()))
        with self.assertRaisesRegex(BenchError, "not a disk"):
            nvme_tcp.uri(self.target())

    def test_the_same_over_another_fabric(self) -> None:
        target = self.remote("rdma", "traddr=10.0.0.1,trsvcid=4420")
        self.assertIn("not a whole disk", nvme_tcp.TRANSPORT.obstacle(target))

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
class Lending(WaysTest):
    """What tests/vm/virtio/lend cannot show, on a folder that looks like a device's in sysfs."""

    def setUp(self) -> None:
        super().setUp()
        (self.folder / "0000:03:00.0").mkdir()
        patch = mock.patch.object(vfio_bind, "DEVICES", self.folder)
        patch.start()
        self.addCleanup(patch.stop)
        self.device = vfio_bind.PciDevice("03:00.0")

    def test_virtual_functions_are_a_use(self) -> None:
        functions = self.device.folder / "sriov_numvfs"
        functions.write_text("0\n")
        self.assertEqual(vfio_bind.use_of(self.device), "")
        functions.write_text("2\n")
        self.assertEqual(vfio_bind.use_of(self.device),
                         f"it has 2 virtual functions: echo 0 >{functions}")

    def test_who_is_not_bound_gets_its_driver_back(self) -> None:
        with mock.patch.object(vfio_bind, "rebind") as rebind, \
                self.assertRaisesRegex(vfio_bind.Refused, "bound to no driver"):
            vfio_bind.lend(self.device)
        self.assertEqual(rebind.mock_calls, [mock.call(self.device, "vfio-pci"),
                                             mock.call(self.device, "")])


class StorageDaemon(WaysTest):
    def listens(self, path: str) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(path) == 0

    def test_it_serves_and_is_gone(self) -> None:
        for written in (False, True):
            with storage_daemon.TRANSPORT.reach(self.target(direct=False, written=written)) as options:
                path = options[0].partition("=")[2]
                self.assertTrue(self.listens(path))
                words = self.servers(path)
                self.assertEqual(len(words), 1)
                self.assertEqual(f"writable={'on' if written else 'off'}" in words[0], True)
            self.assertEqual((self.servers(path), os.path.exists(path)), ([], False))

    def servers(self, path: str) -> list[str]:
        """Command lines of servers that name the socket."""
        lines = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue  # it has ended
        return [line for line in lines if path in line and line.split()[0] in SERVERS]

    def test_it_goes_after_a_failure_too(self) -> None:
        with self.assertRaises(KeyboardInterrupt):
            with storage_daemon.TRANSPORT.reach(self.target(direct=False)) as options:
                raise KeyboardInterrupt
        self.assertEqual(self.servers(options[0].partition("=")[2]), [])

    def test_its_own_words(self) -> None:
        with self.assertRaisesRegex(BenchError, "(?s)ended at once: .*No such file"):
            with storage_daemon.TRANSPORT.reach(self.target("/nowhere/at/all", direct=False)):
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
             "--runtime", "0.1", "--max-load", "100", "--quick", *more],
            capture_output=True, text=True, timeout=120, env={**os.environ, **environment})

    def test_a_comparison(self) -> None:
        done = self.compare("vhost-block,vhost-poll,vhost-temporary")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        result, names = storage.read(self.output), ["native-nbd", "vhost-block", "vhost-poll",
                                                    "vhost-temporary"]
        self.assertEqual([engine.name for engine in result.engines], names)
        self.assertEqual({sample.engine for sample in result.samples}, set(names))
        self.assertTrue((self.output / "chart.svg").exists())

    def test_an_nbd_export(self) -> None:
        for written in (False, True):
            with nbd.BLKIO.reach(self.target(direct=False, written=written)) as options:
                path = options[0].partition("=")[2]
                self.assertTrue(self.listens(path))
                [words] = self.servers(path)
                self.assertEqual(f"writable={'on' if written else 'off'}" in words, True)
            self.assertEqual((self.servers(path), os.path.exists(path)), ([], False))

    def test_a_comparison_with_libnbd(self) -> None:
        engines_of_fio = subprocess.run(["fio", "--enghelp"], capture_output=True, text=True)
        if "nbd" not in engines_of_fio.stdout.split():
            self.skipTest("this fio was built without libnbd")
        done = self.compare("nbd-block", "--raw")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        result = storage.read(self.output)
        self.assertEqual({engine.name: engine.against for engine in result.engines},
                         {"native-nbd": "", "nbd-block": "native-nbd"})
        self.assertEqual({sample.engine for sample in result.samples}, {"native-nbd", "nbd-block"})

    def test_nbdkit(self) -> None:
        if reason := nbd.NBDKIT_NATIVE.obstacle(self.target(direct=False)):
            self.skipTest(reason)
        self.assertIn("page cache", nbd.NBDKIT_BLKIO.obstacle(self.target()))
        for written in (False, True):
            with nbd.NBDKIT_BLKIO.reach(self.target(direct=False, written=written)) as options:
                path = options[0].partition("=")[2]
                [words] = self.servers(path)
                self.assertEqual("--readonly" in words, not written)
            self.assertEqual(self.servers(path), [])
        done = self.compare("nbdkit-block", "--raw")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        result = storage.read(self.output)
        self.assertEqual({engine.name: engine.against for engine in result.engines},
                         {"native-nbdkit": "", "nbdkit-block": "native-nbdkit"})
        self.assertEqual({sample.engine for sample in result.samples},
                         {"native-nbdkit", "nbdkit-block"})

    def test_small_reads_of_tmpfs(self) -> None:
        """QEMU would align them to 4 KiB, which NBD refuses and vhost-user pays for."""
        if nbd.NATIVE.obstacle(self.target()):
            self.skipTest(nbd.NATIVE.obstacle(self.target()))
        folder = Path("/dev/shm")
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            self.skipTest("no tmpfs at /dev/shm")
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(os.urandom(SIZE))
            file.flush()
            target = self.target(path=file.name)
            self.assertIn("cache.direct=off", " ".join(storage_daemon.disk(target)))
            self.assertIn("cache.direct=on", " ".join(storage_daemon.disk(self.target())))
            job = fio.Job("randread", 512, 1, True, SIZE, 50, 0, (max(os.sched_getaffinity(0)),), 1)
            with nbd.NATIVE.reach(target) as reach:
                found = fio.run(fio.command(job, ["--ioengine=nbd"], reach), 5)
        self.assertGreater(found.ios, 0)

    def test_a_server_that_fails_costs_its_mode(self) -> None:
        server = program(self, storage_daemon.PROGRAM, "echo out of order >&2; exit 3")
        done = self.compare("native,vhost-block", "--raw", PATH=f"{server.parent}:{os.environ['PATH']}")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("out of order", done.stderr)
        self.assertEqual(os.listdir(self.output), ["result.json"])
        self.assertEqual({sample.engine for sample in storage.read(self.output).samples},
                         {"native"})

    def test_where_rings_are_forbidden(self) -> None:
        self.assertIn("aio=io_uring", " ".join(storage_daemon.disk(self.target())))
        script = ("from support import *\nfrom benchlib.measure import storage_daemon\n"
                  "from benchlib.measure.targets import Target\n"
                  "t = Target('t', 't', 'direct-file', '/x', True, 1, None, False)\n"
                  "print(*storage_daemon.disk(t))\n")
        sandbox = Path(__file__).parents[1] / "lib" / "without_rings.py"
        done = subprocess.run([sandbox, "EPERM", sys.executable, "-c", script],
                              cwd=Path(__file__).parent, capture_output=True, text=True)
        self.assertIn("aio=threads", done.stdout, done.stderr)


@unittest.skipIf(shutil.which(iscsi.PROGRAM) is None, "tgtd is missing")
class Tgtd(WaysTest):
    def test_it_serves_and_is_gone(self) -> None:
        for written, says in ((False, "readonly=1"), (True, "thin_provisioning=1")):
            target = self.target(direct=False, written=written)
            self.assertIn(says, " ".join(iscsi.commands(target, "/x")[2]))
            with self.assertRaises(KeyboardInterrupt), iscsi.BLKIO.reach(target) as options:
                [option] = options
                port = int(option.split(":")[2].partition("/")[0])
                self.assertTrue(self.listens(port))
                raise KeyboardInterrupt
            self.assertFalse(self.listens(port))

    def listens(self, port: int) -> bool:
        with socket.socket() as client:
            return client.connect_ex((iscsi.HOST, port)) == 0

    def test_its_own_words(self) -> None:
        with self.assertRaisesRegex(BenchError, "tgtadm failed: .*"):
            with iscsi.BLKIO.reach(self.target("/nowhere/at/all", direct=False)):
                self.fail("it serves what is not there")

    def test_a_comparison(self) -> None:
        build, output = build_folder(), self.folder / "result"
        done = subprocess.run(
            [BENCH, "--no-build", "--build-dir", build, "--output", output, "--target", self.file,
             "--buffered", "--modes", "iscsi-block,iscsi-eventfd,iscsi-poll", "--baseline",
             "iscsi-block", "--depth", "1", "--rounds", "1", "--runtime", "0.1", "--max-load",
             "100", "--quick", "--raw"], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        names = {"iscsi-block", "iscsi-eventfd", "iscsi-poll"}
        self.assertEqual({sample.engine for sample in storage.read(output).samples}, names)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Targets: what is refused, what is warned about, and that scratch files come and go."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import tempfile
import unittest
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

from support import main
from benchlib import cli
from benchlib.errors import BenchError, Exit
from benchlib.machine import blockdev, inuse
from benchlib.measure import engines, targets
from benchlib.result.model import Skip

SIZE = 4 << 20
PREFIX = "blkio-test-target-that-is-not-there"


class Files(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = str(self.folder / "file")
        Path(self.path).write_bytes(os.urandom(SIZE))
        self.warnings: list[str] = []

    def target(self, path: str = "", buffered: bool = True, writes: bool = False,
               destructive: bool = False) -> targets.Target:
        return targets.user_target(path or self.path, buffered=buffered, writes=writes,
                                   destructive=destructive, warn=self.warnings.append)

    def refused(self, words: str, **arguments: object) -> None:
        with self.assertRaisesRegex(BenchError, words) as caught:
            self.target(**arguments)  # type: ignore[arg-type]
        self.assertEqual(caught.exception.code, Exit.USAGE)

    def test_a_plain_file(self) -> None:
        target = self.target()
        self.assertEqual((target.size, target.direct, target.scratch), (SIZE, False, False))
        self.assertEqual(self.warnings, [])

    def test_what_is_no_target(self) -> None:
        (self.folder / "empty").touch()
        os.mkfifo(self.folder / "fifo")
        self.refused("No such file", path=str(self.folder / "absent"))
        self.refused("is a directory, neither a file nor a block device", path=str(self.folder))
        self.refused("neither a file nor a block device", path="/dev/null")
        self.refused("neither a file nor a block device", path=str(self.folder / "fifo"))
        self.refused("is empty", path=str(self.folder / "empty"))

    def test_a_typo_is_refused_with_what_there_is(self) -> None:
        for path, words in ((self.path[:-1], f"There is: {self.path}"),
                            ("pagecache", "There is: page-cache"),
                            ("/dev/nvme99n1", "/dev/nvme99n1: No such file"),
                            (str(self.folder / "no" / "file"), "No such file"),
                            (self.path + "/x", "Not a directory")):
            with self.subTest(path=path), self.assertRaises(BenchError) as caught:
                targets.check_named(["tmpfs", path])
            self.assertEqual(caught.exception.code, Exit.USAGE)
            self.assertIn(words, str(caught.exception))

    def test_where_a_new_file_may_be(self) -> None:
        self.assertEqual(targets.folder_for_new(str(self.folder / "new")), str(self.folder))
        self.assertEqual(targets.folder_for_new("/dev/shm/" + PREFIX), "/dev/shm")
        self.assertIsNone(targets.folder_for_new(self.path))
        self.assertIsNone(targets.folder_for_new("/dev/null"))
        os.symlink("/dev/nvme99n1", self.folder / "by-id")
        for path, words in (("/dev/nvme99n1", "no such device"), ("/dev/disk/99", "no such device"),
                            (str(self.folder / "by-id"), "no such device"),
                            (str(self.folder / "no") + "/", "no folder"),
                            (self.path + "/x", "no folder")):
            with self.subTest(path=path), self.assertRaisesRegex(BenchError, words) as caught:
                targets.folder_for_new(path)
            self.assertEqual(caught.exception.code, Exit.USAGE)

    def test_the_bare_name_of_a_device(self) -> None:
        name = next((entry.name for entry in Path("/dev").iterdir() if entry.is_block_device()), "")
        if not name:
            self.skipTest("there is no block device in /dev")
        for check in (targets.folder_for_new, targets.status_of):
            with self.assertRaisesRegex(BenchError, f"There is: /dev/{name}"):
                check(name)

    def test_every_command_refuses_a_typo_before_it_works(self) -> None:
        for command in (["compare", "--target"], ["gate", "--target"], ["qemu", "--target"],
                        ["reproduce", "--target"], ["qualify", "--read-only"]):
            with self.subTest(command=command), \
                    contextlib.redirect_stderr(io.StringIO()) as said, \
                    mock.patch("benchlib.prepare.set_up", side_effect=AssertionError("set up")):
                self.assertEqual(cli.main([*command, "/dev/nvme99n1"]), Exit.USAGE)
                self.assertIn("/dev/nvme99n1: ", said.getvalue())

    @unittest.skipIf(os.geteuid() == 0, "root may read everything")
    def test_no_permission(self) -> None:
        os.chmod(self.path, 0)
        self.refused("Permission denied")

    def test_writing_needs_the_word(self) -> None:
        self.refused("(?s)overwrites .*--destructive", writes=True)
        self.assertEqual(self.target(writes=True, destructive=True).size, SIZE)

    def test_a_file_that_is_being_written_is_not_written_to(self) -> None:
        with open(self.path, "ab"):
            self.refused("in use .*open for writing in", writes=True, destructive=True)
            self.target()
        self.assertIn("open for writing", self.warnings[0])
        with open(self.path, "rb"):  # a reader does not count
            self.target(writes=True, destructive=True)

    def test_a_sparse_file_is_told(self) -> None:
        path = self.folder / "sparse"
        with open(path, "wb") as file:
            file.truncate(SIZE)
        self.target(path=str(path))
        self.assertIn("sparse", self.warnings[0])

    def test_block_size(self) -> None:
        target = self.target()
        targets.check_block_size(target, 512)
        with self.assertRaisesRegex(BenchError, "larger than"):
            targets.check_block_size(target, SIZE * 2)

    def test_polling_needs_a_device_that_polls(self) -> None:
        self.assertIn("O_DIRECT", engines.needs_polling_device(self.target()))


class Scratch(unittest.TestCase):
    def test_made_filled_and_removed(self) -> None:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            planned = targets.plan_scratch("page-cache", Path(folder), SIZE)
            if isinstance(planned, Skip):
                self.skipTest(planned.reason)
            self.assertEqual(os.listdir(folder), [])
            targets.make_scratch(planned, stack, keep=False)
            status = os.stat(planned.path)
            self.assertEqual(status.st_size, SIZE)
            self.assertGreaterEqual(status.st_blocks * 512, SIZE)
            planned.warm_up()
            stack.close()
            self.assertEqual(os.listdir(folder), [])
            targets.make_scratch(planned, stack, keep=True)
            stack.close()
            self.assertEqual(os.listdir(folder), [os.path.basename(planned.path)])

    def test_too_large_is_a_reason_not_a_crash(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name in targets.SCRATCH:
                planned = targets.plan_scratch(name, Path(folder), 1 << 60)
                assert isinstance(planned, Skip)
                self.assertRegex(planned.reason, "MiB needed|no writable tmpfs")

    def test_nothing_of_the_place_is_told(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            planned = targets.plan_scratch("page-cache", Path(folder), SIZE)
            if isinstance(planned, Skip):
                self.skipTest(planned.reason)
            planned_path = Path(planned.path)
            planned_path.write_bytes(b"x" * SIZE)
            self.assertNotIn(folder, repr(planned.info()))


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


class LoopDevice(unittest.TestCase):
    """The checks for block devices, on real ones."""

    def setUp(self) -> None:
        stack = ExitStack()
        self.addCleanup(stack.close)
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.image = self.folder / "image"
        with open(self.image, "wb") as file:
            file.truncate(32 << 20)
        made = subprocess.run(["losetup", "--find", "--show", self.image], capture_output=True,
                              text=True)
        if made.returncode:
            self.skipTest(f"no loop device here: {made.stderr.strip()}")
        self.device = made.stdout.strip()
        stack.callback(run, "losetup", "--detach", self.device)
        self.stack = stack
        self.warnings: list[str] = []

    def target(self, **arguments: bool) -> targets.Target:
        options = {"buffered": False, "writes": False, "destructive": False, **arguments}
        return targets.user_target(self.device, warn=self.warnings.append, **options)

    def test_size_and_queue(self) -> None:
        target = self.target()
        self.assertEqual((target.size, target.kind), (32 << 20, "block-device"))
        assert target.device is not None
        self.assertEqual(target.device.name, os.path.basename(self.device))
        self.assertIn("logical_block_size", target.info().queue)

    def test_block_size_follows_the_device(self) -> None:
        target = self.target()
        assert target.device is not None
        unit = target.device.logical_block_size()
        targets.check_block_size(target, unit * 2)
        with self.assertRaisesRegex(BenchError, f"Use a multiple: --bs {unit}"):
            targets.check_block_size(target, unit + 1)

    def test_a_mounted_device_is_never_written_to(self) -> None:
        run("mkfs.ext4", "-q", self.device)
        self.target(writes=True, destructive=True)  # not yet mounted: allowed
        point = self.folder / "mount point"
        point.mkdir()
        mounted = subprocess.run(["mount", self.device, point], capture_output=True, text=True)
        if mounted.returncode:
            self.skipTest(f"cannot mount here: {mounted.stderr.strip()}")
        self.stack.callback(run, "umount", str(point))
        with self.assertRaisesRegex(BenchError, f"in use .*mounted at {point}"):
            self.target(writes=True, destructive=True)
        self.target()
        self.assertIn("mounted at", self.warnings[0])
        mount = blockdev.mount_of(str(point))
        assert mount is not None
        self.assertEqual((mount.point, mount.fstype), (str(point), "ext4"))

    def test_a_backing_file_is_never_written_to(self) -> None:
        self.assertIn(f"backing file of {os.path.basename(self.device)}",
                      inuse.users(str(self.image)))

    def test_a_claimed_device_is_found(self) -> None:
        claim = os.open(self.device, os.O_RDONLY | os.O_EXCL)
        self.addCleanup(os.close, claim)
        self.assertIn("O_EXCL", inuse.users(self.device)[0])


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""blkio-copy: byte for byte between all kinds of targets; what it refuses; what ends it early."""

import fcntl
import os
import re
import signal
import struct
import subprocess
import time
from pathlib import Path

from support import (KIB, MIB, SECONDS, ToolTest, catches, main, need_command, need_root, noise, run,
                     tool, wait_until)

# A bit of everything: data, holes that end at odd places, and a tail.
SPARSE = (noise(100 * KIB + 17) + bytes(3 * MIB) + noise(64 * KIB, 2) + bytes(64 * KIB)
          + noise(1, 3) + bytes(MIB - 1) + noise(777, 4))


def padded(content: bytes, multiple: int = 4096) -> bytes:
    return content + bytes(-len(content) % multiple)


class Copies(ToolTest):
    def copy(self, source: str | Path, destination: str | Path, *options: str) -> str:
        return self.succeeds("copy", *options, source, destination)

    def test_files_of_all_sizes(self) -> None:
        for size in (1, 4095, 64 * KIB, 64 * KIB + 1, MIB, MIB + 1, len(SPARSE)):
            for options in ([], ["--no-zeroes"], ["--block-size=4K", "--depth=1"],
                            ["--depth=64", "--block-size=64K"]):
                with self.subTest(size=size, options=options):
                    source = self.file("source", SPARSE[-size:])
                    self.copy(source, self.scratch / "copy", "--resize", "--verify", *options)
                    self.assertEqual((self.scratch / "copy").read_bytes(), SPARSE[-size:])

    def test_empty(self) -> None:
        self.copy(self.file("source"), self.scratch / "copy", "--resize", "--verify")
        self.assertEqual((self.scratch / "copy").stat().st_size, 0)

    def test_old_content_goes(self) -> None:
        source = self.file("source", SPARSE)
        for options in ([], ["--resize"], ["--no-zeroes"]):
            copy = self.file("copy", noise(len(SPARSE), 9))
            self.copy(source, copy, *options)
            self.assertEqual(copy.read_bytes(), SPARSE)

    def test_holes(self) -> None:
        source = self.file("source", SPARSE)
        data = 4 * 64 * KIB + 64 * KIB  # with what shares 64 KiB with data
        for options, most in ((["--resize"], data), ([], data),
                              (["--no-zeroes"], len(SPARSE) + 64 * KIB)):
            copy = self.file("copy", noise(len(SPARSE), 9))
            self.copy(source, copy, *options)
            os.sync()
            blocks = copy.stat().st_blocks * 512
            self.assertLessEqual(blocks, most + 64 * KIB, options)
            if "--no-zeroes" in options:
                self.assertGreaterEqual(blocks, len(SPARSE))

    def test_loop_devices(self) -> None:
        content = padded(SPARSE)
        source = self.file("source", content)
        backing = self.file("backing", noise(len(content), 9))
        device = self.loop(backing)
        self.copy(source, device, "--verify")
        self.assertEqual(Path(device).read_bytes(), content)
        for direct in ("true", "false"):
            self.copy(f"io_uring:path={device},direct={direct}", self.scratch / "back", "--resize")
            self.assertEqual((self.scratch / "back").read_bytes(), content)

    def test_vhost_user(self) -> None:
        content = padded(SPARSE)
        backing = self.file("backing", noise(len(content), 9))
        target = self.vhost_user(backing)
        self.copy(self.file("source", content), target, "--verify", "--depth=32")
        self.assertEqual(backing.read_bytes(), content)
        self.copy(target, self.scratch / "back", "--resize", "--verify")
        self.assertEqual((self.scratch / "back").read_bytes(), content)

    def test_nbd(self) -> None:
        content = padded(SPARSE)
        backing = self.file("backing", noise(len(content), 9))
        target = self.nbd(backing)
        self.copy(self.file("source", content), target, "--verify", "--depth=32")
        self.assertEqual(backing.read_bytes(), content)
        self.copy(target, self.scratch / "back", "--resize", "--verify")
        self.assertEqual((self.scratch / "back").read_bytes(), content)

    def test_nbdcopy(self) -> None:
        """It and blkio-copy read what the other one wrote."""
        need_command("nbdcopy")
        content = padded(SPARSE)
        backing, source = self.file("backing", noise(len(content), 9)), self.file("source", content)
        target, back = self.nbd(backing), self.scratch / "back"
        uri = target.removeprefix("nbd:uri=")
        self.copy(source, target)
        done = run("nbdcopy", uri, back)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(back.read_bytes(), content)
        source.write_bytes(content[::-1])
        done = run("nbdcopy", source, uri)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.copy(target, back, "--resize")
        self.assertEqual(back.read_bytes(), content[::-1])

    def test_between_servers(self) -> None:
        content = padded(SPARSE)
        one, two = self.file("one", content), self.file("two", noise(len(content), 9))
        self.copy(self.vhost_user(one), self.vhost_user(two), "--verify")
        self.assertEqual(two.read_bytes(), content)

    def test_larger_destination(self) -> None:
        source, larger = self.file("source", noise(5000)), self.file("larger", noise(9000, 2))
        self.copy(source, larger, "--larger", "--verify")
        self.assertEqual(larger.read_bytes(), noise(5000) + noise(9000, 2)[5000:])

    def test_output(self) -> None:
        source, copy = self.file("source", SPARSE), self.scratch / "copy"
        self.assertRegex(self.copy(source, copy, "--resize"), r"^[\d.]+ MiB copied in .* zeroes\n$")
        self.assertEqual(self.copy(source, copy, "--quiet"), "")
        self.assertRegex(self.copy(source, copy, "--compare"), "equal")
        done = run(tool("copy"), "--progress", source, copy)
        self.assertRegex(done.stderr, r"copying +\d+% \[#* *\] .* of .*MiB")


class Comparisons(ToolTest):
    def test_difference_is_found_where_it_is(self) -> None:
        one = self.file("one", SPARSE)
        for at in (0, 1, 4095, MIB, 3 * MIB + 5, len(SPARSE) - 1):
            changed = bytearray(SPARSE)
            changed[at] ^= 0x10
            two = self.file("two", bytes(changed))
            self.fails("copy", "--compare", one, two, says=f"differ at offset {at}\n")
            self.assertEqual(two.read_bytes(), changed)
        self.succeeds("copy", "--compare", one, self.file("two", SPARSE))

    def test_first_of_several(self) -> None:
        changed = bytearray(SPARSE)
        for at in range(100, len(SPARSE), 4096):
            changed[at] ^= 1
        self.fails("copy", "--compare", "--block-size=4K", "--depth=128", self.file("one", SPARSE),
                   self.file("two", bytes(changed)), says="differ at offset 100\n")

    def test_verify_notices_a_device_that_forgets(self) -> None:
        content = bytes(70000) + noise(30000)
        source = self.file("source", content)
        first = next(i for i, byte in enumerate(content) if byte)
        self.succeeds("copy", source, "null:capacity=100000")
        self.fails("copy", "--verify", source, "null:capacity=100000",
                   says=f"differ at offset {first}\n")


class Refusals(ToolTest):
    def refuses(self, source: str | Path, destination: str | Path, says: str,
                *options: str) -> None:
        self.fails("copy", *options, source, destination, says=says)

    def forced(self, source: str | Path, destination: str | Path, says: str,
               content: bytes) -> None:
        """Refused, and done all the same with --force."""
        self.refuses(source, destination, says)
        done = run(tool("copy"), "--force", source, destination)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(says, done.stderr)
        with open(destination, "rb") as f:
            self.assertEqual(f.read(len(content)), content)

    def test_sizes(self) -> None:
        small, large = self.file("small", noise(4096)), self.file("large", noise(8192))
        self.refuses(large, small, "--resize")
        self.refuses(small, large, "--larger")
        self.refuses(small, large, "--larger", "--compare")
        odd = self.file("odd", noise(1000))
        self.refuses(odd, f"io_uring:path={large},direct=true", "multiples of", "--larger")
        self.assertEqual((small.read_bytes(), large.read_bytes()), (noise(4096), noise(8192)))

    def test_same(self) -> None:
        path = self.file("file", noise(4096))
        link = self.scratch / "link"
        link.symlink_to(path)
        self.refuses(path, link, "the same")
        self.refuses(path, path, "the same", "--force")

    def test_locked_image(self) -> None:
        source, image = self.file("source", noise(4096)), self.file("image", bytes(4096))
        with open(image, "r+b") as f:
            lock = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 100, 1, 0)
            fcntl.fcntl(f, 37, lock)  # F_OFD_SETLK, as QEMU does
            self.forced(source, image, "locked", noise(4096))

    def test_behind_a_loop_device(self) -> None:
        backing = self.file("backing", bytes(MIB))
        self.loop(backing)
        self.forced(self.file("source", noise(MIB)), backing, "loop device", noise(MIB))

    def test_mounted(self) -> None:
        need_command("mkfs.ext4")
        device = self.loop(self.file("backing", size=4 * MIB))
        self.assertEqual(run("mkfs.ext4", "-q", device).returncode, 0)
        folder = self.scratch / "mounted"
        folder.mkdir()
        if run("mount", "-o", "ro", device, folder).returncode:
            self.skipTest("file systems cannot be mounted here")
        self.addCleanup(run, "umount", "--lazy", folder)  # rings close files late
        self.refuses(self.file("source", size=4 * MIB), device, f"mounted on {folder}")

    def test_read_only_destination(self) -> None:
        source, copy = self.file("source", noise(4096)), self.file("copy", bytes(4096))
        self.refuses(source, f"io_uring:path={copy},read-only=true", "is read-only")
        self.refuses(self.scratch / "none", copy, "No such file")

    def test_usage(self) -> None:
        path = self.file("file", noise(4096))
        for arguments in (["a"], ["a", "b", "c"], ["--depth=0", path, path],
                          ["--depth=x", path, path], ["--block-size=1000", path, path],
                          ["--block-size=5000", path, path], ["--nonsense", path, path],
                          ["--compare", "--verify", path, path],
                          ["--skip-errors", "--verify", path, path],
                          ["--resize", "--larger", path, path],
                          ["--resize", path, "null"]):
            with self.subTest(arguments=arguments):
                done = run(tool("copy"), *arguments)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn('Try "blkio-copy --help".', done.stderr)
        self.assertEqual(path.read_bytes(), noise(4096))


class EarlyEnds(ToolTest):
    def test_read_error(self) -> None:
        """A loop device fails reads past the end of a file that has been cut behind its back."""
        backing = self.file("backing", noise(8 * MIB))
        device = self.loop(backing)
        os.truncate(backing, 3 * MIB)
        copy = self.scratch / "copy"
        said = self.fails("copy", "--resize", f"io_uring:path={device},direct=true", copy,
                          says="read error at offset")
        offset = int(re.search(r"at offset (\d+)", said)[1])
        self.assertEqual(offset, 3 * MIB)
        self.assertIn("everything before it is copied", said)
        self.assertEqual(copy.read_bytes()[:offset], noise(8 * MIB)[:offset])

    def test_read_errors_skipped(self) -> None:
        backing = self.file("backing", noise(8 * MIB))
        device = self.loop(backing)
        os.truncate(backing, 3 * MIB + 256 * KIB)
        copy = self.scratch / "copy"
        for depth in (1, 16):
            done = run(tool("copy"), "--resize", "--skip-errors", f"--depth={depth}",
                       f"io_uring:path={device},direct=true", copy)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertRegex(done.stderr, f"cannot read {8 * MIB - 3 * MIB - 256 * KIB} bytes at "
                                          f"offset {3 * MIB + 256 * KIB};")
            self.assertEqual(done.stderr.count("cannot read"), 1)
            size = 5 * MIB - 256 * KIB
            self.assertIn(f"{size} bytes could not be read", done.stderr)
            self.assertEqual(copy.read_bytes(), noise(8 * MIB)[:3 * MIB + 256 * KIB] + bytes(size))

    def test_no_space(self) -> None:
        need_root("mount a small file system")
        source, folder = self.file("source", noise(3 * MIB)), self.scratch / "small"
        folder.mkdir()
        if run("mount", "-t", "tmpfs", "-o", "size=2m", "none", folder).returncode:
            self.skipTest("file systems cannot be mounted here")
        self.addCleanup(run, "umount", "--lazy", folder)  # rings close files late
        said = self.fails("copy", "--resize", "--block-size=64K", "--depth=1", source,
                          folder / "copy", says="No space left")
        offset = int(re.search(r"write error at offset (\d+)", said)[1])
        self.assertLessEqual(offset, 2 * MIB)
        self.assertGreater(offset, 0)
        self.assertEqual((folder / "copy").read_bytes()[:offset], noise(3 * MIB)[:offset])

    def test_interrupted(self) -> None:
        for sig in (signal.SIGINT, signal.SIGTERM):
            process = subprocess.Popen([tool("copy"), "null:capacity=1T", "null:capacity=1T"],
                                       stderr=subprocess.PIPE, text=True)
            wait_until(lambda: catches(process, sig), process, "copying")
            process.send_signal(sig)
            said = process.communicate(timeout=SECONDS)[1]
            self.assertEqual(process.returncode, -sig, said)
            self.assertRegex(said, r"interrupted: everything before offset \d+ is copied")


if __name__ == "__main__":
    main()

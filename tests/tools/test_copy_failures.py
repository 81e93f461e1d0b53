#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""blkio-copy when something goes wrong meanwhile: what it says is true, and it destroys nothing."""

import os
import re
import signal

from copy_support import NEW, OLD, TIB, CopyTest
from support import KIB, MIB, Cgroup, catches, main, noise, run, tool, wait_until


class DeadSource(CopyTest):
    """--skip-errors skips what a medium has lost, not a source that is gone."""

    def test_device_that_fails_everywhere(self) -> None:
        """EIO, as from a bad block: only that nothing else can be read, either, tells."""
        backing = self.file("backing", OLD)
        device = self.loop(backing)
        os.truncate(backing, 0)
        copy = self.file("copy", NEW)
        for direct in ("true", "false"):
            for depth in (1, 16):
                self.fails("copy", "--skip-errors", f"--depth={depth}",
                           f"io_uring:path={device},direct={direct}", copy,
                           says="no longer responds")
                self.assertEqual(copy.read_bytes(), NEW)

    def test_media_errors_through_the_page_cache(self) -> None:
        backing = self.file("backing", OLD)
        device = self.loop(backing)
        os.truncate(backing, 3 * MIB)
        copy = self.file("copy", NEW)
        done = run(tool("copy"), "--skip-errors", device, copy)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(f"{MIB} bytes could not be read, in 1 place; everything else was copied",
                      done.stderr)
        self.assertEqual(copy.read_bytes(), OLD[:3 * MIB] + bytes(MIB))

    def test_server_that_dies(self) -> None:
        old = noise(16 * MIB, 5)
        target = self.vhost_user(self.file("backing", noise(16 * MIB, 4)), iops=200)
        copy = self.file("copy", old)
        process = self.start("--skip-errors", "--block-size=4K", "--depth=4", target, copy)
        wait_until(lambda: copy.read_bytes() != old, process, "copied block")
        self.server.kill()
        said = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 1, said)
        self.assertNotIn("could not be read", said)
        content, source = copy.read_bytes(), noise(16 * MIB, 4)
        for at in range(0, len(old), 4 * KIB):
            block = slice(at, at + 4 * KIB)
            self.assertIn(content[block], (source[block], old[block]))


class Shrinking(CopyTest):
    """Reads past the end of a file are zeroes: they must not be taken for its data."""

    def shrinks(self, *options: str, says: str) -> None:
        source, other = self.file("source", size=TIB), self.file("other", size=TIB)
        destination = other if "--compare" in options else f"null:capacity={TIB}"
        process = self.start("--no-zeroes", "--progress", *options, source, destination)
        process.stderr.read(1)  # of the progress bar: it is on its way
        os.truncate(source, MIB)
        said = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 1, said)
        self.assertRegex(said, says)

    def test_source(self) -> None:
        self.shrinks(says=r"read error at offset \d+ .* truncated during the copy")

    def test_compared(self) -> None:
        source, other = self.file("source", size=64 * MIB), self.file("other", size=64 * MIB)
        os.truncate(other, 32 * MIB)
        self.fails("copy", "--compare", source, other, says="bytes")

    def test_source_with_skipped_errors(self) -> None:
        self.shrinks("--skip-errors", says="truncated during the copy")

    def test_source_that_grows(self) -> None:
        source = self.file("source", OLD)
        slow = self.vhost_user(self.file("backing", NEW), iops=8)
        process = self.start("--progress", source, slow)
        process.stderr.read(1)
        with open(source, "ab") as f:
            f.write(b"after")
        out, said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, said)
        self.assertIn("grew by 5 bytes", out)


class LateErrors(CopyTest):
    def test_disk_that_does_not_take_what_was_written(self) -> None:
        """Through the page cache writes succeed at once, and fail when they go to the disk."""
        for size in (4 * MIB, 24 * MIB):
            backing = self.mount("-t", "tmpfs", "-o", "size=3m", "none") / "backing"
            backing.touch()
            os.truncate(backing, size)
            device = self.loop(backing)
            said = self.fails("copy", self.file("source", noise(size)), device)
            self.assertRegex(said, r"Input/output error|No space left")
            copied = re.search(r"error at offset (\d+).* everything before it is copied", said)
            offset = int(copied[1]) if copied else 0
            self.assertEqual(backing.read_bytes()[:offset], noise(size)[:offset])


class Interrupted(CopyTest):
    def test_what_is_said_is_true(self) -> None:
        source = self.vhost_user(self.file("backing", OLD), iops=200)
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            copy = self.file("copy", NEW + b"tail")
            process = self.start("--resize", "--block-size=4K", source, copy)
            wait_until(lambda path=copy: path.read_bytes()[:MIB] != NEW[:MIB], process, "block")
            process.send_signal(sig)
            said = process.communicate(timeout=60)[1]
            self.assertEqual(process.returncode, -sig, said)
            offset = int(re.search(r"interrupted: everything before offset (\d+) is copied",
                                   said)[1])
            content = copy.read_bytes()
            self.assertEqual(content[:offset], OLD[:offset])
            # Behind it: what was there, but for the blocks that were under way.
            self.assertEqual(content[offset + MIB:], NEW[offset + MIB:])

    def test_a_second_signal_does_not_wait(self) -> None:
        source = self.vhost_user(self.file("backing", OLD), iops=100)
        for first, second in ((signal.SIGINT, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)):
            copy = self.file("copy", NEW)
            process = self.start("--block-size=4K", source, copy)
            wait_until(lambda path=copy: path.read_bytes()[:MIB] != NEW[:MIB], process, "block")
            self.server.send_signal(signal.SIGSTOP)
            self.addCleanup(self.server.send_signal, signal.SIGCONT)
            process.send_signal(first)
            wait_until(lambda it=process: not catches(it, first), process, "signal taken")
            process.send_signal(second)
            process.communicate(timeout=60)
            self.assertEqual(process.returncode, -second)
            self.server.send_signal(signal.SIGCONT)


class Memory(CopyTest):
    def test_in_a_small_cgroup(self) -> None:
        """What is dirty is bounded: cp survives this, too."""
        cgroup = Cgroup(self, 32 * MIB)
        path, content = self.file("source", noise(8 * MIB) * 24), self.scratch / "copy"
        os.sync()
        for options in (["--resize"], ["--no-zeroes"], ["--compare"], ["--resize", "--verify"]):
            done = cgroup.run(tool("copy"), "--quiet", *options, path, content)
            self.assertEqual((done.returncode, done.stderr), (0, ""), options)
        self.assertEqual(run("cmp", path, content).returncode, 0)


if __name__ == "__main__":
    main()

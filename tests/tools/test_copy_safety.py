#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""blkio-copy does not destroy: what it must not write to, what it must not take for data."""

import os
import re
import resource
from pathlib import Path

from copy_support import NEW, OLD, TIB, CopyTest
from support import KIB, MIB, main, need_command, run, tool


class Same(CopyTest):
    """Two names for the same bytes."""

    def test_loop_device_whose_file_has_another_name(self) -> None:
        first, second = self.file("first", OLD), self.scratch / "second"
        device = self.loop(first)
        os.link(first, second)
        first.unlink()
        for options in ([], ["--resize"], ["--force"], ["--resize", "--force"]):
            self.refuses(device, second, "are the same", *options)
            self.refuses(second, device, "are the same", *set(options) - {"--resize"})
        self.assertEqual(second.read_bytes(), OLD)
        # Something else must not go there, either.
        self.refuses(self.file("new", NEW), second, "of a loop device")
        self.refuses(self.file("new", NEW), second, "of a loop device", "--resize")

    def test_hard_link_and_bind_mount_and_descriptor(self) -> None:
        path, link = self.file("file", OLD), self.scratch / "link"
        os.link(path, link)
        self.refuses(path, link, "are the same", "--resize")
        with open(path, "r+b") as f:
            done = run(tool("copy"), "--resize", path, f"/proc/self/fd/{f.fileno()}",
                       pass_fds=[f.fileno()])
            self.assertIn("are the same", done.stderr)
            for number in (f"{f.fileno()}", f"+{f.fileno()}", f"0{f.fileno()}"):
                self.fails("copy", path, f"io_uring:fd={number}", says="are the same",
                           pass_fds=[f.fileno()])
        folder = self.scratch / "folder"
        folder.mkdir()
        inside = folder / "inside"
        inside.write_bytes(OLD)
        self.refuses(inside, self.mount("--bind", folder) / "inside", "are the same", "--resize")

    def test_given_descriptors(self) -> None:
        """They name what they are open on; their positions stay where they are."""
        source, copy = self.file("source", OLD), self.file("copy", NEW[:5])
        with open(source, "rb") as a, open(copy, "r+b") as b:
            a.seek(17)
            b.seek(3)
            done = run(tool("copy"), "--resize", "--verify", f"io_uring:fd={a.fileno()}",
                       f"io_uring:fd={b.fileno()}", pass_fds=[a.fileno(), b.fileno()])
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual((os.lseek(a.fileno(), 0, os.SEEK_CUR),
                              os.lseek(b.fileno(), 0, os.SEEK_CUR)), (17, 3))
        self.assertEqual(copy.read_bytes(), OLD)

    def test_overlayfs(self) -> None:
        base = self.mount("-t", "tmpfs", "none")
        for name in ("lower", "upper", "work"):
            (base / name).mkdir()
        (base / "upper" / "file").write_bytes(OLD)
        (base / "lower" / "low").write_bytes(OLD)
        merged = self.mount("-t", "overlay", "overlay", "-o",
                            f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work")
        self.refuses(merged / "file", base / "upper" / "file", "are the same", "--resize")
        self.refuses(base / "upper" / "file", merged / "file", "are the same", "--resize")
        self.refuses(merged / "low", base / "lower" / "low", "are the same", "--resize")

    def test_two_loop_devices(self) -> None:
        backing = self.file("backing", OLD)
        one = self.loop(backing)
        self.refuses(one, self.loop(backing), "are the same")
        # A part of it, and a part beside that.
        first = self.loop(backing, "--sizelimit", MIB)
        second = self.loop(backing, "--offset", MIB, "--sizelimit", MIB)
        self.refuses(first, one, "overlap", "--larger")
        self.refuses(second, one, "overlap", "--larger")
        self.refuses(second, backing, "overlap", "--larger")
        self.succeeds("copy", first, second)
        self.assertEqual(backing.read_bytes(), OLD[:MIB] * 2 + OLD[2 * MIB:])
        done = run(tool("copy"), "--larger", "--force", second, one)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("overlap", done.stderr)

    def test_loop_device_over_a_loop_device(self) -> None:
        backing = self.file("backing", OLD)
        lower = self.loop(backing)
        upper = self.loop(lower)
        self.refuses(upper, lower, "are the same")
        self.refuses(upper, backing, "are the same", "--resize")
        self.refuses(self.file("new", NEW), lower, "of a loop device")

    def test_partitions(self) -> None:
        disk = self.loop(self.file("backing", size=8 * MIB))
        for number, start in ((1, 2048), (2, 4096)):
            done = run("addpart", disk, str(number), str(start), "2048")
            if done.returncode:
                self.skipTest(f"no partitions here: {done.stderr.strip()}")
            self.addCleanup(run, "delpart", disk, str(number))
        one, two = Path(f"{disk}p1"), Path(f"{disk}p2")
        self.fails("copy", "--larger", one, disk, says="overlap")
        self.fails("copy", "--larger", disk, one, says="overlap")
        self.fails("copy", one, self.loop(disk, "--offset", MIB, "--sizelimit", MIB),
                   says="are the same")
        one.write_bytes(OLD[:MIB])
        self.succeeds("copy", one, two)
        self.assertEqual(two.read_bytes(), OLD[:MIB])

    def test_file_on_the_disk(self) -> None:
        need_command("mkfs.ext4")
        device = self.loop(self.file("backing", size=8 * MIB))
        self.assertEqual(run("mkfs.ext4", "-q", device).returncode, 0)
        inside = self.mount(device) / "inside"
        self.refuses(device, inside, "overlap", "--resize")
        self.assertFalse(inside.exists())
        inside.write_bytes(OLD[:MIB])
        self.refuses(device, inside, "overlap", "--resize")
        # Two files side by side, and comparing, are fine.
        self.succeeds("copy", "--resize", inside, inside.with_name("other"))
        done = run(tool("copy"), "--compare", "--larger", inside, device)
        self.assertIn("differ", done.stderr)


class Resize(CopyTest):
    """Every check comes before the first change."""

    def test_refusals(self) -> None:
        source, copy = self.file("source", OLD[:5000]), self.file("copy", NEW)
        for destination, says in ((f"io_uring:path={copy},read-only=true", "read-only"),
                                  (f"io_uring:path={copy},direct=true", "multiples of"),
                                  (f"io_uring:path={copy},num-queues=0", "num-queues"),
                                  (f"io_uring:path={copy},num-entries=1000000", "num-entries")):
            self.refuses(source, destination, says, "--resize")
        for bad in (self.scratch, self.scratch / "none", "/dev/null",
                    f"io_uring:path={source},num-entries=1000000",
                    f"io_uring:path={source},direct=true",
                    "virtio-blk-vhost-user:path=/no/such/socket"):
            self.refuses(bad, copy, "", "--resize")
            self.refuses(bad, self.scratch / "new", "", "--resize")
            self.assertFalse((self.scratch / "new").exists())
        self.refuses(source, f"io_uring:path={copy},num-queues=0", "num-queues")
        self.refuses(source, self.scratch, "regular file", "--resize", status=2)
        os.mkfifo(self.scratch / "fifo")
        self.refuses(source, self.scratch / "fifo", "regular file", "--resize", status=2)
        self.refuses(self.scratch / "fifo", copy, "neither a regular file", "--resize")

    def test_new_file_goes_when_nothing_was_copied(self) -> None:
        source = self.file("source", OLD[:5000])
        self.fails("copy", "--resize", source, f"io_uring:path={self.scratch}/new,direct=true",
                   says="multiples of")
        link = self.scratch / "link"
        link.symlink_to(self.scratch / "new")
        self.fails("copy", "--resize", source, f"io_uring:path={link},direct=true",
                   says="multiples of")
        self.assertFalse((self.scratch / "new").exists())
        self.succeeds("copy", "--resize", source, link)
        self.assertEqual((self.scratch / "new").read_bytes(), OLD[:5000])

    def test_read_only_file_system(self) -> None:
        folder = self.mount("-t", "tmpfs", "none")
        (folder / "copy").write_bytes(NEW)
        run("mount", "-o", "remount,ro", folder)
        self.refuses(self.file("source", OLD), folder / "copy", "Read-only", "--resize")
        self.refuses(self.file("source", OLD), folder / "new", "Read-only", "--resize")

    def test_no_space(self) -> None:
        """A file that has something to lose stays; --force and a new file take their chance."""
        folder = self.mount("-t", "tmpfs", "-o", "size=2m", "none")
        (folder / "copy").write_bytes(NEW[:MIB])
        source = self.file("source", OLD)
        self.refuses(source, folder / "copy", "are free", "--resize")
        self.refuses(source, folder / "copy", "are free", "--resize", "--no-zeroes")
        done = run(tool("copy"), "--resize", "--force", source, folder / "copy")
        self.assertEqual(done.returncode, 1)
        self.assertIn("No space left", done.stderr)
        # Holes need no room.
        self.succeeds("copy", "--resize", self.file("holes", size=100 * MIB), folder / "copy")

    def test_read_only_device(self) -> None:
        device = self.loop(self.file("backing", NEW), "--read-only")
        self.fails("copy", self.file("source", OLD), device, says="is read-only")
        self.fails("bench", "--rw=write", "--overwrite", device, says="is read-only")

    def test_file_size_limit(self) -> None:
        copy = self.file("copy", NEW[:MIB])
        done = run(tool("copy"), "--resize", self.file("source", OLD), copy,
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                         (2 * MIB, 2 * MIB)))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("cannot resize", done.stderr)
        self.assertEqual(copy.read_bytes(), NEW[:MIB])

    def test_grows_and_shrinks(self) -> None:
        content = bytes(MIB) + OLD[:MIB + 777] + bytes(MIB)
        source = self.file("source", content)
        for old in (b"", NEW[:1], NEW[:MIB + 5], NEW[:3 * MIB], NEW):
            copy = self.file("copy", old)
            self.succeeds("copy", "--resize", "--verify", source, copy)
            self.assertEqual(copy.read_bytes(), content)
            os.sync()
            self.assertLessEqual(copy.stat().st_blocks * 512, MIB + 192 * KIB)

    def test_what_is_not_overwritten_yet_stays(self) -> None:
        """Interrupted by an error: behind it, the old content is still there."""
        backing = self.file("backing", OLD)
        device = self.loop(backing)
        os.truncate(backing, 2 * MIB)
        copy = self.file("copy", NEW)
        said = self.fails("copy", "--resize", "--depth=1", f"io_uring:path={device},direct=true",
                          copy, says="read error at offset")
        offset = int(re.search(r"at offset (\d+)", said)[1])
        self.assertEqual(copy.read_bytes(), OLD[:offset] + NEW[offset:])


class Sparse(CopyTest):
    """Files of terabytes: who reads the holes does not come to an end."""

    SIZE = 4 * TIB

    def big(self, name: str) -> Path:
        return self.file(name, size=self.SIZE)

    def test_holes_are_not_read(self) -> None:
        source, copy = self.big("source"), self.scratch / "copy"
        with open(source, "r+b") as f:
            f.seek(TIB + 12345)
            f.write(OLD)
            f.seek(self.SIZE - 5)
            f.write(b"end")
        self.succeeds("copy", "--resize", "--verify", source, copy)
        self.succeeds("copy", "--compare", source, copy)
        self.assertLess(copy.stat().st_blocks * 512, 6 * MIB)
        with open(copy, "rb") as f:
            f.seek(TIB + 12345)
            self.assertEqual(f.read(len(OLD)), OLD)
            f.seek(self.SIZE - 5)
            self.assertEqual(f.read(), b"end\0\0")

    def test_over_nbd(self) -> None:
        source, back, copy = self.big("source"), self.big("back"), self.scratch / "copy"
        with open(source, "r+b") as f:
            f.seek(TIB + 12345)
            f.write(OLD)
        with open(back, "r+b") as f:
            f.seek(3 * TIB)
            f.write(NEW)
        remote, target = self.nbd(source), self.nbd(back)
        self.succeeds("copy", "--resize", "--verify", remote, copy)
        self.assertLess(copy.stat().st_blocks * 512, 6 * MIB)
        self.succeeds("copy", "--compare", f"posix:path={copy}", remote)
        self.fails("copy", "--compare", target, remote, says=f"differ at offset {TIB + 12345}\n")
        self.succeeds("copy", "--verify", copy, target)
        self.assertLess(back.stat().st_blocks * 512, 6 * MIB)

    def test_old_data_in_the_holes_go(self) -> None:
        source, copy = self.big("source"), self.big("copy")
        with open(copy, "r+b") as f:
            f.seek(3 * TIB + 77)
            f.write(OLD)
        self.fails("copy", "--compare", source, copy, says=f"differ at offset {3 * TIB + 77}\n")
        self.fails("copy", "--compare", copy, source, says=f"differ at offset {3 * TIB + 77}\n")
        for options in ([], ["--resize"]):
            self.succeeds("copy", *options, "--verify", source, copy)
        self.assertEqual(copy.stat().st_blocks, 0)

    def test_patterns(self) -> None:
        """Extents of all sizes, at all alignments, on several file systems."""
        folders = [self.scratch, self.mount("-t", "tmpfs", "none")]
        for folder in folders:
            source, copy = folder / "source", folder / "copy"
            for data, hole, shift in ((4096, 4096, 0), (4096, 61440, 0), (4096, 65536, 1),
                                      (100, 100000, 7), (300000, 70000, 4095), (1, 200000, 0)):
                os.truncate(source, 0) if source.exists() else source.touch()
                with open(source, "r+b") as f:
                    for at in range(shift, 3 * MIB, data + hole):
                        f.seek(at)
                        f.write(OLD[:data])
                    f.truncate(3 * MIB + shift)
                copy.write_bytes(NEW)
                for options in (["--resize"], ["--larger"], ["--resize", "--block-size=4K"]):
                    self.succeeds("copy", *options, "--verify", source, copy)
                    with open(copy, "rb") as f:
                        self.assertEqual(f.read(3 * MIB + shift), source.read_bytes())

    def test_reserved_space_stays_reserved(self) -> None:
        source, copy = self.file("source", size=MIB), self.scratch / "copy"
        with open(copy, "wb") as f:
            os.posix_fallocate(f.fileno(), 0, MIB)
        self.succeeds("copy", "--verify", source, copy)
        self.assertGreaterEqual(copy.stat().st_blocks * 512, MIB)

    def test_onto_a_block_device(self) -> None:
        source, backing = self.file("source", size=8 * MIB), self.file("backing", NEW * 2)
        with open(source, "r+b") as f:
            f.seek(4 * MIB + 512)
            f.write(OLD[:1024])
        device = self.loop(backing)
        for direct in ("true", "false"):
            self.succeeds("copy", "--verify", source, f"io_uring:path={device},direct={direct}")
            os.sync()
            self.assertEqual(backing.read_bytes(), source.read_bytes())
            backing.write_bytes(NEW * 2)


class Ends(CopyTest):
    """Images whose end is a part of a block."""

    def test_larger(self) -> None:
        backing = self.file("backing", NEW)
        device = self.loop(backing)
        for content in (OLD[:MIB + 1000], OLD[:MIB] + bytes(1000), bytes(MIB + 513), OLD[:1],
                        bytes(1)):
            Path(device).write_bytes(NEW)
            source = self.file("source", content)
            self.succeeds("copy", "--larger", "--verify", source, device)
            os.sync()
            self.assertEqual(Path(device).read_bytes(), content + NEW[len(content):])
            self.fails("copy", "--larger", source, f"io_uring:path={device},direct=true",
                       says="multiples of 512")

    def test_dirty_page_cache(self) -> None:
        """Linux does not zero what is dirty while the device is open exclusively."""
        device = self.loop(self.file("backing", NEW))
        for name, content in (("data", OLD[:MIB] + bytes(MIB)), ("hole", b"")):
            source = self.file(name, content)
            os.truncate(source, 2 * MIB)
            with open(device, "r+b", buffering=0) as other:
                other.write(NEW)  # stays in the page cache until the last descriptor is closed
                self.succeeds("copy", "--larger", source, device)
                written = os.pread(other.fileno(), len(NEW), 0)
            self.assertEqual(written, Path(source).read_bytes() + NEW[2 * MIB:])

    def test_between_block_sizes(self) -> None:
        small = self.loop(self.file("small", OLD))
        large = self.loop(self.file("large", NEW), "--sector-size", 4096)
        for direct in ("true", "false"):
            self.succeeds("copy", "--verify", f"io_uring:path={small},direct={direct}",
                          f"io_uring:path={large},direct={direct}")
        self.assertEqual(Path(large).read_bytes(), OLD)
        odd = self.loop(self.file("odd", OLD[:512 * 5]))
        self.succeeds("copy", "--larger", "--verify", odd, large)
        self.fails("copy", "--larger", odd, f"io_uring:path={large},direct=true",
                   says="multiples of 4096")


if __name__ == "__main__":
    main()

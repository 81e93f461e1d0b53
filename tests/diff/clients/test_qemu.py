#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""QEMU's tools, as Debian packages them, on our library: what they copy is compared byte by byte."""

from __future__ import annotations

import json
import mmap
import os
from pathlib import Path

from support import KIB, MIB, ClientTest, main


def io_uring(path: Path, direct: bool = False) -> str:
    """An image of qemu-img's --image-opts."""
    return f"driver=io_uring,filename={path},cache.direct={'on' if direct else 'off'}"


def vhost_user(sock: Path) -> str:
    return f"driver=virtio-blk-vhost-user,path={sock},cache.direct=on"


class QemuImg(ClientTest):
    """qemu-img: info, convert, compare, bench."""

    def images(self, path: Path) -> dict[str, str]:
        """The ways to get at a file through our library."""
        return {"io_uring": io_uring(path), "io_uring, direct": io_uring(path, direct=True),
                "vhost-user": vhost_user(self.serve_vhost_user(path))}

    def test_info(self) -> None:
        for name, image in self.images(self.file).items():
            with self.subTest(name):
                out = self.run_client("qemu-img", "info", "--output=json", "--image-opts", image)
                info = json.loads(out)
                self.assertEqual(info["virtual-size"], self.FILE_SIZE)
                self.assertEqual(info["format"], image.split(",")[0].removeprefix("driver="))

    def test_convert_from(self) -> None:
        for name, image in self.images(self.file).items():
            with self.subTest(name):
                copy = self.scratch / "copy"
                self.run_client("qemu-img", "convert", "--image-opts", image, "-O", "raw", copy)
                self.assert_same(self.file, copy)

    def test_convert_to(self) -> None:
        # data, zeroes and data again: zeroes are written as such
        content = os.urandom(MIB) + bytes(2 * MIB) + os.urandom(MIB)
        source = self.new_file("source", content)
        for name, image in self.images(self.new_file("target")).items():
            with self.subTest(name):
                target = self.new_file("target", b"\xff" * self.FILE_SIZE)
                self.run_client("qemu-img", "convert", "-n", "-f", "raw", source,
                                "--target-image-opts", image)
                self.assert_same(source, target)

    def test_convert_many_requests(self) -> None:
        target = self.new_file("target")
        sock = self.serve_vhost_user(target)
        self.run_client("qemu-img", "convert", "-n", "-W", "-m", "16", "--image-opts",
                        io_uring(self.file), "--target-image-opts", vhost_user(sock))
        self.assert_same(self.file, target)

    def test_formats_on_top(self) -> None:
        # With direct, vdi reads its header into whatever the heap gave it, which works where the
        # kernel takes such buffers. qcow2 reads lengths that no kernel takes, with 1.5 as well.
        image, copy = self.scratch / "image", self.scratch / "copy"
        for name, direct in (("qcow2", "off"), ("vmdk", "off"), ("vdi", "off"), ("vdi", "on")):
            with self.subTest(name, direct=direct):
                if direct == "on" and not self.kernel_takes_odd_buffers():
                    self.skipTest("this kernel does not take every odd buffer with O_DIRECT")
                self.run_program("qemu-img", "convert", "-f", "raw", "-O", name, self.file, image)
                self.run_client("qemu-img", "convert", "-O", "raw", "--image-opts",
                                f"driver={name},file.driver=io_uring,file.filename={image},"
                                f"file.cache.direct={direct}", copy)
                self.assert_same(self.file, copy)

    def kernel_takes_odd_buffers(self) -> bool:
        """Wherever they are: some kernels take them within a page, but not across two."""
        fd = os.open(self.file, os.O_RDONLY | os.O_DIRECT)
        try:
            with mmap.mmap(-1, 8192) as memory:
                return all(os.preadv(fd, [memoryview(memory)[start:start + 512]], 0) == 512
                           for start in (8, 4096 - 8))
        except OSError:
            return False
        finally:
            os.close(fd)

    def test_compare(self) -> None:
        other = self.new_file("other", self.file.read_bytes())
        for name, image in self.images(other).items():
            with self.subTest(name):
                command = ("qemu-img", "compare", "--image-opts", io_uring(self.file), image)
                self.assertIn("identical", self.run_client(*command))
                data = bytearray(self.file.read_bytes())
                data[MIB + 5] ^= 1
                other.write_bytes(data)
                self.assertIn(f"offset {MIB // 4096 * 4096}", self.run_client(*command, status=1))
                other.write_bytes(self.file.read_bytes())

    def test_bench(self) -> None:
        for name, image in self.images(self.new_file("target")).items():
            for depth in ("1", "32"):
                with self.subTest(name, depth=depth):
                    target = self.new_file("target")
                    self.run_client("qemu-img", "bench", "-c", "1000", "-d", depth, "--image-opts",
                                    image)
                    # 1024 writes of 4 KiB go once over the file
                    self.run_client("qemu-img", "bench", "-c", "1024", "-d", depth, "-w",
                                    "--pattern=165", "--flush-interval=256", "--image-opts", image)
                    self.assertEqual(target.read_bytes(), b"\xa5" * self.FILE_SIZE)

    def test_missing_file(self) -> None:
        said = self.run_client("qemu-img", "info", "--image-opts",
                               io_uring(self.scratch / "nothing"), status=1)
        self.assertIn("No such file", said)


class QemuIo(ClientTest):
    """qemu-io: single requests of every kind."""

    def check(self, image: str, path: Path) -> None:
        commands = ["write -P 1 0 64k", "writev -P 2 64k 4k 8k 512 3584", "aio_write -P 3 1M 128k",
                    "aio_flush", "write -f -P 4 2M 4k", "write -z 0 16k", "write -z -u 1M 64k",
                    "discard 2M 4k", "flush", "readv -P 2 64k 4k 4k", "read -P 0 4k 8k",
                    "read -P 0 1M 64k", "read -P 3 1088k 64k"]
        words = [word for command in commands for word in ("-c", command)]
        said = self.run_client("qemu-io", "--image-opts", *words, image)
        self.assertNotIn("failed", said)
        expected = bytearray(self.FILE_SIZE)
        for value, start, length in ((1, 16, 48), (2, 64, 16), (3, 1088, 64)):
            expected[start * KIB:(start + length) * KIB] = bytes([value]) * length * KIB
        # what a discard leaves is anybody's guess
        content = bytearray(path.read_bytes())
        content[2 * MIB:2 * MIB + 4 * KIB] = bytes(4 * KIB)
        self.assertEqual(bytes(content), bytes(expected))

    def test_io_uring(self) -> None:
        path = self.new_file("target")
        self.check(io_uring(path) + ",discard=unmap", path)

    def test_io_uring_direct(self) -> None:
        path = self.new_file("target")
        self.check(io_uring(path, direct=True) + ",discard=unmap", path)

    def test_vhost_user(self) -> None:
        path = self.new_file("target")
        self.check(vhost_user(self.serve_vhost_user(path)) + ",discard=unmap", path)

    def test_pattern_mismatch_is_seen(self) -> None:
        said = self.run_client("qemu-io", "--image-opts", "-c", "read -P 9 0 4k",
                               io_uring(self.new_file("target")), status=1)
        self.assertIn("Pattern verification failed", said)


class StorageDaemon(ClientTest):
    """qemu-storage-daemon: our library in a server, exported to clients without it and with it."""

    def serve_nbd(self, blockdev: str, name: str) -> str:
        sock = self.sockets / name
        self.start_server(
            sock, "qemu-storage-daemon", "--blockdev", f"{blockdev},node-name=d",
            "--nbd-server", f"addr.type=unix,addr.path={sock}",
            "--export", "nbd,id=e,node-name=d,name=e,writable=on", client=True)
        return f"nbd+unix:///e?socket={sock}"

    def test_nbd_of_io_uring(self) -> None:
        for direct in ("off", "on"):
            with self.subTest(direct=direct):
                target = self.new_file("target")
                url = self.serve_nbd(f"io_uring,filename={target},cache.direct={direct}", direct)
                self.there_and_back(url, target)

    def test_nbd_of_vhost_user(self) -> None:
        target = self.new_file("target")
        sock = self.serve_vhost_user(target)
        self.there_and_back(
            self.serve_nbd(f"virtio-blk-vhost-user,path={sock},cache.direct=on", "nbd"), target)

    def test_our_library_on_both_ends(self) -> None:
        target = self.new_file("target")
        sock = self.sockets / "vhost"
        self.start_server(
            sock, "qemu-storage-daemon", "--blockdev",
            f"io_uring,filename={target},cache.direct=on,node-name=d", "--export",
            f"vhost-user-blk,id=e,node-name=d,addr.type=unix,addr.path={sock},writable=on",
            client=True)
        self.run_client("qemu-img", "convert", "-n", "-f", "raw", self.file,
                        "--target-image-opts", vhost_user(sock))
        self.assert_same(self.file, target)


if __name__ == "__main__":
    main()

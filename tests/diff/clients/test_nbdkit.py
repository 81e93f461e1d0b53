#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""nbdkit's blkio plugin, as Debian packages it, on our library."""

from __future__ import annotations

from pathlib import Path

from support import ClientTest, main


class Nbdkit(ClientTest):
    """Served over NBD to a client without libblkio."""

    def serve(self, *parameters: str) -> str:
        plugin = next(self.root.glob("usr/lib/*/nbdkit/plugins/nbdkit-blkio-plugin.so"))
        sock = self.sockets / "nbd"
        self.start_server(sock, "nbdkit", "--foreground", "--unix", sock, plugin, *parameters,
                          client=True)
        return f"nbd+unix:///?socket={sock}"

    def there_and_back(self, url: str, storage: Path) -> None:
        super().there_and_back(url, storage)
        self.run_program("qemu-io", "-f", "raw", "-c", "write -P 7 4k 4k", "-c", "write -z 0 4k",
                         "-c", "flush", "-c", "read -P 7 4k 4k", "-c", "read -P 0 0 4k", url)

    def test_io_uring(self) -> None:
        target = self.new_file("target")
        self.there_and_back(self.serve("io_uring", f"path={target}"), target)

    def test_vhost_user(self) -> None:
        target = self.new_file("target")
        sock = self.serve_vhost_user(target)
        self.there_and_back(self.serve("virtio-blk-vhost-user", f"path={sock}"), target)


if __name__ == "__main__":
    main()

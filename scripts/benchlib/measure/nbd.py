# SPDX-License-Identifier: MIT OR Apache-2.0
"""A qemu-storage-daemon or an nbdkit serves the target as an NBD export on a Unix socket.

fio's own engine for NBD, which is built on libnbd, gets such servers as well: comparing the two
shows what the client costs. nbdkit needs less time for a request, so the client shows more.
"""

from __future__ import annotations

from .storage_daemon import disk, joined, may_write, switch, transport, usual
from .targets import Target
from .transport import blkio_path, needs_engine, never


def command(target: Target, socket: str) -> list[str]:
    """The server of a target; it can write only where the workload may. In an I/O thread, QEMU 7.2
    crashes when a client leaves (an assertion in nbd_blockdev_client_closed)."""
    export = {"type": "nbd", "id": "export", "node-name": "disk", "name": "",
              "writable": switch(may_write(target))}
    return [*disk(target), "--nbd-server", joined({"addr.type": "unix", "addr.path": socket}),
            "--export", joined(export)]


def nbdkit(target: Target, socket: str) -> list[str]:
    """The same by nbdkit, which always reads and writes through the page cache."""
    return ["nbdkit", "--foreground", "--unix", socket, *([] if may_write(target) else ["--readonly"]),
            "file", f"file={target.path}"]


def _direct(target: Target) -> str:
    return "nbdkit cannot go past the page cache" if target.direct else ""


def uri(socket: str) -> list[str]:
    """The export's name for fio's own engine."""
    return [f"--uri=nbd+unix:///?socket={socket}"]


BLKIO = transport(command, blkio_path, never)
NATIVE = needs_engine("nbd", "libnbd", transport(command, uri, usual))  # what vhost-user is compared with
NBDKIT_BLKIO = transport(nbdkit, blkio_path, never, _direct)
NBDKIT_NATIVE = needs_engine("nbd", "libnbd", transport(nbdkit, uri, never, _direct))

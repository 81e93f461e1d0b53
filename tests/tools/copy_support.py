# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the tests of blkio-copy share."""

import re
import signal
import subprocess
from pathlib import Path

from support import MIB, ToolTest, need_root, noise, run, tool

TIB = 1 << 40
OLD, NEW = noise(4 * MIB, 8), noise(4 * MIB, 9)


class CopyTest(ToolTest):
    def refuses(self, source: str | Path, destination: str | Path, says: str, *options: str,
                status: int = 1) -> None:
        """Refused, and nothing has happened to the destination."""
        path = Path(re.sub(r".*path=([^,]*).*", r"\1", str(destination)))
        before = path.read_bytes() if path.is_file() else None
        self.fails("copy", *options, source, destination, says=says, status=status)
        self.assertEqual(path.read_bytes() if path.is_file() else None, before)

    def start(self, *arguments: str | Path) -> subprocess.Popen:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup would have the tool ignore it
        process = subprocess.Popen([str(a) for a in (tool("copy"), *arguments)], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def mount(self, *arguments: str | Path) -> Path:
        need_root("mount file systems")
        folder = self.scratch / f"mounted-{len(list(self.scratch.iterdir()))}"
        folder.mkdir()
        done = run("mount", *arguments, folder)
        if done.returncode:
            self.skipTest(f"cannot mount: {done.stderr.strip()}")
        self.addCleanup(run, "umount", "--lazy", folder)
        return folder

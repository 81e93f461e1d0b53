#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""blkio-copy between files in the page cache, which two threads copy: lanes."""

import os
import random
import re
import resource
import signal
import time
import unittest

from copy_support import CopyTest
from support import MIB, catches, main, noise, rings, run, tool, wait_until

SIZE = 33 * MIB + 777  # of which the lanes take 4 MiB at a time


def mixed(seed: int) -> bytes:
    """Data, zeroes, and both within one stripe, in pieces of all sizes."""
    pick, parts, left = random.Random(seed), [], SIZE
    while left:
        size = min(left, pick.choice((777, 4096, 65536, MIB, 3 * MIB, 6 * MIB)))
        parts.append(pick.choice((bytes(size), noise(size, seed))))
        left -= size
    return b"".join(parts)


@unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "there is one CPU only: one thread copies")
class Lanes(CopyTest):
    def test_two_queues(self) -> None:
        """Else nothing here tests what it is about."""
        source = self.file("source", size=SIZE)
        for options, queues in (([], 2), (["--depth=1"], 1), (["--skip-errors"], 1)):
            done = run(tool("copy"), "--resize", *options, source, self.scratch / "copy",
                       env={**os.environ, "BLKIO_DEBUG": "1"})
            self.assertEqual(done.returncode, 0, done.stderr)
            found = re.findall(r"start, (\d+) queue", done.stderr)
            self.assertEqual(found, [str(queues)] * 2, options)

    def test_content(self) -> None:
        for seed, options in enumerate(([], ["--no-zeroes"], ["--depth=2"], ["--depth=5"],
                                        ["--block-size=64K"], ["--block-size=12K"])):
            content = mixed(seed)
            source, copy = self.file("source", content), self.file("copy", mixed(seed + 100))
            self.succeeds("copy", "--verify", *options, source, copy)
            self.assertTrue(copy.read_bytes() == content, options)
            copy.unlink()
            self.succeeds("copy", "--resize", *options, source, copy)
            self.assertTrue(copy.read_bytes() == content, options)

    def test_holes(self) -> None:
        content = mixed(7)
        source, copy = self.file("source"), self.scratch / "copy"
        with open(source, "wb") as file:
            for at in range(0, SIZE, 65536):
                piece = content[at:at + 65536]
                if any(piece):
                    file.seek(at)
                    file.write(piece)
        os.truncate(source, SIZE)
        self.succeeds("copy", "--resize", "--verify", source, copy)
        self.assertTrue(copy.read_bytes() == content)
        self.assertLessEqual(copy.stat().st_blocks, source.stat().st_blocks + 128)

    def test_given_queues(self) -> None:
        content = mixed(8)
        source, copy = self.file("source", content), self.file("copy", size=SIZE)
        driver = "posix" if rings.why_not() else "io_uring"
        for queues in (1, 2, 3):
            self.succeeds("copy", "--verify", f"{driver}:path={source},num-queues={queues}",
                          f"posix:path={copy}")
            self.assertTrue(copy.read_bytes() == content)

    def test_failure(self) -> None:
        """Where one lane fails, the other goes on up to there, and no further."""
        content, old = noise(8 * MIB) * 5, noise(8 * MIB, 2) * 5
        source = self.file("source", content)
        for limit in (5 * MIB, 21 * MIB + 4096, 39 * MIB):
            copy = self.file("copy", old)
            said = self.fails("copy", source, copy, says="File too large", preexec_fn=lambda
                              limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                              (limit, limit)))
            offset = int(re.search(r"write error at offset (\d+) .*; everything before it is copied",
                                   said)[1])
            self.assertLessEqual(offset, limit)
            self.assertGreater(offset + MIB, limit)
            self.assertTrue(copy.read_bytes()[:offset] == content[:offset], limit)

    def test_interrupted(self) -> None:
        content, old = noise(8 * MIB) * 8, noise(8 * MIB, 2) * 8
        source = self.file("source", content)
        for delay in (0, 0.01, 0.03, 0.1, 0.2):
            copy = self.file("copy", old)
            process = self.start("--block-size=4K", source, copy)
            wait_until(lambda it=process: it.poll() is not None or catches(it, signal.SIGINT),
                       process, "copying")
            time.sleep(delay)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=60)[1]
            if process.returncode == 0:  # it was faster
                self.assertTrue(copy.read_bytes() == content)
                continue
            self.assertEqual(process.returncode, -signal.SIGINT, said)
            offset = int(re.search(r"everything before offset (\d+) is copied", said)[1])
            found = copy.read_bytes()
            self.assertTrue(found[:offset] == content[:offset], offset)
            self.assertLess(offset, len(content))


if __name__ == "__main__":
    main()

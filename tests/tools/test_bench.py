#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""blkio-bench: what it says it did is what the kernel saw; its figures fit together."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

from support import (KIB, MIB, SECONDS, ToolTest, catches, main, need_command, noise, run, tool,
                     wait_until)


def has_worked(process: subprocess.Popen) -> bool:
    """Has it spent half a second of processor time, and so completed requests?"""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12]) > os.sysconf("SC_CLK_TCK") / 2


class BenchTest(ToolTest):
    def bench(self, *arguments: str | Path) -> dict:
        return json.loads(self.succeeds("bench", "--json", "--quiet", *arguments))


class Counts(BenchTest):
    def sectors(self, device: str) -> dict[str, int]:
        """What the kernel counted: Documentation/block/stat.rst."""
        fields = Path("/sys/block", Path(device).name, "stat").read_text().split()
        return {"reads": int(fields[0]), "read": int(fields[2]),
                "writes": int(fields[4]), "written": int(fields[6])}

    def test_as_many_as_the_kernel_saw(self) -> None:
        device = self.loop(self.file("backing", noise(4 * MIB)))
        target = f"io_uring:path={device},direct=true"
        for wait in ("block", "eventfd", "loop"):
            before = self.sectors(device)
            result = self.bench("--rw=randrw", "--mix=70", "--count=500", "--threads=2",
                                "--depth=8", f"--wait={wait}", "--overwrite", target)
            after = self.sectors(device)
            reads, writes = result["read"]["ios"], result["write"]["ios"]
            self.assertEqual(reads + writes, 1000)
            self.assertEqual(after["read"] - before["read"], reads * 8)
            self.assertEqual(after["written"] - before["written"], writes * 8)
            self.assertTrue(600 < reads < 800, reads)

    def test_as_many_as_submitted(self) -> None:
        need_command("strace")
        trace = self.scratch / "trace"
        no_leak_checks = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # not while traced
        done = run("strace", "-f", "-o", trace, "-e", "trace=io_uring_enter", tool("bench"),
                   "--json", "--count=300", "--depth=16", "--batch=4",
                   self.file("file", noise(MIB)), env=no_leak_checks)
        self.assertEqual(done.returncode, 0, done.stderr)
        submitted = sum(int(n) for n in
                        re.findall(r"io_uring_enter\(\w+, (\d+),", trace.read_text()))
        self.assertEqual(submitted, 300)
        self.assertEqual(json.loads(done.stdout)["read"]["ios"], 300)

    def test_vhost_user(self) -> None:
        target = self.vhost_user(self.file("backing", noise(MIB)))
        for wait in ("block", "eventfd", "loop", "poll"):
            result = self.bench("--count=200", "--threads=2", "--depth=4", f"--wait={wait}", target)
            self.assertEqual(result["read"]["ios"], 400, wait)

    def test_sequential_load_is_all_of_it(self) -> None:
        path = self.file("file", bytes(MIB))
        self.bench("--rw=write", "--overwrite", "--threads=4", "--count=64", path)
        content = path.read_bytes()
        blocks = {content[at:at + 4 * KIB] for at in range(0, MIB, 4 * KIB)}
        self.assertNotIn(bytes(4 * KIB), blocks)

    def test_same_seed_same_requests(self) -> None:
        contents = []
        for seed in (7, 7, 8):
            path = self.file("file", bytes(MIB))
            self.bench("--rw=randwrite", "--overwrite", "--count=50", f"--seed={seed}", path)
            contents.append(path.read_bytes())
        self.assertEqual(contents[0], contents[1])
        self.assertNotEqual(contents[0], contents[2])

    def test_size(self) -> None:
        path = self.file("file", bytes(MIB))
        self.bench("--rw=randwrite", "--overwrite", "--count=500", "--size=64K", path)
        self.assertEqual(path.read_bytes()[64 * KIB:], bytes(MIB - 64 * KIB))
        self.assertNotEqual(path.read_bytes()[:4 * KIB], bytes(4 * KIB))


class Figures(BenchTest):
    def test_they_fit_together(self) -> None:
        result = self.bench("--time=0.3", "--warm-up=0.1", "--depth=4",
                            self.file("file", noise(MIB)))
        read = result["read"]
        latency = read["latency_ns"]
        self.assertEqual(sum(latency["histogram"].values()), read["ios"])
        values = [latency["min"], *latency["percentiles"].values(), latency["max"]]
        self.assertEqual(values[1:], sorted(values[1:]))
        self.assertTrue(latency["min"] <= latency["mean"] <= latency["max"])
        self.assertGreaterEqual(result["seconds"], 0.3)
        self.assertAlmostEqual(read["iops"] * result["seconds"], read["ios"], delta=1)
        self.assertAlmostEqual(read["bytes_per_second"], read["iops"] * 4096, delta=1)
        # Little's law: what is under way is rate times latency. It is at most the depth, but for
        # requests that were under way at the start; a hundredth of it if the units differ.
        under_way = read["iops"] * latency["mean"] / 1e9
        most = 4 * (1 + latency["max"] / 1e9 / result["seconds"])
        self.assertTrue(0.04 < under_way <= most, under_way)
        self.assertEqual(result["write"]["ios"], 0)

    def test_histogram_brackets_the_percentiles(self) -> None:
        latency = self.bench("--count=20000", "null")["read"]["latency_ns"]
        counted, seen = sorted((int(k), n) for k, n in latency["histogram"].items()), 0
        for top, n in counted:
            seen += n
            if seen >= 10000:
                self.assertEqual(latency["percentiles"]["50"], min(top, latency["max"]))
                break

    def test_text(self) -> None:
        text = self.succeeds("bench", "--time=0.1", "--warm-up=0", "--rw=randrw", "null")
        self.assertRegex(text, r"randrw, 4.00 KiB, depth 1, 1 thread, wait block, [\d.]+ s\n")
        for kind in ("read ", "write"):
            self.assertRegex(text, kind + r" \d+ IOPS, .*/s, \d+ requests\n  latency  mean ")
        text = self.succeeds("bench", "--time=0.1", "--no-latency", "null")
        self.assertNotIn("latency", text)

    def test_interrupted(self) -> None:
        process = subprocess.Popen([tool("bench"), "--time=60", "--warm-up=0", "null"], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_until(lambda: has_worked(process), process, "load")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
        self.assertEqual(process.returncode, 0, err)
        self.assertIn("interrupted", err)
        self.assertIn("IOPS", out)


class Refusals(BenchTest):
    def test_writes_need_a_word(self) -> None:
        path = self.file("file", noise(MIB))
        self.fails("bench", "--rw=randrw", path, status=2, says="--overwrite")
        self.assertEqual(path.read_bytes(), noise(MIB))
        self.loop(path)
        self.fails("bench", "--rw=write", "--overwrite", path, says="loop device")

    def test_what_cannot_be(self) -> None:
        path = self.file("file", noise(MIB))
        self.fails("bench", "--wait=poll", path, says="poll queues")
        self.fails("bench", "--size=2M", path, says="--size")
        self.fails("bench", "--block-size=2M", path, says="block")
        self.fails("bench", "--block-size=1G", "--depth=65536", path, says="lower one of them")
        self.fails("bench", "--block-size=100", f"io_uring:path={path},direct=true",
                   says="request-alignment")
        for options in (["--rw=sideways"], ["--depth=0"], ["--mix=101"], ["--time=soon"],
                        ["--wait=never"], []):
            self.fails("bench", *options, *([path] if options else []), status=2)

    def test_io_error(self) -> None:
        backing = self.file("backing", noise(MIB))
        device = self.loop(backing)
        backing.write_bytes(b"")
        self.fails("bench", "--time=1", f"io_uring:path={device},direct=true",
                   says="read error at offset")

    def test_file_that_shrinks(self) -> None:
        path = self.file("file", noise(MIB))
        process = subprocess.Popen([tool("bench"), "--count=1000000000", path], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_until(lambda: catches(process, signal.SIGINT), process, "load")
        os.truncate(path, 4096)
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=SECONDS)
        self.assertEqual((process.returncode, out), (1, ""), said)
        self.assertIn("shrank from", said)

    def test_server_that_dies(self) -> None:
        target = self.vhost_user(self.file("backing", noise(MIB)))
        process = subprocess.Popen([tool("bench"), "--time=60", target], stderr=subprocess.PIPE,
                                   text=True)
        wait_until(lambda: catches(process, signal.SIGINT), process, "load")
        self.server.kill()
        said = process.communicate(timeout=SECONDS)[1]
        self.assertEqual(process.returncode, 1, said)
        self.assertTrue(said.startswith("blkio-bench: virtio-blk-vhost-user:"), said)


if __name__ == "__main__":
    main()

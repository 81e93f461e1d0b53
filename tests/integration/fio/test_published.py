#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Job files in the forms that people publish: they run with no more than the engine's line changed,
and do the same I/O as with fio's own io_uring."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import support

SINGLE_FILE = """
[global]
ioengine=ENGINE
filename=disk.img
filesize=2m
direct=1

[random-read]
rw=randread
bs=4k
iodepth=16
"""

DIRECTORY = """
[global]
ioengine=ENGINE
directory=data
size=512k
nrfiles=4
group_reporting
numjobs=2

[mixed]
rw=randrw
rwmixread=70
bs=4k
iodepth=8
"""

SECTIONS = """
[global]
ioengine=ENGINE
size=1m
bs=64k
iodepth=4
filename=region

[fill]
rw=write
end_fsync=1

[sequential-read]
stonewall
rw=read

[random-read]
stonewall
rw=randread
bs=4k
number_ios=100

[random-write]
stonewall
rw=randwrite
bs=4k
verify=crc32c
"""

REPLAY = """
[recorder]
ioengine=ENGINE
filename=traced
rw=randrw
bs=8k
size=512k
write_iolog=trace

[player]
stonewall
ioengine=ENGINE
read_iolog=trace
replay_no_stall=1
"""

STEADY_STATE = """
[until-steady]
ioengine=ENGINE
size=1m
rw=randread
bs=4k
iodepth=4
time_based
runtime=5s
steadystate=iops:1000%
steadystate_duration=2s
"""

# Like the client and enterprise workloads of JESD219: many sizes, and parts that are hotter.
MANY_SIZES = """
[global]
ioengine=ENGINE
filename=device.img
size=4m
direct=1
norandommap
randrepeat=1

[enterprise]
rw=randrw
rwmixread=40
bssplit=512/4:1k/1:2k/2:4k/67:8k/10:16k/7:32k/5:64k/4
blockalign=512
random_distribution=zoned:50/5:30/15:20/80
iodepth=32
number_ios=400
"""

DATABASE = """
[global]
ioengine=ENGINE
runtime=60s

[log]
filename=redo.log
rw=write
bs=4k
size=256k
fdatasync=1

[pages]
filename=table.a:table.b
rw=randrw
rwmixread=75
bs=16k
size=1m
iodepth=8
numjobs=2
norandommap

[checkpoint]
stonewall
filename=table.a
rw=write
bs=128k
size=512k
end_fsync=1

[backup]
stonewall
filename=table.a
rw=read
bs=128k
size=512k
"""

DIRECTIONS = ("read", "write", "trim")


class Published(support.FioTest):
    def run_file(self, text: str, engine: str) -> support.Run:
        place = self.scratch / engine.split(":")[0]
        (place / "data").mkdir(parents=True)
        (place / "job.fio").write_text(text.replace("ENGINE", engine))
        result = support.run_fio("job.fio", cwd=place)
        self.assert_succeeds(result)
        return result

    def both(self, text: str) -> tuple[support.Run, support.Run]:
        engines = (f"external:{support.LIBRARY}", "io_uring")
        with ThreadPoolExecutor(2) as pool:
            ours, theirs = pool.map(self.run_file, (text, text), engines)
        return ours, theirs

    def done(self, result: support.Run) -> list[list[Any]]:
        return [[job["jobname"], job["sync"]["total_ios"]]
                + [job[d][what] for d in DIRECTIONS for what in ("total_ios", "io_bytes")]
                for job in result.jobs]

    def check(self, text: str) -> None:
        ours, theirs = self.both(text)
        self.assertEqual(self.done(ours), self.done(theirs))

    def test_single_file(self) -> None:
        self.check(SINGLE_FILE)

    def test_directory(self) -> None:
        self.check(DIRECTORY)

    def test_sections(self) -> None:
        self.check(SECTIONS)

    def test_replay(self) -> None:
        self.check(REPLAY)

    def test_many_sizes(self) -> None:
        self.check(MANY_SIZES)

    def test_database(self) -> None:
        self.check(DATABASE)

    def test_steady_state(self) -> None:
        for result in self.both(STEADY_STATE):
            self.assertIn("steadystate", result.job)
            self.assertGreater(result.job["read"]["total_ios"], 0)


if __name__ == "__main__":
    support.main()

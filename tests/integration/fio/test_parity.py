#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
Jobs with no more than the engine changed: the same exit status, errors, numbers of I/Os, bytes,
files and JSON keys as with fio's own io_uring. The table is made of options x rw x depth and jobs.
A sample of it runs in every test run; PARITY=all runs all of it, PARITY=3/10 the third of ten parts.
docs/fio-engine.md explains the differences that are accepted.

Latencies: no more than the time that a job took can be spent on its I/Os, and the medians of both
engines have the same order of magnitude. That depends on how busy the machine is, so a median has
some tries.
"""

from __future__ import annotations

import itertools
import os
import shutil
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator

import support

Options = dict[str, Any]

OURS = f"external:{support.LIBRARY}"
DIRECTIONS = ("read", "write", "trim")
KINDS = ("read", "randread", "write", "randwrite", "rw", "randrw")
LOADS: tuple[Options, ...] = ({"iodepth": 1}, {"iodepth": 16}, {"iodepth": 4, "numjobs": 3})
COMMON: Options = {"bs": "4k", "size": "256k", "lat_percentiles": 1}
MEDIAN_FACTOR, MEDIAN_TRIES = 8, 6
CLOCK_MS = 2  # to which a job's time may be rounded
SETS: tuple[Options, ...] = (
    {}, {"direct": 1}, {"thread": True}, {"create_serialize": 0}, {"create_on_open": 1},
    {"fallocate": "none"}, {"overwrite": 1}, {"file_append": 1}, {"unlink": 1}, {"pre_read": 1},
    {"invalidate": 0}, {"nrfiles": 3}, {"nrfiles": 4, "openfiles": 2},
    {"nrfiles": 3, "file_service_type": "random"}, {"filename": "a:b"}, {"directory": "."},
    {"filename": "new/place/file"}, {"filesize": "64k", "nrfiles": 4},
    {"fsync": 8}, {"fdatasync": 4}, {"end_fsync": 1}, {"sync": "dsync"},
    {"verify": "crc32c"}, {"verify": "md5", "verify_backlog": 8},
    {"verify": "crc32c", "nrfiles": 2}, {"verify": "sha1", "verify_async": 1},
    {"loops": 2}, {"io_size": "128k"}, {"number_ios": 20}, {"offset": "64k"},
    {"size": "50%", "filesize": "256k"}, {"bsrange": "1k-16k"}, {"bssplit": "1k/50:8k/50"},
    {"norandommap": True}, {"rwmixread": 80}, {"random_distribution": "zipf:1.1"},
    {"zonemode": "strided", "zonesize": "16k", "zonerange": "64k"},
    {"iodepth_batch": 4, "iodepth_batch_complete_min": 2}, {"mem": "mmap"}, {"iomem_align": 512},
    {"rate_iops": 1000}, {"rate": "8m"}, {"thinktime": 10}, {"disable_slat": 1}, {"slat_percentiles": 1},
    {"write_lat_log": "log"}, {"write_iolog": "log"}, {"group_reporting": True},
    {"refill_buffers": True}, {"dedupe_percentage": 50}, {"gtod_reduce": 1},
    {"max_latency": "50s"}, {"latency_target": "50s"}, {"percentage_random": 50},
    {"experimental_verify": 1, "verify": "crc32c"}, {"allow_file_create": 0},
    {"thinktime": 100, "thinktime_blocks": 8}, {"io_size": "512k"}, {"offset_increment": "64k"},
    {"random_generator": "lfsr"}, {"random_distribution": "zoned:60/10:30/20:10/70"},
    {"filesize": "32k-128k", "nrfiles": 4}, {"fsync_on_close": 1}, {"sync": "sync"},
    {"verify": "crc32c", "verify_interval": 512}, {"verify": "md5", "verify_state_save": 1},
    {"bsrange": "1k-9k", "bs_unaligned": 1}, {"serialize_overlap": 1, "norandommap": True},
)


MIXED = ("rw", "randrw")


def varying(options: Options, rw: str, load: Options) -> str | None:
    """What differs between two runs of a job with fio's own engines, too; the rest is compared."""
    if "verify_async" in options and "write" not in rw:
        return "done"  # how many reads there are before the first is found to be wrong
    if rw in MIXED and ("rate" in options or "rate_iops" in options):
        return "directions"  # the next I/O has the one that is behind its rate at that moment
    if load["iodepth"] > 1 and ("fsync" in options or "fdatasync" in options):
        return "flushes"  # fio flushes again until it has seen a flush complete
    return None


def comparable(options: Options, rw: str) -> bool:
    # an accepted difference: test_experimental_verify
    if "experimental_verify" in options and rw in MIXED:
        return False
    # reads past the end of the file: an accepted difference
    return rw in ("write", "randwrite") or "create_on_open" not in options


def table() -> Iterator[tuple[Options, str | None]]:
    for options, rw, load in itertools.product(SETS, KINDS, LOADS):
        if comparable(options, rw):
            yield {**COMMON, "rw": rw, **load, **options}, varying(options, rw, load)


def rows() -> list[tuple[Options, str | None]]:
    everything = list(table())
    asked = os.environ.get("PARITY")
    if not asked:
        # 53 has no factor in common with the numbers of kinds and loads: the sample meets all
        return everything[::53]
    part, parts = (1, 1) if asked == "all" else map(int, asked.split("/"))
    return everything[part - 1::parts]


def medians(jobs: list[Options]) -> list[float]:
    """Of the latencies of each job and direction that has some, in nanoseconds."""
    return [job[d]["lat_ns"]["percentile"]["50.000000"] for job in jobs for d in DIRECTIONS
            if "percentile" in job[d]["lat_ns"]]


def without(varies: str | None, outcome: Options) -> Options:
    if varies == "directions":  # in all of them together
        done = [[sum(column) for column in zip(*job)] for job in outcome["done"]]
        return {**outcome, "done": done}
    return {part: value for part, value in outcome.items() if part != varies}


class Parity(support.FioTest):
    def run_in_new_place(self, engine: str, options: Options) -> tuple[support.Run, Options]:
        """The run, and the sizes of the files that it left."""
        place = self.scratch / engine.split(":")[0]
        place.mkdir()
        run = support.run_fio("--name=job", *support.option_arguments(
            {"ioengine": engine, **options}), cwd=place)
        sizes = {str(path.relative_to(place)): path.stat().st_size for path in place.rglob("*")
                 if path.is_file() and "log" not in path.name}
        shutil.rmtree(place)
        return run, sizes

    def both(self, run: Callable[[str, Options], Any], options: Options) -> list[Any]:
        """Ours first. At the same time, so both meet a machine that is as busy."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(run, (OURS, "io_uring"), (options, options)))

    def outcome(self, engine: str, options: Options) -> tuple[Options, list[float]]:
        """What must not depend on the engine, and what may by a factor."""
        run, sizes = self.run_in_new_place(engine, options)
        jobs = run.results.get("jobs", [])
        for job in jobs:
            self.check_latencies(job, options)
        return {"status": run.status, "files": sizes, "keys": [sorted(job) for job in jobs],
                "errors": [job["error"] for job in jobs], "flushes": [
                    job["sync"]["total_ios"] for job in jobs], "done": [
                        [(job[d]["total_ios"], job[d]["io_bytes"], job[d]["slat_ns"]["N"],
                          job[d]["clat_ns"]["N"], job[d]["lat_ns"]["N"]) for d in DIRECTIONS]
                        for job in jobs]}, medians(jobs)

    def check_latencies(self, job: Options, options: Options) -> None:
        """With depth in flight at most, the sum of all latencies is at most depth times the time."""
        for direction in DIRECTIONS:
            lat, clat = job[direction]["lat_ns"], job[direction]["clat_ns"]
            if lat["N"] and clat["N"]:
                self.assertGreaterEqual(lat["mean"], clat["mean"])
            slots = options.get("iodepth", 1) * options.get("numjobs", 1)
            milliseconds = job[direction]["runtime"] + CLOCK_MS * options.get("loops", 1)
            self.assertLessEqual(lat["mean"] * lat["N"], slots * milliseconds * 1e6, direction)

    def same_magnitude(self, options: Options, pair: list[list[float]]) -> bool:
        """Whether our medians are near the other engine's: ours when the machine was least busy in a
        few tries, the other's when it was most."""
        for _ in range(MEDIAN_TRIES):
            if all(our <= MEDIAN_FACTOR * their for our, their in zip(*pair)):
                return True
            new = [medians(run.results["jobs"])
                   for run, _ in self.both(self.run_in_new_place, options)]
            pair = [list(map(best, old, now)) for best, old, now in zip((min, max), pair, new)]
        return False

    def test_table(self) -> None:
        for options, varies in rows():
            with self.subTest(**options):
                (our, our_medians), (their, their_medians) = self.both(self.outcome, options)
                self.assertEqual(without(varies, our), without(varies, their))
                self.assertTrue(self.same_magnitude(options, [our_medians, their_medians]),
                                f"medians {our_medians}, of io_uring {their_medians}")

    def test_accepted_differences(self) -> None:
        """Each is a row of docs/fio-engine.md."""
        trim = {"rw": "randtrim", "filename": str(self.file), "bs": "4k", "size": "64k"}
        ours = support.run_job(**trim)
        self.assert_succeeds(ours)
        self.assertEqual(ours.job["trim"]["total_ios"], 16)
        self.assertNotEqual(self.outcome("io_uring", trim)[0]["status"], 0)
        empty = {"rw": "read", "create_on_open": 1, **COMMON}
        read = [self.outcome(engine, empty)[0]["done"][0][0][1] for engine in ("io_uring", OURS)]
        self.assertEqual(read, [0, 256 * 1024])
        self.assert_fails(support.run_job(**{**empty, "filename": "/dev/null"}),
                          "neither a regular file nor a block device")
        text = (Path(support.SOURCE_DIR) / "docs" / "fio-engine.md").read_text()
        for word in ("`rw=trim` on a regular file", "`ramp_time`", "past the end", "`/dev/zero`",
                     "`hipri` on a device that cannot poll", "`atomic=1`", "`experimental_verify`"):
            self.assertIn(word, text)

    def reads_seen(self, engine: str, device: str, **options: Any) -> tuple[int, int]:
        """The exit status of a job that verifies what it writes, and the reads that it made."""
        def count() -> int:
            return int(Path("/sys/block", Path(device).name, "stat").read_text().split()[0])

        before = count()
        run = support.run_job(**{"ioengine": engine, "filename": device, "direct": 1, **COMMON,
                                 "verify": "crc32c", "experimental_verify": 1, **options})
        return run.status, count() - before

    def test_experimental_verify(self) -> None:
        """Its second round of a random mix comes upon blocks that were never written. The io_uring
        of fio 3.33 does not notice, because it writes them again instead of reading them."""
        device = self.loop_device()
        blocks = 256 // 4
        for engine in (OURS, "psync"):
            status, reads = self.reads_seen(engine, device, rw="randwrite")
            self.assertEqual(status, 0)
            self.assertGreaterEqual(reads, blocks)
        theirs = self.reads_seen("io_uring", device, rw="randwrite")[1]
        for seed in range(2):
            mixed = {"rw": "randrw", "randseed": seed}
            status = self.reads_seen(OURS, device, **mixed)[0]
            reads_too = ["psync"] if theirs < blocks else ["psync", "io_uring"]
            for engine in reads_too:
                self.assertEqual(status, self.reads_seen(engine, device, **mixed)[0], engine)


if __name__ == "__main__":
    support.main()

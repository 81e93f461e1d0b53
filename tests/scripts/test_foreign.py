#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""fio's JSON of others becomes a result with its gaps named; no figure is lost, none invented."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import random
import shutil
import subprocess
import tempfile
import time
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any

from support import main
from benchlib import cli
from benchlib.errors import BenchError
from benchlib.foreign import fio_json, latency, results
from benchlib.page import html
from benchlib.page.page import Page
from benchlib.report import sources
from benchlib.result.model import Result
from benchlib.stats.histograms import percentile

JOBS = """[global]
filename={file}
size=1m
rw=randread
bs=4k
iodepth=4
ioengine=libaio
runtime=100ms
time_based
randseed=1
[a]
numjobs=2
[b]
stonewall
rw=randrw
rwmixread=70
bs=8k
ioengine=psync
"""

# fio 2: microseconds, KiB, no options, no N; as fio 2.2 wrote it
_SIDE_2 = {"io_bytes": 40000, "bw": 2000, "iops": 500.0, "runtime": 20000, "total_ios": 10000,
           "slat": {"min": 1, "max": 9, "mean": 2.0, "stddev": 1.0},
           "clat": {"min": 50, "max": 6000, "mean": 98.0, "stddev": 10.0,
                    "percentile": {"50.000000": 90, "99.000000": 200, "99.990000": 5000,
                                   "0.00": 0}},
           "lat": {"min": 51, "max": 6001, "mean": 100.0, "stddev": 10.0}}
_NO_SIDE = {"io_bytes": 0, "bw": 0, "iops": 0.0, "runtime": 0, "total_ios": 0,
            "clat": {"percentile": {"50.000000": 0}}, "lat": {"mean": 0.0}}
FIO_2: dict[str, Any] = {
    "fio version": "fio-2.2.10", "timestamp": 1444144664,
    "jobs": [{"jobname": "random-read", "groupid": 0, "error": 0, "read": _SIDE_2,
              "write": _NO_SIDE, "trim": _NO_SIDE, "usr_cpu": 1.0, "sys_cpu": 2.0, "ctx": 3,
              "latency_us": {"100": 90.0, "250": 9.0}, "latency_ms": {"10": 1.0}}]}


def gaps(result: Result) -> str:
    return "\n".join(result.environment.notes)


class Folder(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, name: str, value: Any) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path


class Histograms(unittest.TestCase):
    def test_bins_of_fio_2_are_numbers(self) -> None:
        """Bin 200 of 64 a power of two: fio's own formula, plat_idx_to_val()."""
        found = latency.from_bins({"FIO_IO_U_PLAT_BITS": 6, "FIO_IO_U_PLAT_VAL": 64,
                                   "FIO_IO_U_PLAT_NR": 1216, "100": 3, "200": 2, "201": 0}, 1000)
        self.assertEqual(found.bins, [100_000, (256 + 34) * 1000])
        self.assertEqual(found.counts, [3, 2])

    def test_percentiles_come_back(self) -> None:
        given = {"50.000000": 90, "99.000000": 200, "99.990000": 5000, "0.00": 0}
        found = latency.from_percentiles(given, 1000, 10000, 6_000_000)
        self.assertEqual(sum(found.counts), 10000)
        for percent, value in ((50, 90e3), (99, 200e3), (99.99, 5e6), (100, 6e6)):
            self.assertEqual(percentile(found, percent), value)

    def test_classes(self) -> None:
        job = {"latency_us": {"100": 90.0, "250": 9.0}, "latency_ms": {"10": 0.5, ">=2000": 0.5}}
        found = latency.from_classes(job, 1000, 3_000_000_000)
        self.assertEqual((found.bins, found.counts),
                         ([100_000, 250_000, 10_000_000, 3_000_000_000], [900, 90, 5, 5]))


class Old(Folder):
    def test_fio_2(self) -> None:
        sample, = results.read(self.write("x.json", FIO_2)).samples
        self.assertEqual((sample.mean, sample.ios, sample.iops, sample.max),
                         (100e3, 10000, 500.0, 6_001_000))
        self.assertEqual(sample.case.block_size, 4096)
        self.assertEqual(percentile(sample.latency, 99), 200e3)
        found = results.read(self.folder / "x.json")
        for words in ("has no options", "does not name what was read",
                      "percentiles are of completion latency", "does not record the machine"):
            self.assertIn(words, gaps(found))
        self.assertEqual(found.environment.fio, "fio-2.2.10")
        self.assertEqual(found.started, "2015-10-06T15:17:44+00:00")

    def test_a_folder_of_bench_fio(self) -> None:
        for depth in (1, 16):
            self.write(f"disk/4k/randread-{depth}-8.json", FIO_2)
        self.write("disk/4k/settings.json", {"of": "something else"})
        found = results.read(self.folder / "disk")
        self.assertEqual({(s.case.rw, s.case.depth, s.case.numjobs) for s in found.samples},
                         {("randread", 1, 8), ("randread", 16, 8)})

    def test_only_classes_and_only_clat(self) -> None:
        answer = copy.deepcopy(FIO_2)
        side = answer["jobs"][0]["read"]
        del side["lat"], side["clat"]["percentile"]
        found = results.read(self.write("x.json", answer))
        self.assertEqual(found.samples[0].mean, 98e3)
        self.assertIn("off by a factor of 2", gaps(found))
        self.assertIn("mean is of completion latency", gaps(found))

    def test_failed_jobs_are_named(self) -> None:
        answer = copy.deepcopy(FIO_2)
        answer["jobs"].append({**answer["jobs"][0], "jobname": "broken", "error": 5})
        found = results.read(self.write("x.json", answer))
        self.assertEqual(len(found.samples), 1)
        self.assertIn("job broken in x.json: error 5", found.skips[0].reason)
        answer["jobs"] = answer["jobs"][1:]
        with self.assertRaisesRegex(BenchError, "no job with figures.*error 5"):
            results.read(self.write("x.json", answer))

    def test_jobs_that_differ_are_not_mixed(self) -> None:
        answer = copy.deepcopy(FIO_2)
        answer["jobs"].append({**answer["jobs"][0], "jobname": "slow"})
        found = results.read(self.write("x.json", answer))
        self.assertEqual({s.engine for s in found.samples}, {"unknown/random-read", "unknown/slow"})
        self.assertIn("random-read, slow ran at the same time", gaps(found))

    def test_whatever_is_in_a_file_is_an_answer_or_refused(self) -> None:
        source = random.Random(4)

        def spoil(value: Any, depth: int = 0) -> Any:
            if depth and source.random() < 0.06:
                return source.choice((None, "x", -1, [], {}, 1e400, True, "\udcff"))
            if isinstance(value, dict):
                return {key: spoil(item, depth + 1) for key, item in value.items()
                        if source.random() > 0.03}
            return [spoil(item, depth + 1) for item in value] if isinstance(value, list) else value

        read = refused = 0
        for _ in range(400):
            text = json.dumps(spoil(FIO_2))
            text = text[:source.randrange(len(text))] if source.random() < 0.1 else text
            try:
                path = self.write("x.json", text)
                results.read(path)
                read += 1
                if read <= 20:
                    html.render(Page("", sources.chapters(path)))
            except BenchError:
                refused += 1
        self.assertGreater(min(read, refused), 20)


class Real(Folder):
    """What this machine's fio writes."""

    def setUp(self) -> None:
        super().setUp()
        if shutil.which("fio") is None:
            raise unittest.SkipTest("fio is not installed")
        (self.folder / "file").write_bytes(bytes(1 << 20))
        self.jobs = self.write("jobs.fio", JOBS.format(file=self.folder / "file"))

    def fio(self, output: str, *arguments: object) -> Path:
        path = self.folder / output
        done = subprocess.run(["fio", *map(str, arguments), f"--output={path}"],
                              capture_output=True, text=True, timeout=120, cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return path

    def test_json_plus(self) -> None:
        path = self.fio("x.json", "--output-format=json+", self.jobs)
        answer = json.loads(path.read_text())
        found = results.read(path)
        by_rw = {sample.case.rw: sample for sample in found.samples}
        self.assertEqual(set(by_rw), {"randread", "randrw:70"})
        first, both = by_rw["randread"], [job["read"] for job in answer["jobs"][:2]]
        self.assertEqual(first.ios, sum(side["total_ios"] for side in both))
        self.assertAlmostEqual(first.iops, sum(side["iops"] for side in both))
        self.assertAlmostEqual(first.mean * first.ios, sum(
            side["lat_ns"]["mean"] * side["total_ios"] for side in both), delta=first.ios)
        self.assertEqual(sum(first.latency.counts), sum(side["clat_ns"]["N"] for side in both))
        self.assertEqual((first.case.target, first.case.numjobs, first.case.depth, first.engine),
                         ("file", 2, 4, "libaio"))
        self.assertEqual(by_rw["randrw:70"].engine, "psync")
        self.assertNotIn("at the percentiles", gaps(found))

    def test_other_forms(self) -> None:
        for form in ("json", "normal,json"):
            with self.subTest(form):
                path = self.fio("x.json", f"--output-format={form}", self.jobs)
                job = fio_json.parse(path.read_text())["jobs"][2]  # type: ignore[index]
                found = results.read(path)
                sample = next(s for s in found.samples if s.engine == "psync")
                self.assertEqual(sample.ios, job["read"]["total_ios"] + job["write"]["total_ios"])
                self.assertIn("json, not json+", gaps(found))

    def test_client_and_servers(self) -> None:
        """Each host by itself, and all together."""
        hosts = [self.folder / name for name in ("one", "two")]
        for host in hosts:
            server = subprocess.Popen(["fio", f"--server=sock:{host}"], stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL, cwd=self.folder)
            self.addCleanup(server.wait)
            self.addCleanup(server.terminate)
            while not host.exists():
                self.assertIsNone(server.poll())
                time.sleep(0.02)
        clients = [word for host in hosts for word in (f"--client=sock:{host}", self.jobs)]
        path = self.fio("x.json", "--output-format=json+", *clients)
        found = results.read(path)
        reads = {s.case.target: s for s in found.samples if s.case.rw == "randread"}
        names = [f"{host}:file" for host in hosts]
        self.assertEqual(set(reads), {*names, "all hosts:file"})
        self.assertEqual(reads["all hosts:file"].ios, sum(reads[name].ios for name in names))
        self.assertAlmostEqual(reads["all hosts:file"].iops,
                               sum(reads[name].iops for name in names))

    # ---- Through the commands --------------------------------------------------------------

    def bench(self, *arguments: object, status: int = 0) -> str:
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = cli.main([str(word) for word in arguments])
        self.assertEqual(code, status, output.getvalue())
        return output.getvalue()

    def test_report_compare_history(self) -> None:
        for name in ("monday", "tuesday"):
            for number in range(2):
                (self.folder / name).mkdir(exist_ok=True)
                self.fio(f"{name}/{number}.json", "--output-format=json+", self.jobs)
        monday, tuesday = self.folder / "monday", self.folder / "tuesday"
        page = self.folder / "page.html"
        self.bench("report", monday, "--output", page)
        xml.fromstring(page.read_text())
        for words in ("does not record the machine", "not compared", "libaio"):
            self.assertIn(words, page.read_text())
        self.assertNotIn("interleaved", page.read_text())
        text = self.bench("compare", monday, tuesday)
        self.assertIn("file, 4 KiB random reads, depth 4, 2 jobs, libaio:", text)
        kept = self.folder / "history.sqlite"
        use = ("history", "--history", kept)
        self.assertIn("--machine", self.bench(*use, "add", monday, status=2))
        self.bench(*use, "add", monday, tuesday, "--machine", "rack 7")
        self.assertIn("(rack 7)", self.bench(*use, "trend"))
        self.assertRegex(self.bench(*use, "list"), r"fio .* unknown")


if __name__ == "__main__":
    main()

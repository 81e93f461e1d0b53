#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""One fio process, the real one: its figures, and every way it can fail."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
import unittest
from dataclasses import replace
from pathlib import Path

from support import main, program
from benchlib.errors import BenchError
from benchlib.measure import fio, over_time, rings, syscalls
from benchlib.result.model import Within

SIZE = 1 << 20
CPUS = (min(os.sched_getaffinity(0)),)


@unittest.skipIf(shutil.which("fio") is None, "fio is not installed")
class Fio(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "file:with colon"
        self.file.write_bytes(os.urandom(SIZE))

    def job(self, rw: str = "randread", depth: int = 1, runtime_ms: int = 100) -> fio.Job:
        return fio.Job(rw, 512, depth, False, SIZE, runtime_ms, 0, CPUS, 1)

    def argv(self, job: fio.Job, *engine: str) -> list[str]:
        name = str(self.file).replace(":", "\\:")
        return fio.command(job, list(engine or ["--ioengine=psync"]), [f"--filename={name}"])

    def test_figures_agree_with_each_other(self) -> None:
        answer, words = fio.answer(self.argv(self.job()), 0.1)
        outcome, seconds = fio.outcome(answer, words), answer["read"]["runtime"] / 1000
        self.assertEqual(sum(outcome.latency.counts), outcome.ios)
        self.assertEqual(outcome.latency.bins, sorted(outcome.latency.bins))
        self.assertAlmostEqual(outcome.iops * seconds, outcome.ios, delta=1)
        middle = sum(b * c for b, c in zip(outcome.latency.bins, outcome.latency.counts))
        self.assertAlmostEqual(middle / outcome.ios / outcome.mean, 1, delta=0.02)
        self.assertLess(outcome.min, outcome.mean)
        self.assertLess(outcome.mean, outcome.max)

    def test_reads_and_writes_are_pooled(self) -> None:
        outcome = fio.run(self.argv(self.job(rw="randrw")), 0.1)
        self.assertEqual(sum(outcome.latency.counts), outcome.ios)

    def test_a_read_job_changes_nothing(self) -> None:
        before = self.file.read_bytes()
        fio.run(self.argv(self.job()), 0.1)
        self.assertEqual(self.file.read_bytes(), before)
        self.assertIn("--readonly", self.argv(self.job()))
        self.assertNotIn("--readonly", self.argv(self.job(rw="randwrite")))

    def test_the_share_of_reads_in_a_mix(self) -> None:
        argv = self.argv(self.job(rw="randrw:70"))
        self.assertIn("--rwmixread=70", argv)
        self.assertNotIn("--readonly", argv)
        self.assertGreater(fio.run(argv, 0.1).ios, 0)
        for wrong in ("randrw:0", "randrw:x", "randread:70", "dance"):
            with self.assertRaises(BenchError):
                fio.check_workload(wrong)

    def test_several_jobs_are_one_answer(self) -> None:
        outcome = fio.run(self.argv(replace(self.job(), numjobs=3)), 0.1)
        self.assertEqual(sum(outcome.latency.counts), outcome.ios)

    def fails(self, argv: list[str], *words: str, seconds: float = 0.1) -> str:
        with self.assertRaises(BenchError) as caught:
            fio.run(argv, seconds)
        for word in words:
            self.assertIn(word, str(caught.exception))
        return str(caught.exception)

    def test_failures_carry_fios_own_words(self) -> None:
        self.fails(self.argv(self.job(), "--ioengine=nosuch"), "nosuch")
        self.fails(self.argv(self.job(), "--nosuchoption=1"), "nosuchoption")
        self.fails(self.argv(self.job(), "--ioengine=external:/nonexistent.so"),
                   "/nonexistent.so", "scripts/setup")
        self.file.unlink()
        self.fails(self.argv(self.job()), "No such file or directory")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_no_fio_at_all(self) -> None:
        self.fails(["no-such-fio"], "cannot run no-such-fio", "scripts/setup")

    def imitation(self, script: str) -> list[str]:
        """A program in fio's place that misbehaves in ways fio cannot be made to."""
        return [str(program(self, "fio", script))]

    def test_success_without_io_is_a_failure(self) -> None:
        answer = '{"jobs": [{"error": 0, "read": {"lat_ns": {"N": 0}}}]}'
        words = self.fails(self.imitation(f"echo 'fio: queue failed' >&2; echo '{answer}'"))
        self.assertIn("fio did no I/O: queue failed", words)

    def test_garbage_and_silence(self) -> None:
        self.fails(self.imitation("echo '{ half'"), "exit status 0")
        self.fails(self.imitation("exit 7"), "exit status 7")
        self.fails(self.imitation("kill -SEGV $$"), "exit status -11")

    def test_a_hanging_fio_is_ended_with_its_children(self) -> None:
        before, fio.START_STOP_SECONDS = fio.START_STOP_SECONDS, 0
        self.addCleanup(setattr, fio, "START_STOP_SECONDS", before)
        pid_file = self.folder / "pid"
        argv = self.imitation(f"sleep 100 & echo $! > {pid_file}; wait")
        self.fails(argv, "did not end within", seconds=2)
        child = Path("/proc", pid_file.read_text().strip(), "stat")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if not child.exists() or ") Z " in child.read_text():
                return
            time.sleep(0.02)
        self.fail("the child of the hanging fio lives on")

    def test_interrupting_us_ends_fio(self) -> None:
        def interrupt() -> None:
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)

        begin = time.monotonic()
        threading.Thread(target=interrupt).start()
        with self.assertRaises(KeyboardInterrupt):
            fio.run(self.argv(self.job(runtime_ms=300000)), 300)
        self.assertLess(time.monotonic() - begin, 100)

    def test_messages_before_the_json_do_not_hide_it(self) -> None:
        messages, answer = fio._split('fio: pid=1, {odd}\nmore\n{"jobs": []}\n')
        self.assertEqual((messages, answer), ("fio: pid=1, {odd}\nmore\n", {"jobs": []}))


class SystemCalls(unittest.TestCase):
    LOG = "# started on ...\n\n9674,,raw_syscalls:sys_enter,205095544,100.00,,\n"

    def test_perfs_answer(self) -> None:
        self.assertEqual(syscalls.parse(self.LOG), 9674)
        self.assertIsNone(syscalls.parse(self.LOG.replace("9674", "<not supported>")))
        self.assertIsNone(syscalls.parse(""))

    def test_a_synchronous_engine_makes_one_call_per_io(self) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(8 * SIZE))
            file.flush()
            job = fio.Job("randread", 512, 1, False, 8 * SIZE, 100, 0, CPUS, 1)
            calls = syscalls.per_io(
                lambda ios: fio.command(replace(job, ios=ios), ["--ioengine=psync"],
                                        [f"--filename={file.name}"]), 16384)
        if calls is None:
            self.skipTest("perf cannot count system calls here")
        self.assertAlmostEqual(calls.per_io, 1.0, delta=0.1)

    def test_too_few_ios_to_tell(self) -> None:
        self.assertIsNone(syscalls.per_io(lambda ios: self.fail("must not run"), 100))


class OverTime(unittest.TestCase):
    def test_directions_and_jobs_add_up(self) -> None:
        """Two jobs that read and write; latencies weighted by their I/Os; an idle interval."""
        logs = {"iops": "100, 30, 0, 0, 0\n100, 10, 1, 0, 0\n203, 50, 0, 0, 0\n400, 8, 0, 0, 0\n"
                        "404, 77, 0, 0, 0\n"
                        "102, 60, 0, 0, 0\n",
                "bw": "100, 15, 0, 0, 0\n100, 5, 1, 0, 0\n203, 25, 0, 0, 0\n400, 4, 0, 0, 0\n"
                      "102, 30, 0, 0, 0\n",
                "lat": "100, 1000, 0, 0, 0\n100, 5000, 1, 0, 0\n203, 900, 0, 0, 0\n"
                       "400, 800, 0, 0, 0\n102, 1000, 0, 0, 0\n"}
        with tempfile.TemporaryDirectory() as name:
            for kind, text in logs.items():
                Path(name, f"log_{kind}.log").write_text(text)
            self.assertEqual(over_time.read(Path(name), 100), Within(
                100, [100, 200, 400], [100, 50, 8], [51200, 25600, 4096], [1400, 900, 800]))
        self.assertIsNone(over_time.read(Path(name), 100))

    def test_a_real_run(self) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(SIZE))
            file.flush()
            job = fio.Job("randread", 512, 1, False, SIZE, 500, 0, CPUS, 1)
            for _ in range(10):  # where others leave fio too little, there is nothing to see
                found = fio.run(fio.command(job, ["--ioengine=psync"],
                                            [f"--filename={file.name}"]), 1, log_ms=100).within
                if found:
                    break
        assert found is not None
        self.assertEqual(found.at, sorted({at // 100 * 100 for at in found.at}))
        self.assertEqual({len(found.at)}, {len(found.iops), len(found.bandwidth),
                                           len(found.latency)})
        for ios, rate, latency in zip(found.iops, found.bandwidth, found.latency):
            self.assertTrue(ios > 0 and latency > 0)
            self.assertAlmostEqual(rate / 512, ios, delta=0.2 * ios + 4)


class Rings(unittest.TestCase):
    LOG = ("10 io_uring_setup(1, {flags=0x3108, sq_off={flags=36}, cq_off={flags=40}}) = -1 E\n"
           "11 io_uring_setup(1, {flags=0x8, sq_off={flags=36}, cq_off={flags=40}}) = 6\n")

    def test_the_last_ring_that_worked_counts(self) -> None:
        self.assertEqual(rings.parse(self.LOG), ["CQSIZE"])
        self.assertIsNone(rings.parse(""))

    def test_names(self) -> None:
        self.assertEqual(rings.names(0x3108),
                         ["CQSIZE", "COOP_TASKRUN", "SINGLE_ISSUER", "DEFER_TASKRUN"])
        self.assertEqual(rings.names(0), [])
        self.assertEqual(rings.names(1 << 40), [hex(1 << 40)])

    def test_forbidden_tracing_costs_the_flags_only(self) -> None:
        before, rings.STRACE = rings.STRACE, ("false",)
        self.addCleanup(setattr, rings, "STRACE", before)
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(SIZE))
            file.flush()
            job = fio.Job("randread", 512, 1, False, SIZE, 50, 0, CPUS, 1)
            argv = fio.command(job, ["--ioengine=psync"], [f"--filename={file.name}"])
            self.assertIsNone(rings.trial(argv, 0.1))
            with self.assertRaisesRegex(BenchError, "nosuch"):
                rings.trial([*argv, "--ioengine=nosuch"], 0.1)

    @unittest.skipIf(shutil.which("strace") is None, "strace is not installed")
    def test_fios_own_ring_is_seen(self) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(SIZE))
            file.flush()
            job = fio.Job("randread", 512, 1, False, SIZE, 100, 0, CPUS, 1)
            try:
                flags = rings.trial(fio.command(job, ["--ioengine=io_uring"],
                                                [f"--filename={file.name}"]), 0.1)
            except BenchError as error:
                self.skipTest(f"no io_uring here: {error.message}")
            assert flags is not None
            self.assertIn("CQSIZE", flags)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Jobs together: files of the engine that newer fio has built in, threads that share a device,
jobs that come and go, poll queues beside normal ones."""

from __future__ import annotations

import unittest
from typing import Any

import support

# Written for fio's own engine; only the ioengine line may change.
IN_TREE_JOB = """\
[global]
ioengine={engine}
libblkio_driver=io_uring
libblkio_path={path}
libblkio_pre_connect_props=read-only=false
libblkio_pre_start_props=num-entries=64 : {extra}
libblkio_wait_mode=eventfd
thread=1
bs=4k
[reader]
rw=randread
iodepth=8
[writer]
stonewall
rw=randwrite
libblkio_vectored
libblkio_num_entries=32
[trimmer]
stonewall
rw=randtrim
libblkio_write_zeroes_on_trim
libblkio_force_enable_completion_eventfd
libblkio_wait_mode=block
"""


class JobFiles(support.FioTest):
    def run_file(self, text: str) -> support.Run:
        path = self.scratch / "test.fio"
        path.write_text(text)
        return support.run_fio(str(path), cwd=self.scratch)

    def test_file_of_the_in_tree_engine(self) -> None:
        result = self.run_file(IN_TREE_JOB.format(engine=f"external:{support.LIBRARY}",
                                                  path=self.file, extra="num-entries=128"))
        self.assert_succeeds(result)
        blocks = self.FILE_SIZE // 4096
        self.assertEqual([job["jobname"] for job in result.jobs], ["reader", "writer", "trimmer"])
        for job, direction in zip(result.jobs, ("read", "write", "trim")):
            self.assertEqual(job[direction]["total_ios"], blocks)

    def test_filename_in_place_of_path(self) -> None:
        text = IN_TREE_JOB.format(engine=f"external:{support.LIBRARY}", path=self.file, extra="")
        self.assert_succeeds(self.run_file(text.replace("libblkio_path=", "filename=")))

    def test_path_wins_over_filename(self) -> None:
        result = support.run_job(rw="read", bs="4k", libblkio_driver="io_uring",
                                 libblkio_path=str(self.file), filename="just-a-name")
        self.assert_succeeds(result)
        self.assertEqual(result.job["read"]["total_ios"], self.FILE_SIZE // 4096)

    def test_colon_in_a_property(self) -> None:
        odd = self.file.rename(self.scratch / "with:colon")
        result = support.run_job(rw="read", bs="4k", libblkio_driver="io_uring", filename="label",
                                 libblkio_pre_connect_props=f"path={odd}".replace("h:c", "h\\:c"))
        self.assert_succeeds(result)

    def test_replay_of_a_log(self) -> None:
        log = self.scratch / "log"
        self.assert_succeeds(support.run_job(rw="randread", bs="4k", number_ios=50,
                                             write_iolog=str(log), **self.uring()))
        result = support.run_job(read_iolog=str(log), libblkio_driver="io_uring",
                                 libblkio_path=str(self.file))
        self.assert_succeeds(result)
        self.assertEqual(result.job["read"]["total_ios"], 50)

    def test_emulated_zones(self) -> None:
        """zonemode=zbd on what has no zones: fio emulates them."""
        result = support.run_job(rw="randwrite", bs="4k", zonemode="zbd", zonesize="256k",
                                 size="1m", io_size="1m", **self.uring())
        self.assert_succeeds(result)


class Together(support.FioTest):
    """Jobs of one process share the device."""

    def job_file(self, *sections: dict[str, Any], **common: Any) -> support.Run:
        arguments = []
        for index, section in enumerate(sections):
            arguments += [f"--name=job{index}",
                          *support.option_arguments({**common, **section})]
        return support.run_fio(*arguments, cwd=self.scratch)

    def test_jobs_end_at_different_times(self) -> None:
        result = self.job_file({"number_ios": 10, "iodepth": 1},
                               {"number_ios": 5000, "iodepth": 64},
                               {"number_ios": 300, "libblkio_wait_mode": "eventfd"},
                               {"number_ios": 2000, "libblkio_wait_mode": "loop"},
                               {"number_ios": 20, "startdelay": 1},
                               {"number_ios": 700, "stonewall": True, "numjobs": 3},
                               thread=True, rw="randread", bs="4k", io_size="1g",
                               **self.uring())
        self.assert_succeeds(result)
        self.assertEqual([job["read"]["total_ios"] for job in result.jobs],
                         [10, 5000, 300, 2000, 20, 700, 700, 700])

    def test_poll_queues_beside_normal_ones(self) -> None:
        result = self.job_file({"hipri": True, "number_ios": 1000},
                               {"number_ios": 50000},
                               {"hipri": True, "number_ios": 100, "numjobs": 2},
                               {"number_ios": 200, "stonewall": True},
                               {"hipri": True, "number_ios": 300, "stonewall": True},
                               thread=True, rw="randread", bs="4k", size="1g", norandommap=True,
                               libblkio_driver="null")
        self.assert_succeeds(result)
        self.assertEqual([job["read"]["total_ios"] for job in result.jobs],
                         [1000, 50000, 100, 100, 200, 300])

    def test_threads_and_processes_at_once(self) -> None:
        sections = [{"thread": index % 2 == 0} for index in range(8)]
        result = self.job_file(*sections, rw="randread", bs="4k", number_ios=500,
                               norandommap=True, **self.uring())
        self.assert_succeeds(result)
        self.assertEqual([job["read"]["total_ios"] for job in result.jobs], [500] * 8)

    def test_readers_share_with_writers(self) -> None:
        result = self.job_file({"rw": "randread"}, {"rw": "randwrite"}, {"rw": "randread"},
                               thread=True, bs="4k", number_ios=200, **self.uring())
        self.assert_succeeds(result)

    def test_set_up_by_each_thread(self) -> None:
        result = self.job_file({"numjobs": 4}, thread=True, create_serialize=0, rw="randread",
                               bs="4k", number_ios=100, **self.uring())
        self.assert_succeeds(result)
        self.assertEqual([job["read"]["total_ios"] for job in result.jobs], [100] * 4)

    def opens(self, **options: Any) -> int:
        """How often the jobs, once set up, open the file."""
        trace = self.scratch / "trace"
        result = support.run_job(prefix=["strace", "-f", "-qq", "-e", "trace=openat,fadvise64",
                                         "-o", str(trace)],
                                 rw="randread", bs="4k", number_ios=50, numjobs=4, direct=1,
                                 invalidate=0, **self.uring(**options))
        if "PTRACE" in result.output or "ptrace" in result.output:
            raise unittest.SkipTest(f"strace cannot trace here: {result.output}")
        self.assert_succeeds(result)
        # fio opens it, too, without O_CLOEXEC
        return sum(f'"{self.file}"' in line and "O_DIRECT" in line and "O_CLOEXEC" in line
                   for line in trace.read_text().splitlines())

    def test_threads_share_one_open_device(self) -> None:
        support.need_command("strace")
        set_up = 4  # each job's setup looks at the file
        self.assertEqual(self.opens(thread=True), set_up + 1)
        self.assertEqual(self.opens(thread=False), set_up + 4)


if __name__ == "__main__":
    support.main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Whatever is wrong fails the job: exit status above 0, and words that name it."""

from __future__ import annotations

import errno
import os
from typing import Any

import support


class Errors(support.FioTest):
    def fails(self, *words: str, **options: Any) -> None:
        with self.subTest(**options):
            job = {"rw": "randread", "bs": "4k", "number_ios": 10, "size": "1m", **options}
            self.assert_fails(support.run_job(**job), *words)

    def test_driver(self) -> None:
        self.fails("libblkio_driver", libblkio_pre_connect_props=f"path={self.file}")
        self.fails("no-such-driver", libblkio_driver="no-such-driver")

    def test_target(self) -> None:
        self.fails("/nonexistent", libblkio_driver="io_uring", libblkio_path="/nonexistent")
        self.fails(str(self.scratch), libblkio_driver="io_uring", filename=str(self.scratch))
        fifo = self.scratch / "fifo"
        os.mkfifo(fifo)
        self.fails(str(fifo), libblkio_driver="io_uring", libblkio_path=str(fifo))
        self.fails("path", libblkio_driver="null", libblkio_path="/dev/null")

    def test_several_files(self) -> None:
        self.fails("2 files", libblkio_driver="io_uring", libblkio_path=str(self.file), nrfiles=2)

    def test_properties(self) -> None:
        for option in ("libblkio_pre_connect_props", "libblkio_pre_start_props"):
            self.fails(option, "name=value", **self.uring(**{option: "nonsense"}))
            self.fails(option, "name=value", **self.uring(**{option: "=1"}))
            self.fails("no-such-property", **self.uring(**{option: "no-such-property=1"}))
        self.fails("num-entries", **self.uring(libblkio_pre_start_props="num-entries=many"))
        self.fails("num-entries", **self.uring(libblkio_num_entries=1000000))
        self.fails("queue-size", **self.uring(libblkio_queue_size=64))

    def test_combinations(self) -> None:
        self.fails("hipri", "eventfd", **self.uring(hipri=True, libblkio_wait_mode="eventfd"))
        self.fails("hipri", "eventfd",
                   **self.uring(hipri=True, libblkio_force_enable_completion_eventfd=True))
        self.fails("offload", **self.uring(io_submit_mode="offload"))

    def test_requests_that_libblkio_has_not(self) -> None:
        self.fails("atomic", **self.uring(atomic=1, rw="write"))
        for option in ({"fdp": 1}, {"dataplacement": "streams", "plids": 1}):
            if self.fio_knows(*option):
                self.fails("placement identifiers", **self.uring(rw="write", **option))

    def fio_knows(self, option: str, *_more: str) -> bool:
        done = support.run([*support.FIO, f"--cmdhelp={option}"])
        return "No such command" not in done.stdout + done.stderr

    def test_what_fio_does_to_files_that_it_opens(self) -> None:
        for option in ({"write_hint": "short"}, {"ioscheduler": "none"}):
            for target in ({"libblkio_path": str(self.file)},
                           {"libblkio_pre_connect_props": f"path={self.file}"}):
                self.fails(*option, "filename=", libblkio_driver="io_uring", rw="write",
                           **option, **target)

    def test_nothing_to_map(self) -> None:
        words = "libblkio_mapping=temporary", "does not need memory regions"
        self.fails(*words, libblkio_driver="null", size="1m", libblkio_mapping="temporary")
        self.fails(*words, "register-buffers",
                   **self.uring(libblkio_mapping="temporary",
                                libblkio_pre_start_props="register-buffers=false"))

    def test_device_that_cannot_poll(self) -> None:
        self.fails("poll", **self.uring(hipri=True, direct=0))

    def test_several_files_with_what_needs_one(self) -> None:
        pair = {"filename": f"{self.file}:{self.file}2"}
        self.fails("one file", **self.uring(libblkio_mapping="temporary", **pair))
        self.fails("one file", **self.uring(zonemode="zbd", zonesize="256k", **pair))

    def test_block_size(self) -> None:
        self.fails("bs=100", "request-alignment", **self.uring(direct=1, bs=100))
        self.fails("bs=100", "request-alignment", **self.uring(direct=1, rw="randwrite", bs=100))

    def test_read_only(self) -> None:
        self.fails("read-only", **self.uring(rw="randwrite",
                                             libblkio_pre_connect_props="read-only=true"))
        self.file.chmod(0o400)
        if os.geteuid() != 0:
            self.fails(str(self.file), **self.uring(rw="randwrite"))
        self.assert_succeeds(support.run_job(rw="read", bs="4k", **self.uring()))

    def test_failing_io_stops_the_job(self) -> None:
        """Writes work up to the limit of file sizes, and fail beyond."""
        limited = ["bash", "-c", 'trap "" XFSZ; ulimit -f 1024; exec "$@"', "limited"]
        for mode in ("block", "eventfd", "loop"):
            for iodepth in (1, 16):
                with self.subTest(mode=mode, iodepth=iodepth):
                    result = support.run_job(rw="write", bs="4k", prefix=limited, iodepth=iodepth,
                                             libblkio_wait_mode=mode, **self.uring())
                    self.assert_fails(result, "File too large", "offset=1048576", "libblkio")
                    self.assertEqual(result.job["error"], errno.EFBIG)

    def test_job_may_go_on(self) -> None:
        limited = ["bash", "-c", 'trap "" XFSZ; ulimit -f 1024; exec "$@"', "limited"]
        result = support.run_job(rw="write", bs="4k", prefix=limited, iodepth=16,
                                 continue_on_error="all",
                                 ignore_error=f",{errno.EFBIG}", **self.uring())
        self.assertEqual(result.job["total_err"], (self.FILE_SIZE - support.MIB) // 4096)

    def test_one_bad_job_does_not_stop_the_others(self) -> None:
        for thread in (False, True):
            with self.subTest(thread=thread):
                good = support.option_arguments({"rw": "randread", "bs": "4k", "number_ios": 100,
                                                 "thread": thread, **self.uring()})
                bad = support.option_arguments({"rw": "randread", "bs": "4k", "thread": thread,
                                                **self.uring(libblkio_num_entries=1000000)})
                result = support.run_fio("--name=good", *good, "--name=bad", *bad)
                self.assert_fails(result, "num-entries", "job bad")
                done = {job["jobname"]: job for job in result.jobs}
                self.assertEqual(done["good"]["error"], 0)
                self.assertEqual(done["good"]["read"]["total_ios"], 100)


if __name__ == "__main__":
    support.main()

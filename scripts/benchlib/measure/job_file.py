# SPDX-License-Identifier: MIT OR Apache-2.0
"""A job file of the user's own as the workload: who does the I/O, where and for how long is replaced.

Sections that fio would run at the same time are one case; a stonewall begins the next. What remains
of a section are the options that say what is done: rw, bs, iodepth, rates, distributions, ...

Standard library only: planning needs this before anything is installed.
"""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from .. import options
from ..errors import refuse
from . import fio

ALIASES = {"readwrite": "rw", "blocksize": "bs", "wait_for_previous": "stonewall"}
# Names, or beginnings of names with a *, that the comparison sets, or that an engine alone knows.
REPLACED = {
    "engine": ("ioengine", "hipri*", "fixedbufs", "registerfiles", "sqthread_poll*", "nonvectored",
               "uncached", "nowait", "force_async", "cmd_type", "userspace_reap", "libblkio_*", "uri",
               "hostname", "port", "protocol"),
    "place": ("filename*", "directory", "nrfiles", "openfiles", "file_service_type", "opendir",
              "filesize", "size", "offset*", "direct", "buffered", "allow_file_create",
              "allow_mounted_write", "fallocate", "create_*", "invalidate"),
    "time": ("runtime", "ramp_time", "time_based", "loops", "startdelay", "number_ios", "io_size",
             "steadystate*", "ss*", "exitall*", "stonewall", "new_group", "wait_for"),
    "report": ("name", "description", "group_reporting", "unified_rw_reporting", "write_*", "log_*",
               "per_job_logs", "disable_*", "gtod_*", "lat_percentiles", "clat_percentiles",
               "slat_percentiles", "percentile_list", "cpus_allowed*", "cpumask", "numa_*",
               "randseed", "randrepeat", "allrandrepeat"),
}
_PATTERN = re.compile("|".join(name.replace("*", ".*") for names in REPLACED.values()
                               for name in names))
_UNSAFE = re.compile(r"[^\w.+-]")  # in the name of a case
Options = dict[str, str]


@dataclass
class Group:
    """Jobs that run at the same time: one case."""

    name: str
    jobs: list[tuple[str, Options]] = field(default_factory=list)

    @property
    def writes(self) -> bool:
        return any(fio.writes(job.get("rw", "read")) for _, job in self.jobs)

    @property
    def numjobs(self) -> int:
        return sum(_whole(job, "numjobs") for _, job in self.jobs)

    @property
    def depth(self) -> int:
        """Of the first job."""
        return _whole(self.jobs[0][1], "iodepth")

    def block_sizes(self) -> list[int]:
        """Of every job that has one size only; the first one's first."""
        found = []
        for _, job in self.jobs:
            try:
                found.append(options.size(job.get("bs", "4k")))
            except argparse.ArgumentTypeError:
                found.append(4096)
        return found

    def sections(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """As fio.Job takes them."""
        return tuple((name, tuple(f"--{key}={value}" if value else f"--{key}"
                                  for key, value in job.items())) for name, job in self.jobs)


def read(path: Path) -> tuple[list[Group], list[str]]:
    """The groups of a job file, and which of its options are replaced."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise refuse(f"--job {path}: cannot read it: {error}") from error
    groups: list[Group] = []
    dropped: list[str] = []
    for name, job in _sections(path, text):
        if not groups or job.get("stonewall", "0") != "0":
            groups.append(Group(""))
        kept = {key: value for key, value in job.items() if not _PATTERN.fullmatch(key)}
        fio.check_workload(kept.get("rw", "read").partition(":")[0])
        dropped += [key for key in job if key not in kept]
        groups[-1].jobs.append((name, kept))
    if not groups:
        raise refuse(f"--job {path}: there is no job in it",
                     "A job is a [section] that is not called global.")
    for group in groups:
        group.name = _UNSAFE.sub("-", "+".join([path.stem, *(name for name, _ in group.jobs)])
                                 if len(groups) > 1 else path.stem)
    _distinct(path, groups)
    return groups, sorted(set(dropped))


def _distinct(path: Path, groups: list[Group]) -> None:
    names = [group.name for group in groups]
    for name in names:
        if names.count(name) > 1:
            raise refuse(f"--job {path}: two jobs would be called {name}", "Name the sections apart.")


def _sections(path: Path, text: str) -> list[tuple[str, Options]]:
    """Each job with the global options that precede it, in the order of the file."""
    common: Options = {}
    found: list[tuple[str, Options]] = []
    current: Options | None = None
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("include "):
            raise refuse(f"--job {path}: line {number}: include is not supported",
                         "Put the included lines into the file.")
        if heading := re.fullmatch(r"\[(.*)\]", line):
            name = heading[1].strip()
            current = common if name == "global" else dict(common)
            if current is not common:
                found.append((name, current))
            continue
        if current is None:
            raise refuse(f"--job {path}: line {number}: {line!r:.60} is in no section")
        key, equals, value = (part.strip() for part in line.partition("="))
        if not re.fullmatch(r"\w+", key):
            raise refuse(f"--job {path}: line {number}: {line!r:.60} is not an option of fio")
        current[ALIASES.get(key, key)] = value if equals else ""
    return [(name, {key: value if _PATTERN.fullmatch(key) else _expanded(path, value)
                    for key, value in job.items()}) for name, job in found]


def _expanded(path: Path, value: str) -> str:
    """With ${NAME} replaced from the environment, as fio does."""
    def known(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise refuse(f"--job {path}: the environment has no {match[1]}",
                         f"Set it: {match[1]}=VALUE scripts/bench ...")
        return os.environ[match[1]]

    return re.sub(r"\$\{(\w+)\}", known, value)


def _whole(job: Options, key: str) -> int:
    value = job.get(key, "1")
    if not value.isdigit() or int(value) == 0:
        raise refuse(f"--job: {key}={value}: not a whole number of 1 or more")
    return int(value)

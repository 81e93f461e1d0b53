#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
What queueing and blkioq_do_io() can come to call, by the call graph of the library as it was built:
nothing that maps memory, waits for anything but completions, or takes a lock that a control call
holds. Calls through pointers are those to submit(), enter() and abandon() of all drivers.

usage: hot_paths.py LIBBLKIO.so
"""

import re
import sys
from bisect import bisect_right
from pathlib import Path

from tap import ROOT, Tap, run, source_files

# Neither way may come to these.
NEVER = {
    "mmap", "munmap", "mremap", "mprotect", "memfd_create", "ftruncate",
    "open", "openat", "fopen", "socket", "connect", "sendmsg", "recvmsg",
    "ioctl", "nanosleep", "clock_nanosleep", "usleep", "sleep", "pthread_create", "pthread_join",
    "pthread_mutex_lock", "pthread_mutex_timedlock", "pthread_cond_wait", "pthread_cond_clockwait",
    "pthread_rwlock_rdlock", "pthread_rwlock_wrlock",
}
# Nor blkioq_read() and so on to these, which are for blkioq_do_io().
NOT_TO_QUEUE = {"ppoll", "poll", "read", "eventfd_read", "uring_register", "uring_enter",
                "sched_yield"}

# Calls that are not what they seem, by how the name of whoever is on the way there begins. A lock
# for moments is held for a few loads and stores.
ACCEPTED = {
    ("virtio_fail", "pthread_mutex_lock"): "for moments, and to be the first to abandon() a "
                                           "device that broke the rules",
    ("virtio_queue_catch_up", "pthread_mutex_lock"): "for moments",
    ("nvme_pci_fail", "pthread_mutex_lock"): "as virtio_fail",
    ("bk_set_gone", "pthread_mutex_lock"): "for moments",
    ("posix_lane", "pthread_mutex_lock"): "for moments: no thread sleeps with it",
    ("posix_pool_get_aio", "pthread_mutex_lock"): "for moments, and once for each queue",
    ("iscsi_brake", "pthread_mutex_lock"): "for moments, after a call that took too long",
    ("iscsi_brake_exit", "pthread_join"): "of a lost session: its thread waits for nothing else",
    ("file_check_blocks", "ioctl"): "of a request that failed: BLKSSZGET reads a field",
    ("net_kernel_tls_take", "recvmsg"): "a record that is there, and does not wait",
    ("net_plain_enter", "sendmsg"): "what fits, and does not wait",
    ("net_plain_enter", "recvmsg"): "what is there, and does not wait",
    ("iou_thread_begin", "pthread_create"): "once, for the first request that io_uring cannot do",
    ("iou_thread_begin", "run"): "in a thread of its own",
}

FUNCTION = re.compile(r"^([0-9a-f]+) <([^>]+)>:$")
JUMP = re.compile(r"^\s*[0-9a-f]+:\s+(?:call|bl|j\w+|b|b\.\w+|[ct]bn?z|lea)\s.*?([0-9a-f]+) <[^>]+>")
POINTED_TO = re.compile(r"(?:\.|->)(submit|enter)\s*=\s*(\w+)")
SUBMITS = re.compile(r"blkioq_(read|write|flush|discard|report|open|close|finish|reset)")


def is_accepted(way: list[str], name: str) -> bool:
    return any(name == call and function.startswith(caller)
               for caller, call in ACCEPTED for function in way)


class Graph:
    """Functions, each with those that it calls or jumps to; static ones may share a name."""

    def __init__(self, library: Path) -> None:
        listing = run(["objdump", "-d", "--no-show-raw-insn", library]).stdout.splitlines()
        found = [(int(m[1], 16), m[2]) for m in map(FUNCTION.match, listing) if m]
        found.sort()
        self.starts = [start for start, _ in found]
        # mmap64@plt is mmap(), and reap.cold part of reap()
        self.names = [re.split(r"64(?=@)|@|\.", name)[0] for _, name in found]
        self.outside = {i for i, (_, name) in enumerate(found) if "@plt" in name}
        self.calls: list[set[int]] = [set() for _ in found]
        self._read(listing)

    def _at(self, address: int) -> int:
        return bisect_right(self.starts, address) - 1

    def _read(self, listing: list[str]) -> None:
        current = 0
        for line in listing:
            function = FUNCTION.match(line)
            jump = JUMP.match(line)
            if function:
                current = self._at(int(function[1], 16))
            elif jump and current not in self.outside:
                self._add(current, int(jump[1], 16), whole=" lea " in line)

    def _add(self, current: int, address: int, whole: bool) -> None:
        """Whose address is taken is called. whole: else it is data that is not listed."""
        to = self._at(address)
        if not whole or self.starts[to] == address:
            self.calls[current].add(to)

    def ways(self, roots: set[str]) -> dict[str, list[str]]:
        """Each function that can be reached, with a way to it."""
        ways = {i: [name] for i, name in enumerate(self.names) if name in roots}
        todo = list(ways)
        while todo:
            at = todo.pop()
            for to in self.calls[at] - ways.keys():
                if is_accepted(ways[at], self.names[to]):
                    continue
                ways[to] = ways[at] + [self.names[to]]
                todo.append(to)
        return {self.names[i]: way for i, way in ways.items()}


def pointed_to() -> dict[str, set[str]]:
    """The functions that drivers and the core put into submit and enter pointers."""
    found: dict[str, set[str]] = {"submit": set(), "enter": set()}
    for path in source_files((".c", ".h")):
        if path.relative_to(ROOT).parts[0] in ("core", "drivers"):
            for pointer, name in POINTED_TO.findall(path.read_text()):
                found[pointer].add(name)
    return found


def problems(graph: Graph, roots: set[str], forbidden: set[str]) -> list[str]:
    ways = graph.ways(roots)
    return [" -> ".join(ways[name]) for name in sorted(forbidden & ways.keys())]


def main() -> None:
    graph = Graph(Path(sys.argv[1]))
    tap = Tap()
    pointers = pointed_to()
    submit = {name for name in graph.names if SUBMITS.match(name)} | pointers["submit"]
    do_io = {name for name in graph.names if name.startswith("blkioq_do_io")} | pointers["enter"]
    known = set(graph.names)

    tap.case("the graph is one", [f"there is no {name}" for name in
                                  {"blkioq_read", "iou_submit", "iou_enter", "mmap", "ioctl",
                                   *(call for _, call in ACCEPTED)} - known])
    tap.case("it knows ways", [] if "mmap" in graph.ways({"blkio_start"})
             else ["none from blkio_start() to mmap()"])
    tap.case("queueing", problems(graph, submit, NEVER | NOT_TO_QUEUE))
    tap.case("do_io", problems(graph, submit | do_io, NEVER))
    tap.finish()


if __name__ == "__main__":
    main()

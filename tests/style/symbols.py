#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
The symbols: what the shared library exports == the core's map == the prototypes in blkio.h,
plus fio's entry point where it is built in. And the rest of the binary interface: SONAME, no versions, no need
of fio.

usage: symbols.py LIBBLKIO.so
"""

import re
import sys
from pathlib import Path

from tap import ROOT, Tap, run

HEADER = ROOT / "core/include/blkio.h"
MAP = ROOT / "core/blkio.map"
FIO_ENTRY = "get_ioengine"
# The interface in the field has these many, and we add a few: docs/differences.md.
IN_THE_FIELD = 43
ADDED = {
    "blkio_add_poll_queue_async", "blkio_add_queue_async", "blkio_cancel", "blkio_connect_async",
    "blkio_control_result", "blkio_destroy_async", "blkio_drain", "blkio_get_control_fd",
    "blkio_get_device_config",
    "blkio_get_driver_name", "blkio_get_file_driver", "blkio_get_property_info",
    "blkio_get_vring_features", "blkio_list_exports",
    "blkio_map_mem_region_async",
    "blkio_remove_poll_queue_async", "blkio_remove_queue_async", "blkio_start_async",
    "blkio_start_vring", "blkio_start_vring_async", "blkio_stop_vring", "blkio_stop_vring_async",
    "blkio_unmap_mem_region_async", "blkioq_block_status", "blkioq_zone_append",
}


def header_functions() -> set[str]:
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S)
    return set(re.findall(r"\b(blkioq?_\w+)\s*\(", text))


def map_functions() -> set[str]:
    text = re.sub(r"/\*.*?\*/", "", MAP.read_text(), flags=re.S)
    exported = re.search(r"global:(.*?)local:", text, re.S)[1]
    return set(re.findall(r"(\w+)\s*;", exported))


def nm(library: Path, *options: str) -> list[list[str]]:
    return [line.split() for line in run(["nm", "-D", *options, library]).stdout.splitlines()]


def differences(one: str, ones: set[str], other: str, others: set[str]) -> list[str]:
    return ([f"in {one}, not in {other}: {name}" for name in sorted(ones - others)]
            + [f"in {other}, not in {one}: {name}" for name in sorted(others - ones)])


def fio_symbols(library: Path) -> list[str]:
    """Undefined symbols that no library provides must be weak: only fio has them."""
    done = run(["ldd", "-r", library])
    return [line.strip() for line in done.stdout.splitlines() if "undefined symbol" in line]


def main() -> None:
    library = Path(sys.argv[1])
    tap = Tap()
    header, mapped = header_functions(), map_functions()
    # without the tools of libraries that sanitizers add
    exported = {words[-1] for words in nm(library, "--defined-only")}

    tap.case("header == map", differences("blkio.h", header, "blkio.map", mapped))
    tap.case("exported == header",
             differences("the library", exported - {FIO_ENTRY}, "blkio.h", header))
    tap.case(f"{IN_THE_FIELD} functions and those added",
             [] if len(header - ADDED) == IN_THE_FIELD and ADDED <= header
             else [f"blkio.h has {len(header)}"])
    tap.case("no symbol versions",
             [name for name in exported if "@" in name])
    dynamic = run(["readelf", "-d", library]).stdout
    tap.case("SONAME is libblkio.so.1",
             [] if "soname: [libblkio.so.1]" in dynamic else [dynamic])
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    tap.case("needs the C library only",
             [name for name in needed
              if not re.match(r"(libc\.so|ld-linux|lib[a-z]*san\.so|libpthread|libm\.so)", name)])
    tap.case("loads without fio", fio_symbols(library))
    tap.note(f"fio's entry point is {'in' if FIO_ENTRY in exported else 'not in'} this build")
    tap.finish()


main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""blkio-info: complete, true, and the same as text and as JSON."""

import json
import os
import unittest
from pathlib import Path

from support import MIB, ToolTest, main, rings, run, tool

TYPES = {"bool": bool, "int": int, "uint64": int, "str": str}
STATES = ["created", "connected", "started"]


class Drivers(ToolTest):
    def test_every_driver_is_listed(self) -> None:
        self.assertEqual(sorted(self.succeeds("info").split()), sorted(os.environ["DRIVERS"].split()))

    def test_json_describes_every_property(self) -> None:
        drivers = json.loads(self.succeeds("info", "--properties", "--json"))
        self.assertEqual([d["name"] for d in drivers], self.succeeds("info").split())
        for driver in drivers:
            self.assertGreater(len(driver["properties"]), 25)
            for name, prop in driver["properties"].items():
                with self.subTest(driver=driver["name"], property=name):
                    self.assertIn(prop["type"], TYPES)
                    self.assertEqual(prop["readable"], STATES[STATES.index(prop["readable"][0]):])
                    self.assertLessEqual(len(prop["writable"]), 1)
                    self.assertTrue(prop["doc"].endswith("."))
                    self.assertNotIn("value", prop)

    def test_text_has_the_same_properties(self) -> None:
        for driver in json.loads(self.succeeds("info", "--json")):
            for options in ([], ["--properties"]):
                lines = self.succeeds("info", *options, driver["name"]).splitlines()
                names = [line.split()[0] for line in lines if line[:2] == "  " and line[2] != " "]
                self.assertEqual(names, list(driver["properties"]))

    def test_wrong_usage(self) -> None:
        self.fails("info", "nul", status=2, says="null")
        self.fails("info", "nul", status=2, says="io_uring")
        self.fails("info", "null", "capacity", status=2, says="PROPERTY=VALUE")
        self.fails("info", "null:color=red", status=2, says='"color"')
        self.fails("info", "null:driver=x", status=2, says="cannot be set")
        self.fails("info", "null:capacity=much", says='"much"')
        self.fails("info", "/no/such/file", says="No such file")
        self.fails("info", "--nonsense", status=2, says="--nonsense")
        self.fails("info", "--list", status=2, says="TARGET")
        self.fails("info", "--list", "--properties", "nbd", status=2, says="combined")
        self.fails("info", "--list", "nbd", says='"uri"')
        self.fails("info", "--list", "null", says="null")
        self.fails("info", "--discover", "null", says="null")

    def test_output_that_cannot_be_written(self) -> None:
        with open("/dev/full", "w", encoding="ascii") as full:
            self.fails("info", "--json", stdout=full, says="No space left")

    def test_closed_standard_descriptors(self) -> None:
        """What is opened must not become standard output, which would then go to the disk."""
        for driver in ("posix",) if rings.why_not() else ("posix", "io_uring"):
            path = self.file("disk", size=MIB)
            command = f'exec "{tool("info")}" --properties {driver}:path="{path}"'
            done = run("/bin/sh", "-c", f"{command} >&-")
            self.assertEqual(done.returncode, 1)
            self.assertIn("cannot write to standard output", done.stderr)
            for closed in ("<&-", "2>&-", "<&- 2>&-", "<&- >&- 2>&-"):
                run("/bin/sh", "-c", f"{command} {closed}")
            self.assertEqual(path.read_bytes(), bytes(MIB))


class Targets(ToolTest):
    def values(self, *arguments: str | Path) -> dict:
        described = json.loads(self.succeeds("info", "--json", *arguments))
        for name, prop in described["properties"].items():
            self.assertIs(type(prop["value"]), TYPES[prop["type"]], name)
        return {name: prop["value"] for name, prop in described["properties"].items()}

    def test_file(self) -> None:
        path = self.file("disk", size=3 * MIB + 1)
        values = self.values(path)
        self.assertEqual(values["driver"], "posix" if rings.why_not() else "io_uring")
        self.assertEqual(values["capacity"], 3 * MIB + 1)
        self.assertEqual(values["path"], str(path))
        self.assertEqual(self.values(f"io_uring:path={path}")["capacity"], 3 * MIB + 1)
        self.assertEqual(self.values("io_uring", f"path={path}")["capacity"], 3 * MIB + 1)
        self.assertEqual(path.stat().st_size, 3 * MIB + 1)

    def test_text_has_the_same_values(self) -> None:
        target = f"io_uring:path={self.file('disk', size=MIB)},num-entries=64"
        wanted = self.values(target)
        for line in self.succeeds("info", target).splitlines()[1:]:
            name, _, value = line.strip().partition(" ")
            want = wanted.pop(name)
            if name != "fd":
                self.assertEqual(value.strip(), str(want).lower() if want in (True, False)
                                 and isinstance(want, bool) else str(want))
        self.assertEqual(wanted, {})

    def test_units_and_commas(self) -> None:
        self.assertEqual(self.values("null:capacity=3G")["capacity"], 3 << 30)
        self.assertEqual(self.values("null", "capacity=7MiB")["capacity"], 7 << 20)
        odd = self.file("a,b=c:d", size=5)
        path = str(odd).replace(",", ",,")
        self.assertEqual(self.values(f"io_uring:path={path},num-entries=4")["capacity"], 5)

    def test_block_device(self) -> None:
        device = self.loop(self.file("disk", size=MIB))
        values = self.values(f"io_uring:path={device},direct=true")
        queue = Path("/sys/block", Path(device).name, "queue")
        self.assertEqual(values["capacity"], MIB)
        self.assertEqual(values["optimal-io-alignment"],
                         int((queue / "physical_block_size").read_text()))
        self.assertFalse(values["can-grow"])

    def test_list(self) -> None:
        target = self.nbd(self.file("disk", size=2 * MIB))
        self.assertEqual(self.succeeds("info", "--list", target).split(), ['""', str(2 * MIB)])
        self.assertEqual(json.loads(self.succeeds("info", "--list", "--json", target)),
                         [{"name": "", "size": 2 * MIB, "description": ""}])

    def test_vhost_user(self) -> None:
        values = self.values(self.vhost_user(self.file("disk", size=2 * MIB)))
        self.assertEqual(values["capacity"], 2 * MIB)
        self.assertEqual(values["max-queues"], 4)
        self.assertTrue(values["needs-mem-regions"])


if __name__ == "__main__":
    main(with_rings=False)

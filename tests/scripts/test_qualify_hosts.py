#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""scripts/bench qualify --hosts, on machines in network namespaces, each with a disk of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

from machines import Machines, abandoned
from support import BENCH, bench_here, build_folder, main, program
from benchlib.hosts import overview
from benchlib.qualify.model import Qualification

MIB = 1 << 20
HOSTS = ["one", "two", "three"]


class QualifyHosts(unittest.TestCase):
    def setUp(self) -> None:
        self.build = build_folder()
        folder = tempfile.TemporaryDirectory(dir=self.build)
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.output, self.own = self.folder / "result", self.folder / "own"
        self.environment = dict(os.environ)

    def machines(self, *names: str) -> Machines:
        made = Machines(list(names), self.own)
        self.addCleanup(made.close)
        return made

    def command(self, machines: Machines, hosts: str, *arguments: str) -> list[str]:
        return [str(BENCH), "qualify", "--hosts", hosts, "--ssh", machines.ssh, "--library",
                str(self.build / "libblkio.so"), *arguments]

    def on_made_files(self, steps: str) -> list[str]:
        return [str(self.own / "disk"), "--scale", "0.02", "--steps", steps, "--output",
                str(self.output)]

    def qualify(self, machines: Machines, hosts: str, *arguments: str, status: int) -> str:
        done = subprocess.run(self.command(machines, hosts, *arguments), capture_output=True,
                              text=True, timeout=250, env=self.environment)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def states(self, found: Qualification) -> list[str]:
        return [step.state for step in found.steps]

    def before_reading_back(self, host: str, command: str) -> None:
        """Run a command before fio reads back what it wrote at random on hosts that match."""
        script = f"""fio={shutil.which('fio')}
            for file; do :; done
            case "$file" in */{host}.fio)
                if grep -q ^rw=randread "$file" && grep -q ^verify= "$file"; then
                    {command}
                fi ;;
            esac
            exec $fio "$@\""""
        wrapper = program(self, "fio", script)
        self.environment["PATH"] = f"{wrapper.parent}:{os.environ['PATH']}"

    def spoil(self, machines: Machines, host: int) -> None:
        disk = machines.disk(HOSTS[host]) / "disk"
        self.before_reading_back(str(host), f"dd if=/dev/urandom of={disk} bs=1 seek=5000000 "
                                 "count=9 conv=notrunc 2>&-")

    def test_each_and_all(self) -> None:
        """A disk, one with wrong data, one whose data nobody gave up, a host that is not there."""
        machines = self.machines(*HOSTS)
        self.spoil(machines, 1)
        precious = machines.disk("three") / "disk"
        precious.write_bytes(bytes(16 * MIB))
        said = self.qualify(machines, ",".join([*HOSTS, "no-such-host"]),
                            *self.on_made_files("fill,integrity"), status=3)
        self.assertIn("no-such-host is left out: ", said)
        self.assertRegex(said, "three is left out: qualifying writes over .*\n.*--destroy 'disk'")
        self.assertEqual(precious.read_bytes(), bytes(16 * MIB))
        self.assertIn("two:     WRONG DATA: ", said)
        self.assertRegex(said, "(?m)^FAILED: .* is qualified on 0 of 4 hosts. Lost or left out: "
                         "three, no-such-host.$")
        made = overview.read(self.output)
        self.assertEqual({name: one.verdict for name, one in made.found.items()},
                         {"one": "measured", "two": "failed"})
        for name, found in made.found.items():
            self.assertEqual(self.states(found), ["done"] * 2)
            self.assertEqual(found.steps[0].written, 32 * MIB)
            self.assertIn(name, "\n".join(made.record.notes))
            self.assertFalse((machines.disk(name) / "disk").exists())
        fill = overview.together(made)[0]
        self.assertEqual((fill.step, fill.hosts), ("fill", ["one", "two"]))
        self.assertAlmostEqual(fill.iops, sum(one.steps[0].cells[0].iops
                                              for one in made.found.values()))
        page = (self.output / "report.html").read_text()
        for words in ("on 4 hosts", "All hosts together", "Could not resolve", "two: disk"):
            self.assertIn(words, page)
        subprocess.run([BENCH, "report", self.output, "--output", self.folder / "again.html"],
                       check=True, capture_output=True)
        self.assertEqual((self.folder / "again.html").read_text().count("<h1"),
                         page.count("<h1"))
        self.assertEqual(abandoned(), [])
        with precious.open("r+b"):
            said = self.qualify(machines, "three", str(self.own / "disk"), "--dry-run", status=2)
        self.assertIn("open for writing", said)
        self.assertIn("Plan: profile smoke", said)
        code, said = bench_here(self.command(machines, "one", "disk")[1:])
        self.assertEqual((code, "Begin it with a /" in said), (2, True))

    def until(self, process: "subprocess.Popen[str]", begin: str) -> None:
        assert process.stderr
        said = ""
        while not (line := process.stderr.readline()).startswith(begin):
            said += line
            self.assertTrue(line, f"it never said {begin!r}, but:\n{said}")

    def start(self, machines: Machines, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(self.command(machines, "one,two", *arguments), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env=self.environment)

    def test_interrupted_and_resumed_then_one_dies(self) -> None:
        machines = self.machines("one", "two")
        slow = self.folder / "slow"
        slow.touch()
        self.before_reading_back("*", f"[ ! -e {slow} ] || exec sleep 100")
        process = self.start(machines, *self.on_made_files("fill,integrity"))
        self.until(process, "one: [2/2]")
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 130, said)
        before = overview.read(self.output).found["one"]
        self.assertEqual(self.states(before), ["done", "partial"])
        self.assertTrue((machines.disk("one") / "disk").exists())

        slow.unlink()
        process = self.start(machines, "--resume", str(self.output))
        self.until(process, "two: [2/2]")
        machines.kill("two")
        said = process.communicate(timeout=240)
        self.assertEqual(process.returncode, 1, said)
        made = overview.read(self.output)
        self.assertEqual(self.states(made.found["one"]), ["done"] * 2)
        self.assertEqual((made.found["one"].steps[0], len(made.found["one"].sittings)),
                         (before.steps[0], 2))
        self.assertEqual(self.states(made.found["two"]), ["done", "failed"])
        self.assertEqual([host.name for host in made.record.hosts if host.lost], ["two"])
        for path in abandoned():
            shutil.rmtree(path)  # of the machine that died
        done = subprocess.run(self.command(machines, "one", "--resume", str(self.output)),
                              capture_output=True, text=True)
        self.assertEqual((done.returncode, "all its steps are done" in done.stderr), (2, True))
        self.assertEqual(overview.read(self.output), made)


if __name__ == "__main__":
    main()

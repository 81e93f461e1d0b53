#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Many machines at once, in network namespaces: each by itself, all together, one that dies."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from machines import Machines, abandoned
from support import BENCH, bench_here, build_folder, main, sample
from benchlib.errors import BenchError
from benchlib.hosts import merge, remote
from benchlib.result import storage
from benchlib.result.model import Case, Histogram
from benchlib.stats.summaries import summarise

HOSTS = ["one", "two", "three"]


def of(host: str, mean: float, round_: int = 0) -> object:
    return sample(case=Case(host, "randread", 512, 1, 1), mean=mean, round=round_, ios=100,
                  iops=1e9 / mean, latency=Histogram([int(mean)], [100]))


class Merged(unittest.TestCase):
    def test_together(self) -> None:
        both = [of("a", 1000.0), of("b", 3000.0), of("a", 1000.0, 1)]
        merged, = merge.together(both, ["a", "b"])  # of the second round b is missing
        self.assertEqual((merged.case.target, merged.ios, merged.mean), ("all hosts", 200, 2000.0))
        self.assertAlmostEqual(merged.iops, 1e6 + 1e9 / 3000)
        self.assertEqual(merged.latency, Histogram([1000, 3000], [100, 100]))
        self.assertEqual(merge.together(both, ["a"]), [])

    def test_outliers_are_named(self) -> None:
        def named(*means: float) -> str:
            return "\n".join(merge.outliers(summarise(
                [of(f"h{i}", mean) for i, mean in enumerate(means)], {}, 1)))

        self.assertIn("h3 stands out: mean latency +50% from the median", named(100, 101, 99, 150, 100))
        self.assertIn("h3 stands out: IOPS -33%", named(100, 101, 99, 150, 100))
        self.assertEqual(named(100, 101, 99, 104, 100), "")  # too close to matter
        self.assertEqual(named(100, 200), "")  # of two, which?

    def test_names_of_hosts(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "hosts")
            file.write_text("# rack 7\na\n\nroot@b \n")
            self.assertEqual(remote.names(str(file)), ["a", "root@b"])
        self.assertEqual(remote.names("a, b,a"), ["a", "b"])
        for text in ("-oProxyCommand=x", "a,b c", "a;b", "", ","):
            with self.subTest(text), self.assertRaises(BenchError):
                remote.names(text)


class Real(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.build = build_folder()
        cls.machines = Machines(HOSTS)
        cls.addClassCleanup(cls.machines.close)
        folder = tempfile.TemporaryDirectory(dir=cls.build)
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        (cls.folder / "target").write_bytes(bytes(4 << 20))

    def command(self, hosts: str, *arguments: object) -> list[str]:
        return [str(word) for word in (
            BENCH, "--hosts", hosts, "--ssh", self.machines.ssh, "--target", self.folder / "target",
            "--library", self.build / "libblkio.so", "--buffered", "--rounds", 2, "--runtime", 0.05,
            "--depth", 1, "--output", self.folder / self.id(), *arguments)]

    def bench(self, hosts: str, *arguments: object, status: int = 0) -> str:
        done = subprocess.run(self.command(hosts, *arguments), capture_output=True, text=True,
                              timeout=240)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def left_behind(self, name: str) -> list[str]:
        """What runs on a machine but for its ssh server."""
        found = [Path(f"/proc/{number}/comm").read_text().strip()
                 for number in self.machines.processes(name)]
        return [comm for comm in found if comm != "sshd"]

    def test_each_and_all(self) -> None:
        said = self.bench(",".join([*HOSTS, "no-such-host"]), status=1)
        self.assertIn("no-such-host is left out", said)
        made = storage.read(self.folder / self.id())
        self.assertEqual({(s.case.target, s.engine) for s in made.samples}, {
            (host, engine) for host in [*HOSTS, "all hosts"] for engine in ("native", "block")})
        self.assertEqual(len(made.samples), 16)
        for number in range(2):
            rates = {s.case.target: s.iops for s in made.samples
                     if (s.engine, s.round) == ("block", number)}
            self.assertAlmostEqual(rates.pop("all hosts"), sum(rates.values()))
        self.assertEqual({row.engine for row in made.summaries if row.ratio}, {"block"})
        notes = "\n".join(made.environment.notes)
        for host in HOSTS:
            self.assertRegex(notes, rf"{host}: .*fio-.*clock [+-]0\.\d\d s")
        page = (self.folder / self.id() / "report.html").read_text()
        for words in ("all hosts", "no-such-host"):
            self.assertIn(words, page)
        for host in HOSTS:
            self.assertEqual(self.left_behind(host), [])
        self.assertEqual(abandoned(), [])

    def test_a_host_that_dies_costs_itself_only(self) -> None:
        machines = Machines(["dying", "living"])
        self.addCleanup(machines.close)
        command = self.command("dying,living", "--rounds", 6, "--modes", "native")
        command[command.index("--ssh") + 1] = machines.ssh
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stderr
        for line in process.stderr:
            if re.search(r"round 2/6", line):
                break
        machines.kill("dying")
        said = process.communicate(timeout=240)
        self.assertEqual(process.returncode, 1, said)
        made = storage.read(self.folder / self.id())
        rounds = {host: len([s for s in made.samples if s.case.target == host])
                  for host in ("dying", "living", "all hosts")}
        self.assertEqual(rounds["living"], 6)
        self.assertLess(rounds["dying"], 6)
        self.assertEqual(rounds["all hosts"], 0)
        self.assertEqual([skip.target for skip in made.skips], ["dying"])
        for path in abandoned():
            shutil.rmtree(path)  # of the machine that died

    def test_what_a_host_lacks_is_told(self) -> None:
        said = self.bench("one", "--library", "/none/libblkio.so", status=1)
        self.assertIn("cannot load /none/libblkio.so", said)
        for change, words in ({"fio": "/none/fio"}, "fio cannot be run"), \
                ({"target": "/none/no-file"}, "No such file"):
            asked = {"target": str(self.folder / "target"), "library": "", "fio": "fio", **change}
            found = remote.facts(self.machines.ssh.split(), "one", **asked)
            self.assertIn(words, found.obstacle)

    def test_refusals(self) -> None:
        for arguments, words in ((["--rw", "randwrite"], "only reads are allowed"),
                                 (["--modes", "nbd-block"], "not on other machines"),
                                 (["--rw", "dance"], "no such workload"),
                                 (["--target", "disk.img"], "Begin it with a /"),
                                 (["--hosts", "a;b"], "not the name of a host")):
            with self.subTest(words):
                code, errors = bench_here(self.command("one", *arguments)[1:])
                self.assertEqual(code, 2, errors)
                self.assertIn(words, errors)


if __name__ == "__main__":
    main()

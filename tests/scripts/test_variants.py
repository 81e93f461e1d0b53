#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Several builds and fios in one comparison, who is compared with whom; stored results."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

from support import BENCH, build_folder, main, program, sample
from test_results import result
from benchlib import prepare
from benchlib.compare import table, unpaired
from benchlib.errors import BenchError
from benchlib.measure import older, variants
from benchlib.result import storage


def who(modes: list[str], builds: list[str], fios: list[str] = [], baseline: str = "native"
        ) -> dict[str, str]:
    """Who takes part, and whom each is compared with."""
    among = variants.builds(builds, fios)
    found = variants.variants(modes, baseline, among, several=len(among) > 1)
    return {variant.engine.name: variant.against for variant in found}


class Variants(unittest.TestCase):
    def test_one_build_keeps_the_plain_names(self) -> None:
        self.assertEqual(who(["block", "loop"], []),
                         {"native": "", "block": "native", "loop": "native"})

    def test_libblkio_1_5_has_a_fio_of_its_own(self) -> None:
        found = variants.variants(["native-vhost"], "", variants.builds([], []), several=False)
        self.assertEqual({one.engine.name: (one.fio, one.against) for one in found}, {
            "native-nbd": ("fio", ""), "native-vhost": (older.FIO, "native-nbd")})

    def test_like_is_compared_with_like(self) -> None:
        """Who needs a server is compared with who needs it, too."""
        self.assertEqual(who(["block", "vhost-block", "nbd-loop"], [], baseline=""), {
            "native": "", "native-nbd": "", "block": "native", "vhost-block": "native-nbd",
            "nbd-loop": "native-nbd"})
        self.assertEqual(who(["vhost-block"], [], baseline=""),
                         {"native-nbd": "", "vhost-block": "native-nbd"})
        self.assertEqual(who(["vhost-block"], []), {"native": "", "vhost-block": "native"})
        among = variants.builds([], [])
        for found in variants.variants([], "", among, several=False):
            server = found.engine.name.removeprefix("native-").startswith(("vhost", "nbd"))
            self.assertEqual("nbd" in (found.against or found.engine.name), server, found)

    def test_another_baseline(self) -> None:
        self.assertEqual(who(["block", "loop"], [], baseline="block")["loop"], "block")

    def test_builds_are_compared_mode_by_mode(self) -> None:
        self.assertEqual(who(["block", "loop"], ["a=x", "b=y", "c=z"]), {
            "block@a": "", "loop@a": "", "block@b": "block@a", "loop@b": "loop@a",
            "block@c": "block@a", "loop@c": "loop@a"})

    def test_fios_own_engine_takes_part_once_when_asked_for(self) -> None:
        self.assertEqual(who(["native", "block"], ["a=x", "b=y"]), {
            "native@a": "", "block@a": "native@a", "block@b": "block@a"})

    def test_two_fios(self) -> None:
        sh, true = shutil.which("sh"), shutil.which("true")
        self.assertEqual(who(["native"], [], [f"old={sh}", f"new={true}"]),
                         {"native@old": "", "native@new": "native@old"})
        [first, second] = variants.builds(["a=x", "b=y"], [f"b={true}"])
        self.assertEqual((first.fio, second.fio), ("fio", true))
        [only] = variants.builds([], [str(true)])
        self.assertEqual(only.fio, true)

    def test_refusals(self) -> None:
        for builds, fios, words in (
                (["x/build", "y/build"], [], "one called build already"),
                (["a@b=x"], [], "must be NAME=PATH"), (["=x"], [], "must be NAME=PATH"),
                ([], ["no-such-fio"], "no such program")):
            with self.subTest(builds=builds), self.assertRaisesRegex(BenchError, words):
                variants.builds(builds, fios)

    def test_a_fio_that_cannot_load_the_engine_is_refused_with_the_remedy(self) -> None:
        build = build_folder()
        other = program(self, "fio", "echo 'fio: bad ioops version' >&2; exit 1")
        with self.assertRaises(BenchError) as caught:
            prepare.check_engine(build, str(other))
        self.assertIn("bad ioops version", str(caught.exception))
        self.assertIn("-Dfio_source=", str(caught.exception))

    def test_two_builds_for_real(self) -> None:
        build = str(build_folder())
        with tempfile.TemporaryDirectory(dir=build) as name:
            output = Path(name, "out")
            done = subprocess.run(
                [BENCH, "compare", "--no-build", "--build", f"a={build}", "--build", f"b={build}",
                 "--modes", "block", "--target", "page-cache", "--size", "4m", "--depth", "2",
                 "--bs", "4k", "--rw", "randread,randrw:70", "--numjobs", "1,2", "--rounds", "2",
                 "--runtime", "0.05", "--quick", "--output", output],
                capture_output=True, text=True, timeout=240)
            self.assertEqual(done.returncode, 0, done.stderr)
            found = storage.read(output)
        self.assertEqual(len({one.case for one in found.samples}), 4)
        self.assertEqual([c.against for c in found.engines], ["", "block@a"])
        self.assertIn("page-cache, 4 KiB random reads and writes, 70 % reads, depth 2, 2 jobs: "
                      "libblkio, blocking (b) is at", done.stdout)
        self.assertEqual(table.render(found) in done.stdout, True)


class Stored(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        first = result()
        slower = [replace(one, mean=one.mean * 1.2) if one.engine == "block" else one
                  for one in first.samples]
        other = replace(first, samples=slower,
                        environment=replace(first.environment, kernel="Linux 6.2"))
        for name, value in (("old", first), ("new", other)):
            (self.folder / name).mkdir()
            storage.write(self.folder / name, value)

    def compare(self, *names: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([BENCH, "compare", *(str(self.folder / name) for name in names)],
                              capture_output=True, text=True)

    def test_two_results(self) -> None:
        done = self.compare("old", "new")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.startswith("UNPAIRED comparison"))
        self.assertIn("kernel: Linux 6.1 -> Linux 6.2", done.stdout)
        self.assertRegex(done.stdout, r"block: 905 ns -> 1\.09 µs, 1\.20\d .*: slower")
        self.assertRegex(done.stdout, r"native: 1\.00 µs -> 1\.00 µs, 1\.000 .*no difference")

    def test_refusals(self) -> None:
        for names, words in ((["old"], "nothing to be compared with"),
                             (["old", "none"], "cannot read")):
            done = self.compare(*names)
            self.assertEqual((done.returncode, words in done.stderr), (2, True), done.stderr)

    def test_nothing_in_common(self) -> None:
        first = result()
        other = replace(first, samples=[sample(engine="eventfd")])
        with self.assertRaisesRegex(BenchError, "no case and mode in common"):
            unpaired.shifts({"a": first, "b": other})


if __name__ == "__main__":
    main()

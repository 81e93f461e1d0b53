#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What users read and type: --help, the manual pages and bash's completion agree, and work."""

import json
import os
import re
import shlex
import socket
import tempfile
import unittest
from pathlib import Path

from support import SOURCE_DIR, BUILD_DIR, ToolTest, main, need_command, rings, run, tool

TOOLS = ("bench", "copy", "info")
COMPLETION = SOURCE_DIR / "tools/completion/blkio-tools.bash"


def page(name: str) -> Path:
    return SOURCE_DIR / "docs/man" / f"blkio-{name}.1"


PAGES = [page(name) for name in TOOLS] + [BUILD_DIR / "docs/blkio.3"]


def options_of_help(text: str) -> set[tuple[str, str]]:
    """Each with its letter; one without has ""."""
    return set(re.findall(r"^ +(?:-(\w), )?--([a-z-]+)", text, re.M))


def options_of_page(text: str) -> set[tuple[str, str]]:
    items = re.findall(r"^\.It Fl (\w) (?:Ar \w+ )?((?: ?, Fl -[a-z-]+)+)", text, re.M)
    return {("" if i else letter, name) for letter, names in items
            for i, name in enumerate(re.findall(r"Fl -([a-z-]+)", names))}


class Help(ToolTest):
    def test_help_and_version(self) -> None:
        for name in TOOLS:
            text = self.succeeds(name, "--help")
            self.assertTrue(text.startswith(f"usage: blkio-{name} "))
            self.assertEqual([line for line in text.splitlines() if len(line) > 96], [])
            self.assertRegex(self.succeeds(name, "--version"), rf"^blkio-{name} .* \d+\.\d+\.\d+\n$")

    def test_every_option_of_help_is_one(self) -> None:
        for name in TOOLS:
            for short, long in options_of_help(self.succeeds(name, "--help")):
                for option in ([f"-{short}"] if short else []) + [f"--{long}"]:
                    done = run(tool(name), option, "--help")
                    self.assertNotIn("invalid option", done.stderr)
                    self.assertNotIn("unrecognized option", done.stderr)

    def test_pages_have_the_options_of_help(self) -> None:
        for name in TOOLS:
            of_help = options_of_help(self.succeeds(name, "--help"))
            self.assertGreaterEqual(len(of_help), 4)
            self.assertEqual(of_help, options_of_page(page(name).read_text()))


class Pages(unittest.TestCase):
    def test_mandoc_has_no_complaints(self) -> None:
        need_command("mandoc")
        for path in PAGES:
            done = run("mandoc", "-T", "lint", "-W", "warning", path)
            self.assertEqual(done.stdout + done.stderr, "")

    def test_groff_has_no_complaints(self) -> None:
        need_command("groff")
        for path in PAGES:
            done = run("groff", "-mandoc", "-ww", "-z", "-Tutf8", path)
            self.assertEqual(done.stderr, "")


    def test_the_library_has_all_of_its_functions(self) -> None:
        text = PAGES[-1].read_text()
        header = (SOURCE_DIR / "core/include/blkio.h").read_text()
        header = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
        for function in re.findall(r"\bblkioq?_\w+(?=\()", header):
            self.assertIn(f"{function}(", text)

    def test_the_library_has_all_of_its_properties(self) -> None:
        text = PAGES[-1].read_text()
        for driver in json.loads(run(tool("info"), "--properties", "--json").stdout):
            for name, prop in driver["properties"].items():
                escaped = name.replace("-", r"\-")
                self.assertIn(f".It {escaped} ({prop['type']};", text)


@unittest.skipIf(rings.why_not(), rings.why_not())
class Examples(ToolTest):
    """What the manual page shows."""

    def example(self, name: str, *arguments: str | Path) -> str:
        done = run(BUILD_DIR / "docs" / f"example_{name}", *arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_read(self) -> None:
        path = self.file("words", b"sixteen letters and more")
        self.assertEqual(self.example("read", path), "sixteen letters ")

    def test_event_loop(self) -> None:
        path = self.file("blocks", bytes(100 * 4096))
        self.assertEqual(self.example("event_loop", path), "100 blocks\n")

    def test_hot_plug_of_a_dead_server(self) -> None:
        """Another disk goes on meanwhile, for as many reads as the program likes."""
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
            disk, path = Path(folder, "disk"), Path(folder, "socket")
            disk.write_bytes(bytes(4096))
            server.bind(str(path))
            server.listen()
            said = self.example("hot_plug", disk, path)
            self.assertRegex(said, r"^GET_FEATURES: blkio_cancel\(\) ended .* after \d+ reads\n$")
            self.assertGreaterEqual(int(said.split()[-2]), 10000)


    def test_emulator(self) -> None:
        """A guest's requests are served on both paths, and none is lost at a switch."""
        path = self.vhost_user(self.file("disk", b"", 1 << 20)).split("path=")[1]
        said = self.example("emulator", path, "100")
        self.assertRegex(said, r"^slow: 1000 reads, .* us each\nfast: 900 reads, .* us each\n$")


class Completion(ToolTest):
    def complete(self, line: str) -> list[str]:
        """What bash offers at the end of this line."""
        script = f"""
            compopt() {{ :; }}  # works only while the user types
            source {shlex.quote(str(COMPLETION))}
            COMP_LINE=$1 COMP_POINT=${{#1}}
            _blkio_tool ${{1%% *}} && printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        env = {**os.environ, "LC_ALL": "C", "PATH": f"{BUILD_DIR / 'tools'}:{os.environ['PATH']}"}
        done = run("bash", "-c", script, "bash", line, env=env, cwd=self.scratch)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_options(self) -> None:
        for name in TOOLS:
            wanted = {long for _, long in options_of_help(self.succeeds(name, "--help"))}
            offered = {word.strip("-=") for word in self.complete(f"blkio-{name} --")}
            self.assertEqual(offered, wanted)
        self.assertEqual(self.complete("blkio-bench --wait="), ["block", "eventfd", "loop", "poll"])
        self.assertEqual(self.complete("blkio-bench --rw=randw"), ["randwrite"])

    def test_drivers_and_properties(self) -> None:
        self.assertEqual(self.complete("blkio-info io_u"), ["io_uring:"])
        self.assertEqual(self.complete("blkio-info nul"), ["null"])
        self.assertEqual(self.complete("blkio-copy io_uring:pat"), ["path="])
        self.assertEqual(self.complete("blkio-copy io_uring:dir"), ["direct="])
        self.assertEqual(self.complete("blkio-copy x io_uring:direct=t"), ["true"])
        self.assertNotIn("capacity=", self.complete("blkio-info io_uring:"))

    def test_paths(self) -> None:
        self.file("disk.img")
        self.assertEqual(self.complete("blkio-info io_uring:path=di"), ["disk.img"])
        self.assertEqual(self.complete("blkio-info ./di"), ["./disk.img"])
        self.assertEqual(self.complete("blkio-info di"), ["./disk.img"])

    def test_after_a_comma(self) -> None:
        """bash replaces what is behind the last equals sign, so that has to come with it."""
        self.assertEqual(self.complete("blkio-info io_uring:path=a,dir"), ["a,direct="])
        self.assertEqual(self.complete("blkio-info io_uring:direct=true,pa"), ["true,path="])


if __name__ == "__main__":
    main(with_rings=False)

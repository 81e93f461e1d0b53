#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""How fio finds the engine: by name once installed, by path, and not when it is another fio. And
that programs other than fio do without it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import support

PROGRAM = """\
#include <blkio.h>
#include <stdio.h>
int main(void)
{
	struct blkio *b;
	uint64_t capacity;

	if (blkio_create("null", &b) || blkio_connect(b) || blkio_start(b) ||
	    blkio_get_uint64(b, "capacity", &capacity))
		return 1;
	printf("capacity %llu\\n", (unsigned long long)capacity);
	blkio_destroy(&b);
	return 0;
}
"""


class Load(support.FioTest):
    JOB = ("--libblkio_driver=null", "--size=1g", "--rw=randread", "--number_ios=100")

    def load(self, name: str, fio: list[str] | None = None, env: dict[str, str] | None = None,
             cwd: Path | None = None) -> support.Run:
        return support.run_fio("--name=job", f"--ioengine=external:{name}", *self.JOB, fio=fio,
                               env=env, cwd=cwd)

    def install(self) -> Path:
        """Install into the scratch directory; returns the folder of the shared library."""
        done = support.run(["meson", "install", "-C", str(support.BUILD_DIR), "--no-rebuild",
                            "--quiet", "--destdir", str(self.scratch / "root")])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return next((self.scratch / "root").rglob("libblkio.so")).parent

    def test_paths(self) -> None:
        self.assert_succeeds(self.load(str(support.LIBRARY)))
        self.assert_succeeds(self.load(f"./{support.LIBRARY.name}", cwd=support.LIBRARY.parent))

    def test_installed_by_name(self) -> None:
        """The loader finds it. fio 3.33 first wants to see a file of that name itself, where it
        runs; without the "external:" it does not."""
        if len(support.FIO) > 1:
            self.skipTest(f"{support.FIO[0]} has a library path of its own")
        place = self.install()
        found = {"LD_LIBRARY_PATH": str(place)}
        self.assert_succeeds(self.load("libblkio.so", env=found, cwd=place))
        result = support.run_fio("--name=job", "--ioengine=libblkio.so", *self.JOB, env=found,
                                 cwd=self.scratch)
        self.assert_succeeds(result)
        self.assertEqual(result.job["read"]["total_ios"], 100)

    def test_program_without_fio(self) -> None:
        support.need_command("pkg-config")
        compiler = shutil.which("cc") or support.need_command("gcc")
        place = self.install()
        env = {"PKG_CONFIG_PATH": str(next((self.scratch / "root").rglob("blkio.pc")).parent),
               "PKG_CONFIG_SYSROOT_DIR": str(self.scratch / "root")}
        flags = support.run(["pkg-config", "--cflags", "--libs", "blkio"], env=env)
        self.assertEqual(flags.returncode, 0, flags.stderr)
        source, program = self.scratch / "program.c", self.scratch / "program"
        source.write_text(PROGRAM)
        built = support.run([compiler, str(source), "-o", str(program), "-Wl,-z,now",
                             *flags.stdout.split()])
        self.assertEqual(built.returncode, 0, built.stderr)
        ran = support.run([str(program)], env={"LD_LIBRARY_PATH": str(place), "LD_BIND_NOW": "1",
                                               **support.fio_environment()})
        self.assertEqual((ran.returncode, ran.stdout), (0, f"capacity {1 << 40}\n"), ran.stderr)

    def test_other_version_of_fio(self) -> None:
        """A fio that differs in nothing but its name is refused, with the names of those that are
        not."""
        version = support.command(*support.FIO, "--version").encode()
        other = re.sub(rb"\d", b"x", version)
        program = Path(support.need_command(support.FIO[-1])).read_bytes()
        if version + b"\0" not in program:
            self.skipTest(f"{support.FIO[-1]} does not contain {version.decode()!r}")
        fio = self.scratch / "other-fio"
        fio.write_bytes(program.replace(version + b"\0", other + b"\0"))
        fio.chmod(0o755)
        result = self.load(str(support.LIBRARY), fio=[*support.FIO[:-1], str(fio)])
        self.assert_fails(result, ", ".join(support.BUILT_FOR), other.decode(), "versions differ",
                          "scripts/setup")

    def test_help_lists_the_documented_options(self) -> None:
        done = support.run([*support.FIO, f"--enghelp={support.LIBRARY}"], env=support.fio_environment())
        listed = set(re.findall(r"^(\w+) *:", done.stdout, re.MULTILINE))
        self.assertIn("libblkio_driver", listed, done.stdout + done.stderr)
        manual = (support.SOURCE_DIR / "docs" / "fio-engine.md").read_text()
        options = manual[manual.index("| option | meaning |"):].partition("\n\n")[0]
        self.assertEqual(listed, set(re.findall(r"^\| `(\w+)` \|", options, re.MULTILINE)))


if __name__ == "__main__":
    support.main(with_rings=False)

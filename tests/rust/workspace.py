# SPDX-License-Identifier: MIT OR Apache-2.0
"""A copy of the crates, and the cargo that builds it without network."""

import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "style"))

from tap import ROOT, run  # noqa: E402

CRATES = ROOT / "bindings" / "rust"
REGISTRY = Path("/usr/share/cargo/registry")  # of Debian's librust-*-dev
FEATURES = ("tokio", "async-io")
OPTIONAL = re.compile(r"^# optional crates: begin.*^# optional crates: end.*?\n", re.M | re.S)


class Workspace:
    """A copy of the crates in the build folder, with all that cargo is to use."""

    def __init__(self, build: Path) -> None:
        self.build = build
        self.folder = build / "tests" / "rust"
        self.copy = self.folder / "crates"
        self.target = self.folder / "target"
        self.cargo = shlex.split(os.environ.get("CARGO", "cargo"))
        self.features = [name for name in FEATURES if any(REGISTRY.glob(f"{name}-[0-9]*"))]
        self.env = {**os.environ, "BLKIO_LIB_DIR": str(build), "LD_LIBRARY_PATH": str(build),
                    "BLKIO_INCLUDE_DIR": str(ROOT / "core" / "include"),
                    "CARGO_TARGET_DIR": str(self.target), "CARGO_TERM_COLOR": "never",
                    "CARGO_NET_OFFLINE": "true"}

    def make(self) -> None:
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(CRATES, self.copy, ignore=shutil.ignore_patterns("target", "Cargo.lock"))
        if self.has_registry():
            config = self.copy / ".cargo" / "config.toml"
            config.parent.mkdir()
            config.write_text('[source.crates-io]\nreplace-with = "debian"\n'
                              f'[source.debian]\ndirectory = "{REGISTRY}"\n')
        else:
            # cargo wants to know all crates that a feature could need
            manifest = self.copy / "blkio" / "Cargo.toml"
            manifest.write_text(OPTIONAL.sub("", manifest.read_text()))

    def has_registry(self) -> bool:
        return len(self.features) == len(FEATURES)

    def run(self, *words: str, **more: str):
        """cargo in the copy."""
        return run([*self.cargo, *words], cwd=self.copy, env={**self.env, **more})

    def test_words(self) -> list[str]:
        """What to give to cargo for all tests of both crates."""
        words = ["test", "--workspace"]
        if self.has_registry():
            words += ["--features", "blkio/tokio,blkio/async-io"]
        return words

    def test_programs(self) -> dict[str, Path]:
        """The compiled tests of blkio by name. Raises RuntimeError with what cargo says."""
        done = self.run(*self.test_words(), "--no-run", "--message-format=json")
        if done.returncode:
            raise RuntimeError(done.stdout)
        found = {}
        for line in done.stdout.splitlines():
            message = json.loads(line) if line.startswith("{") else {}
            if message.get("executable") and message["target"]["kind"] == ["test"]:
                found[message["target"]["name"]] = Path(message["executable"])
        return found

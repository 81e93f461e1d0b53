#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
The Rust crates of bindings/rust: built and tested by the cargo that is installed, without network.
CARGO, RUSTC and RUSTDOC name others. tokio and async-io are tested where Debian's packages of them
are installed.

In a build with sanitizers, only the tests run, with this library.

usage: rust.py BUILD_FOLDER [SANITIZERS]
"""

import os
import re
import shutil
import sys
from pathlib import Path

from workspace import CRATES, Workspace  # first: it finds tap
from tap import ROOT, Tap, problem_of, run
from checkers import sanitized, valgrind, zones
from cost import cost

CASE = re.compile(r"^test (.+?)(?: - should panic| - compile fail)? \.\.\. (ok|FAILED)$", re.M)
README_EXAMPLE = re.compile(r"```rust\n(.*?)```", re.S)


def tests(tap: Tap, work: Workspace) -> None:
    """All tests of both crates, each a case."""
    words = [*work.test_words(), "--no-fail-fast"]
    if not work.has_registry():
        tap.skip("features tokio and async-io",
                 "no librust-tokio-dev and librust-async-io-dev: run scripts/setup --rust")
    server = shutil.which("qemu-storage-daemon")
    if not server:
        words += ["--", "--skip", "server_"]
        tap.skip("tests with a server", "no qemu-storage-daemon: run scripts/setup")
    done = work.run(*words)
    found = CASE.findall(done.stdout)
    for name, verdict in found:
        tap.case(name, [] if verdict == "ok" else [f"see below: {name}"])
    tap.case(f"cargo {' '.join(words)}", problem_of(done))
    tap.case("there are tests", [] if len(found) > 40 else done.stdout.splitlines())


def silent(tap: Tap, work: Workspace) -> None:
    """Neither the compiler nor clippy nor rustdoc warns of anything."""
    done = work.run("build", "--workspace", "--all-targets", RUSTFLAGS="-D warnings",
                    CARGO_TARGET_DIR=str(work.target / "strict"))
    tap.case("no warnings", problem_of(done))
    done = work.run("doc", "--workspace", "--no-deps", RUSTDOCFLAGS="-D warnings")
    tap.case("no warnings in the documentation", problem_of(done))
    if work.run("clippy", "--version").returncode:
        tap.skip("clippy is silent", "this cargo has no clippy")
        return
    done = work.run("clippy", "--workspace", "--all-targets", "--", "-D", "warnings",
                    CARGO_TARGET_DIR=str(work.target / "clippy"))
    tap.case("clippy is silent", problem_of(done))


def readme(tap: Tap) -> None:
    """The lines of Rust in README.md are those of the crate, which are a doc test."""
    first = [README_EXAMPLE.search(f.read_text()) for f in (ROOT / "README.md",
                                                           CRATES / "blkio" / "README.md")]
    mine = [line for line in (first[1][1] if first[1] else "").splitlines()
            if not line.startswith("# ")]
    theirs = first[0][1].splitlines() if first[0] else []
    tap.case("README.md has the example of the crate",
             [] if mine == theirs else ["README.md:", *theirs, "bindings/rust/blkio/README.md:", *mine])


def examples(tap: Tap, work: Workspace) -> None:
    """The programs that show the use do what they say."""
    done = work.run("build", "--release", "-p", "blkio", "--examples")
    tap.case("examples compile", problem_of(done))
    if done.returncode:
        return
    programs = work.target / "release" / "examples"
    source, copy = work.folder / "source", work.folder / "copy"
    source.write_bytes(os.urandom(1_000_000 // 4096 * 4096 + 512))
    copy.write_bytes(b"\0" * source.stat().st_size)
    done = run([programs / "copy", source, copy], env=work.env)
    tap.case("copy succeeds", problem_of(done))
    tap.case("the copy is the same",
             [] if copy.read_bytes() == source.read_bytes() else ["it differs"])
    done = run([programs / "copy", source, work.folder / "nowhere" / "copy"], env=work.env)
    tap.case("copy reports an error", [] if done.returncode == 1 and "nowhere" in done.stdout
             else [str(done.returncode), done.stdout])
    for name in ("random_read", "cache"):
        done = run([programs / name, source], env=work.env)
        tap.case(f"{name} runs", problem_of(done))
    for path in (source, copy):
        path.unlink()


# ---- As Debian installs it ----------------------------------------------------------------------

USER = """\
[package]
name = "user"
version = "0.0.0"
edition = "2021"
[dependencies]
blkio = "1.5"
[workspace]
"""
MAIN = """\
fn main() -> blkio::Result<()> {
    let (_device, mut queues) = blkio::Config::new("null")?.connect()?.start()?;
    queues[0].flush(());
    queues[0].wait_one()?.result()
}
"""


def installed(tap: Tap, work: Workspace) -> None:
    """A program of another folder finds the crates as librust-blkio-dev installs them."""
    registry, user = work.folder / "registry", work.folder / "user"
    for folder in (registry, user):
        shutil.rmtree(folder, ignore_errors=True)
    done = run([CRATES / "install", registry])
    tap.case("the crates are installed", problem_of(done))
    (user / "src").mkdir(parents=True)
    (user / ".cargo").mkdir()
    (user / "Cargo.toml").write_text(USER)
    (user / "src" / "main.rs").write_text(MAIN)
    (user / ".cargo" / "config.toml").write_text(
        '[source.crates-io]\nreplace-with = "local"\n'
        f'[source.local]\ndirectory = "{registry}"\n')
    env = {**work.env, "CARGO_TARGET_DIR": str(work.target / "user")}
    done = run([*work.cargo, "run"], cwd=user, env=env)
    tap.case("a program uses them", problem_of(done))


def main() -> None:
    build = Path(sys.argv[1]).resolve()
    work = Workspace(build)
    if not shutil.which(work.cargo[0]):
        print("1..0 # SKIP no cargo: run scripts/setup --rust")
        return
    tap = Tap()
    version = run([*work.cargo, "--version"])
    if version.returncode:
        print(f"1..0 # SKIP cargo does not run: {' '.join(version.stdout.split())}")
        return
    tap.note(version.stdout.strip())
    work.make()
    if "address" in "".join(sys.argv[2:]):
        sanitized(tap, work)
        tap.finish()
    tests(tap, work)
    silent(tap, work)
    readme(tap)
    examples(tap, work)
    cost(tap, work)
    valgrind(tap, work)
    zones(tap, work)
    installed(tap, work)
    tap.finish()


main()

# SPDX-License-Identifier: MIT OR Apache-2.0
"""A host behind ssh: what it is, and fio's server on it.

The server listens on a Unix socket that only its user can reach, and ssh forwards it to one here.
It ends with the ssh connection, whoever ends that: the script around it waits for the end of its
input. With the jobs that it started it is a session of its own, so that all end together.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import select
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Sequence

from ..errors import BenchError, refuse

NAME = re.compile(r"[\w.@:%\[\]-]+")
CONNECT = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5",
           "-o", "ServerAliveCountMax=2")
CLOCK_LIMIT = 1.0  # seconds; farther apart is told
SECONDS = 30  # for what a host says of itself, and for its server to start
FACTS = r"""
fio=$3 target=$1 library=$2
echo "now=$(date +%s.%N)"
echo "fio=$("$fio" --version 2>&1 | head -n 1)"
echo "kernel=$(uname -srm)"
echo "cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
echo "cpus=$(nproc)"
echo "memory=$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)"
echo "size=$(if [ -b "$target" ]; then PATH=$PATH:/sbin:/usr/sbin blockdev --getsize64 "$target";
	else stat -Lc %s "$target"; fi 2>&1 | head -n 1)"
echo "readable=$([ -r "$target" ] && echo yes)"
[ -z "$library" ] || echo "engine=$("$fio" --enghelp="$library" 2>&1 | grep -c libblkio_driver)"
"""
SERVER = r"""umask 077 && mkdir %(folder)s && cd %(folder)s || exit 1
setsid %(fio)s --server=sock:%(folder)s/fio >log 2>&1 & server=$!
until [ -S fio ]; do kill -0 $server || { cat log >&2; cd /; rm -rf %(folder)s; exit 1; }
sleep 0.1; done; echo ready $server; cat >/dev/null; kill -- -$server; wait; cd /; rm -rf %(folder)s"""


@dataclass(frozen=True)
class HostFacts:
    """What a host says of itself."""

    fio: str
    kernel: str
    cpu: str
    cpus: int
    memory_mib: int
    size: int  # of the target, bytes
    obstacle: str  # why it cannot take part, or ""
    clock: float  # seconds ahead of this machine
    clock_within: float  # half the time that asking took


def names(text: str) -> list[str]:
    """a,b,c; or the lines of a file of that name."""
    file = Path(text)
    try:
        lines = file.read_text().splitlines() if file.is_file() else text.split(",")
    except OSError as error:
        raise refuse(f"--hosts {text}: cannot read it: {error.strerror}") from error
    found = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    wrong = [name for name in found if not NAME.fullmatch(name) or name.startswith("-")]
    if wrong or not found:
        raise refuse(f"--hosts {text}: {wrong[0]!r} is not the name of a host" if wrong
                     else f"--hosts {text}: there is no host in it")
    return list(dict.fromkeys(found))


def facts(ssh: Sequence[str], host: str, target: str, library: str, fio: str) -> HostFacts:
    """Ask a host; BenchError when it does not answer. `target` and `library` are "" when they need not
    be there."""
    command = [*ssh, *CONNECT, host, shlex.join(["sh", "-s", target, library, fio])]
    before = time.time()
    try:
        done = subprocess.run(command, input=FACTS, capture_output=True, text=True, timeout=SECONDS,
                              check=False)
    except OSError as error:
        raise refuse(f"--ssh {ssh[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise BenchError(f"no answer within {SECONDS} s") from None
    after = time.time()
    said = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    if done.returncode or "now" not in said:
        words = " ".join(done.stderr.split())[-300:]
        raise BenchError(words or f"ssh ended with status {done.returncode}")
    return HostFacts(said["fio"], said["kernel"], said["cpu"], _number(said["cpus"]),
                 _number(said["memory"]) // 1024, _number(said["size"]),
                 _obstacle(said, target, library),
                 float(said["now"]) - (before + after) / 2, (after - before) / 2)


def _obstacle(said: dict[str, str], target: str, library: str) -> str:
    if not said["fio"].startswith("fio-"):
        return f"fio cannot be run: {said['fio']}"
    if target and not _number(said["size"]):
        return f"{target}: {said['size'] or 'no such file'}"
    if target and said["readable"] != "yes":
        return f"{target} cannot be read"
    if library and said.get("engine", "0") == "0":
        return f"its {said['fio']} cannot load {library}: install it, or name it with --library"
    return ""


def unfit(found: HostFacts, fio: str) -> str:
    """Why a host cannot take part, where fio is of this version here; or ""."""
    if found.obstacle or found.fio == fio:
        return found.obstacle
    return f"it has {found.fio}, this machine {fio}: client and server must be of one version"


def described(known: dict[str, HostFacts], alive: list[str]) -> list[str]:
    """What each host is, and what differs between those that are alive."""
    lines = []
    for name, found in known.items():
        wrong = abs(found.clock) > CLOCK_LIMIT + found.clock_within
        lines.append(f"{name}: {found.cpu}, {found.cpus} CPUs, {found.memory_mib} MiB, "
                     f"{found.kernel}, {found.fio}, clock {found.clock:+.2f} s "
                     f"(± {found.clock_within:.2f} s){': SET ITS CLOCK' if wrong else ''}")
    for what in ("cpu", "cpus", "kernel", "size"):
        values = {getattr(found, what) for name, found in known.items() if name in alive}
        if len(values) > 1:
            lines.append(f"the hosts differ in {what}: {', '.join(sorted(map(str, values)))}")
    return lines


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


@contextlib.contextmanager
def server(ssh: Sequence[str], host: str, fio: str, local: Path) -> Iterator[int]:
    """fio's server on the host, reached by the socket `local`; gives its session there."""
    folder = f"/tmp/libblkio-bench-{secrets.token_hex(8)}"
    script = SERVER % {"folder": folder, "fio": shlex.quote(fio)}
    process = subprocess.Popen(
        [*ssh, *CONNECT, "-o", "ExitOnForwardFailure=yes", "-L", f"{local}:{folder}/fio", host,
         shlex.join(["sh", "-c", script])], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdin and process.stdout and process.stderr
        ready, _, _ = select.select([process.stdout], [], [], SECONDS)
        word, _, session = process.stdout.readline().partition(" ") if ready else ("", "", "")
        if word != "ready":
            process.terminate()
            words = " ".join(process.communicate()[1].split())[-300:]
            raise BenchError(f"fio's server does not start: {words or 'no message'}")
        yield int(session)
    finally:
        end(process)


def end(process: "subprocess.Popen[Any]") -> None:
    """The end of its input ends the server; a connection that is dead is killed."""
    with contextlib.suppress(OSError, ValueError):
        if process.stdin:
            process.stdin.close()
    try:
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()

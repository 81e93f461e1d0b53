# SPDX-License-Identifier: MIT OR Apache-2.0
"""Machines for a test: network namespaces with an ssh server in each. Needs root."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

SSHD = "/usr/sbin/sshd"
SERVERS = "libblkio-bench-????????????????"  # as hosts/remote.py names their folders
CONFIG = """Port 22
ListenAddress {address}
HostKey {folder}/host_key
PidFile {folder}/{name}.pid
AuthorizedKeysFile {folder}/key.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
UsePAM no
"""
CLIENT = """Host *
  IdentityFile {folder}/key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking no
  LogLevel ERROR
  User root
"""


def _run(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise unittest.SkipTest(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


class Machines:
    """Named one, two, ...; in a network that only this test knows. All see this machine's files, but
    for the folder `own`: each has one of its own there, which here is in `own`.disks."""

    def __init__(self, names: list[str], own: Path | None = None) -> None:
        if os.getuid() != 0:
            raise unittest.SkipTest("network namespaces need root")
        for program in ("ip", "ssh", "ssh-keygen", SSHD):
            if shutil.which(program) is None:
                raise unittest.SkipTest(f"there is no {program}")
        self.folder = Path(tempfile.mkdtemp(prefix="machines-"))
        self.own = own
        self._mark = secrets.token_hex(3)
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        try:
            self._make(names)
        except BaseException:
            self.close()
            raise

    def _make(self, names: list[str]) -> None:
        for key in ("key", "host_key"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key)
        Path("/run/sshd").mkdir(exist_ok=True)
        client = CLIENT.format(folder=self.folder)
        net = 64 + secrets.randbelow(64)
        for number, name in enumerate(names):
            subnet = f"100.{net}.{secrets.randbelow(250)}.{4 * number}"
            here, there = (f"{subnet.rpartition('.')[0]}.{4 * number + i}" for i in (1, 2))
            space, end = self._space(name), f"b{self._mark}{number}"
            _run("ip", "netns", "add", space)
            self._servers[name] = None  # type: ignore[assignment]  # so that close() removes it
            _run("ip", "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", space)
            _run("ip", "address", "add", f"{here}/30", "dev", end)
            _run("ip", "link", "set", end, "up")
            _run("ip", "-n", space, "address", "add", f"{there}/30", "dev", "eth0")
            _run("ip", "-n", space, "link", "set", "eth0", "up")
            config = self.folder / f"{name}.conf"
            config.write_text(CONFIG.format(folder=self.folder, name=name, address=there))
            with (self.folder / f"{name}.log").open("w") as log:
                self._servers[name] = subprocess.Popen(
                    ["ip", "netns", "exec", space, *self._mounting(name), SSHD, "-D", "-e", "-f",
                     config],
                    stdout=subprocess.DEVNULL, stderr=log, start_new_session=True)
            client += f"Host {name}\n  HostName {there}\n"
        (self.folder / "ssh_config").write_text(client)
        for name in names:
            self._await(name)

    def _mounting(self, name: str) -> list[str]:
        """ip netns exec has made a mount namespace: the machine's own folder goes there."""
        if self.own is None:
            return []
        self.own.mkdir(exist_ok=True)
        self.disk(name).mkdir(parents=True)
        return ["sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', str(self.disk(name)),
                str(self.own)]

    def disk(self, name: str) -> Path:
        """The machine's own folder, as seen from here."""
        assert self.own
        return self.own.with_name(f"{self.own.name}.disks") / name

    def _space(self, name: str) -> str:
        return f"bench-{self._mark}-{name}"

    def _await(self, name: str) -> None:
        deadline = time.monotonic() + 30
        while subprocess.run([*self.ssh.split(), name, "true"], capture_output=True).returncode:
            if self._servers[name].poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / f"{name}.log").read_text())
            time.sleep(0.1)

    @property
    def ssh(self) -> str:
        return f"ssh -F {self.folder}/ssh_config"

    def processes(self, name: str) -> list[int]:
        """All that runs on the machine."""
        done = subprocess.run(["ip", "netns", "pids", self._space(name)], capture_output=True,
                              text=True, check=True)
        return [int(word) for word in done.stdout.split()]

    def kill(self, name: str) -> None:
        """The machine dies: nothing on it runs or answers any more."""
        for number in self.processes(name):
            _kill(number)

    def close(self) -> None:
        for name in list(self._servers):
            try:
                self.kill(name)
            except subprocess.CalledProcessError:
                pass
            if self._servers[name]:
                self._servers[name].wait()
            subprocess.run(["ip", "netns", "delete", self._space(name)], check=False)
        shutil.rmtree(self.folder)


def abandoned() -> list[Path]:
    """Folders of fio's servers in which no process works: not those of another test's machines."""
    busy = set()
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            busy.add(link.readlink())
        except OSError:
            continue  # it has ended, or is not ours to look into
    return [path for path in Path("/tmp").glob(SERVERS) if path not in busy]


def _kill(number: int) -> None:
    try:
        os.kill(number, signal.SIGKILL)
    except ProcessLookupError:
        pass

# SPDX-License-Identifier: MIT OR Apache-2.0
"""The record of the machine and the software that a result belongs to.

Nothing that tells who or where: no host name, no user, no path.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path

import setuplib

from ..result.model import Environment
from .blockdev import read_text

CPUS = Path("/sys/devices/system/cpu")
# In a guest: what its host says of the library, as JSON. There git and meson would take a minute.
TOLD = "BENCH_LIBRARY"


def record(root: Path, build: Path, cpu: int, latency_held: bool) -> Environment:
    """What can be found out now; "unknown" for what cannot."""
    node = CPUS / f"cpu{cpu}"
    threads = len(cpu_list(read_text(node / "topology" / "thread_siblings_list"))) or 1
    governor = read_text(node / "cpufreq" / "scaling_governor")
    return Environment(
        fio=fio_version(), libblkio=library_version(build, root),
        libblkio_build=_build(build),
        kernel=kernel(), distribution=_os_release(), cpu=cpu_model(),
        cpus=os.cpu_count() or 1, threads_per_core=threads,
        numa_nodes=len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) or 1,
        virtualised="yes" if "hypervisor" in _cpuinfo("flags").split() else "no",
        memory_mib=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
        governor=governor or "none", idle_states=_idle_states(node),
        cpu_latency_held=latency_held,
        clock=read_text(Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
        mitigations=_mitigations(), python=platform.python_version(),
        notes=_notes(governor, latency_held, threads))


def kernel() -> str:
    return f"{platform.system()} {platform.release()} {platform.machine()}"


def cpu_model() -> str:
    return _cpuinfo("model name") or platform.machine()


def fio_version(program: str = "fio") -> str:
    return _output(program, "--version")


def told(build: Path, root: Path) -> str:
    """What to have in the environment of a guest: TOLD=..."""
    return f"{TOLD}=" + json.dumps({"version": library_version(build, root),
                                    "build": _build(build)})


def library_version(build: Path, root: Path) -> str:
    """The version of the source that a folder builds: of `root`, unless meson names another."""
    if TOLD in os.environ:
        return str(json.loads(os.environ[TOLD])["version"])
    try:
        info = json.loads(read_text(build / "meson-info" / "meson-info.json"))
        root = Path(info["directories"]["source"])
    except (ValueError, LookupError, TypeError):
        pass
    return _output(*setuplib.git(root, "describe", "--always", "--dirty", "--tags"))


def describe(environment: Environment) -> list[tuple[str, str]]:
    """The record as (what, value) lines for people."""
    e = environment
    held = "held at 0" if e.cpu_latency_held else "not held (needs root)"
    return [
        ("fio", e.fio), ("libblkio", f"{e.libblkio} ({e.libblkio_build})"),
        ("kernel", f"{e.kernel}, {e.distribution}"),
        ("CPU", f"{e.cpu}: {e.cpus} CPUs, {e.threads_per_core} threads per core, "
                f"{e.numa_nodes} NUMA nodes, virtualised: {e.virtualised}"),
        ("memory", f"{e.memory_mib} MiB"),
        ("power", f"governor {e.governor}, idle states {e.idle_states}, CPU latency {held}"),
        ("clock", e.clock), ("mitigations", e.mitigations), ("Python", e.python),
        *(("note", note) for note in e.notes),
    ]


def _output(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip() or "unknown"


def _cpuinfo(key: str) -> str:
    for line in read_text(Path("/proc/cpuinfo")).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _os_release() -> str:
    for line in read_text(Path("/etc/os-release")).splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "unknown distribution"


def _idle_states(node: Path) -> str:
    names = [read_text(state / "name") for state in sorted(node.glob("cpuidle/state*"))]
    return ", ".join(names) or "not visible"


def _mitigations() -> str:
    files = sorted((CPUS / "vulnerabilities").glob("*"))
    active = [file.name for file in files if "Mitigation" in read_text(file)]
    return ", ".join(active) or "none active"


def _build(build: Path) -> str:
    """How the library was built: meson's options and the compiler."""
    if TOLD in os.environ:
        return str(json.loads(os.environ[TOLD])["build"])
    try:
        items = json.loads(_output("meson", "introspect", "--buildoptions", str(build)))
        options = {item["name"]: str(item["value"]) for item in items}
        commands = json.loads(read_text(build / "compile_commands.json"))
        compiler = _output(commands[0]["command"].split()[0], "--version").splitlines()[0]
    except (ValueError, LookupError, TypeError):
        return "unknown build"
    sanitizers = options.get("b_sanitize", "none").strip("[]'") or "none"
    words = [options["buildtype"], f"-O{options['optimization']}", compiler]
    return ", ".join(words + ([f"sanitizers {sanitizers}"] if sanitizers != "none" else []))


def _notes(governor: str, latency_held: bool, threads: int) -> list[str]:
    """What makes these figures less steady than they could be."""
    notes = []
    if "VM_ICOUNT" in os.environ:
        notes.append("the clock counts instructions (QEMU icount): 1 ns is one instruction of the "
                     "kernel, fio or the library, whatever it costs on a real processor")
    elif "TCG" in _cpuinfo("model name"):
        notes.append("the processor is emulated (QEMU TCG): ratios tell what software costs, no "
                     "hardware is in them, and what else the host does is not seen")
    if governor not in ("", "performance"):
        notes.append(f"governor is {governor}: clock changes add noise (performance is steady)")
    if not latency_held:
        notes.append("CPU latency not held: waking up takes one of two times by chance (run as "
                     "root)")
    if threads > 1:
        notes.append(f"fio's CPU shares its core with {threads - 1} other thread(s)")
    if (os.cpu_count() or 1) == 1:
        notes.append("one CPU only: kernel workers and fio share it")
    return notes


def cpu_list(text: str) -> list[int]:
    """CPU numbers of a kernel list such as "0-2,5"."""
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers

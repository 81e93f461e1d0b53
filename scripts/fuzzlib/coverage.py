# SPDX-License-Identifier: MIT OR Apache-2.0
"""How much of the library the inputs of a fuzzer reach: lines per file, by llvm-cov."""

import json
import os
import subprocess
from pathlib import Path

from .build import COVERAGE_OPTIONS, ROOT, Build, FuzzError, inputs

# The files that each is meant to reach.
FILES = {
    "api": ("core/", "drivers/io_uring.c", "drivers/null.c", "drivers/uring/", "drivers/file/"),
    "nvme": ("drivers/nvme/nvme_cmd.c", "drivers/nvme/nvme_ident.c",
             "drivers/nvme/nvme_namespace.c"),
    "nvme_pci": ("drivers/nvme/nvme_pci", "drivers/nvme/nvme_prp.c", "drivers/nvme/nvme_vfio_pci.c"),
    "nvme_tcp": ("drivers/nvme_tcp/", "drivers/nvme/nvme_fabrics.c", "drivers/net/stage.c"),
    "props": ("core/prop.c", "core/props_common.c"),
    "vfio_pci": ("drivers/virtio/virtio_pci", "drivers/vfio/vfio_pci.c", "drivers/common/iova.c"),
    "vhost_user": ("drivers/virtio/vhost_user", "drivers/virtio/virtio_watch.c"),
    "virtio": ("drivers/virtio/virt", "drivers/virtio/vhost_vdpa.c"),
}


def _output(command: list[str | Path], **env: str) -> str:
    done = subprocess.run([str(word) for word in command], env={**os.environ, **env},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if done.returncode:
        raise FuzzError(f"$ {' '.join(map(str, command))}\n{done.stderr[-2000:]}")
    return done.stdout


def report(name: str, corpus: Path, jobs: int) -> list[str]:
    """Lines of a table: file, how many of its lines are reached."""
    build = Build(ROOT / "build-fuzz-coverage", COVERAGE_OPTIONS)
    build.make([f"replay_{name}"], jobs)
    program = build.program(f"replay_{name}")
    raw, data = build.folder / f"{name}.profraw", build.folder / f"{name}.profdata"
    _output([program, *inputs(name), *([corpus] if corpus.is_dir() else [])],
            LLVM_PROFILE_FILE=str(raw))
    _output(["llvm-profdata", "merge", "-sparse", raw, "-o", data])
    exported = json.loads(_output(["llvm-cov", "export", "-summary-only",
                                   f"-instr-profile={data}", program]))
    lines, total, reached = [], 0, 0
    for entry in exported["data"][0]["files"]:
        path = os.path.relpath(entry["filename"], ROOT)
        if not path.startswith(FILES[name]) or not path.endswith(".c"):
            continue
        count = entry["summary"]["lines"]
        total, reached = total + count["count"], reached + count["covered"]
        lines.append(f"  {path:40} {count['covered']:5} of {count['count']:5} lines, "
                     f"{count['percent']:3.0f} %")
    return [f"{name}: {reached} of {total} lines, {100 * reached / max(total, 1):.0f} %", *lines]

# SPDX-License-Identifier: MIT OR Apache-2.0
"""What makes a machine ready: packages.list, and what installs it, for scripts in shell and Python.

Standard library only: this runs before anything is installed.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETUP = ROOT / "scripts" / "setup"


def git(root: Path, *arguments: str) -> list[str]:
    """A git command on the repository of a source tree: whoever owns it, which git would refuse when
    it has to look for one, and not one that lies around the tree."""
    return ["git", "-C", str(root), "--git-dir=.git", "--work-tree=.", *arguments]


def set_up(*needs: str) -> bool:
    """Run scripts/setup for these needs of packages.list; False after it has said what is wrong."""
    command = [SETUP, "--only", ",".join(needs)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr,
                          check=False).returncode == 0

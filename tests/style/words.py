#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
Words that a native reader stumbles on, kept out of where they are gone already. Each pattern says
what to write instead, and where it is looked for; the list is to grow, and so are the places.

usage: words.py
"""

import re
import subprocess
from pathlib import Path

from tap import GIT, ROOT, Tap

SCRIPTS = ("scripts", "tests/scripts", "docs/gate.md", "docs/history.md", "docs/data.md", "docs/hosts.md",
           "results/README.md", "results/speed.md")
# What people see outside of scripts/: documents, messages, comments.
PROSE = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "docs", "tests/vm/README.md", "core",
         "drivers", "engine", "tools", "bindings")
EVERYWHERE = ("",)
# Older results are read, so their words stay where they are upgraded.
EXEMPT = {"tests/style/words.py", "results/reference/result.json",
          "scripts/benchlib/result/upgrade.py", "tests/scripts/test_report.py"}

WORDS = (
    (r"\bcontenders?\b", SCRIPTS, "engine, or mode"),
    (r"\bentrants?\b", EVERYWHERE, "variant"),
    (r"\brehears\w*", EVERYWHERE, "dry run"),
    (r"\bwhat people look at\b", EVERYWHERE, "name the thing"),
    (r"\bon purpose that\b", EVERYWHERE, "so that"),
    (r"\bnobody's concern\b", EVERYWHERE, "does not count"),
    (r"\bhe likes\b", EVERYWHERE, "a sentence without him"),
    (r"\bis no (result|requirement|value|point|failure)\b", SCRIPTS, "is not a ..."),
    (r"\bis behind no\b", SCRIPTS, "is not behind a ..."),
    (r"\bso much to either side\b", SCRIPTS, "within PERCENT on either side"),
    (r"\bso long is one\b", SCRIPTS, "the time of one"),
    (r"\bit cannot be gone to\b", EVERYWHERE, "cannot be reached"),
    (r"\bown account of itself\b", EVERYWHERE, "own report"),
    (r", please\b", SCRIPTS, "say what is wrong"),
    (r"\bbeyond use\b", EVERYWHERE, "can no longer be used"),
    (r"\b(is|was) found out\b|\bnot found out\b", EVERYWHERE, "is detected"),
    (r"\bis no (virtio|NVMe|vDPA|block|address|fio|PCI|device|file|crash|error|flaw|good|reason)\b",
     PROSE, "is not a ..."),
    (r"\b(is|are) none (of|the)\b", PROSE, "is not one of"),
    (r"\bdo(es)? not tell\b", PROSE, "does not report"),
    (r"\btells? of\b", PROSE, "reports, or records"),
    (r"\bonce connected\b", PROSE, "after blkio_connect()"),
    (r"\bfor so long\b", PROSE, "for that time"),
    (r"\bwho has\b", PROSE, "name the subject"),
    (r"\bstands before\b|\bis behind no\b", PROSE, "is behind, is not behind"),
    (r"\ball the same\b", PROSE, "anyway, or still"),
    (r"\bof one's own\b", PROSE, "your own"),
    (r"\bshall\b", PROSE, "must, is to, will"),
    (r"\bset(ting)? to nothing\b|\bof no use\b|\bis no use\b", PROSE, "is useless"),
    (r"\basked anew\b|\bconnects? anew\b", PROSE, "again"),
    (r"\bwould like to know\b|\bhas to say\b", PROSE, "name what is said"),
    (r"\bkeeps? to its\b", PROSE, "observes its"),
    (r"\banew\b", EVERYWHERE, "again"),
    (r"\b(after|for) so long\b", EVERYWHERE, "for this time, for this many seconds"),
    (r"\bmend(s|ed)?\b", EVERYWHERE, "fix"),
    (r"\bas far as there (are|is)\b", EVERYWHERE, "if there are enough"),
    (r"\bbecame of (it|them)\b", EVERYWHERE, "name what changed"),
    (r"\bwhat it is, is seen\b|\bto be worth anything\b", EVERYWHERE, "say it directly"),
    (r"\bis told from\b|\bchange is told\b", EVERYWHERE, "is reported, is shown"),
)


def tracked(places: tuple[str, ...]) -> list[Path]:
    listed = subprocess.run([*GIT, "ls-files", "-z", "--", *filter(None, places)],
                            capture_output=True, text=True)
    if listed.returncode == 0:
        names = listed.stdout.split("\0")[:-1]
    else:  # a source tree without git
        names = [str(path.relative_to(ROOT)) for place in places
                 for path in ([ROOT / place] if (ROOT / place).is_file()
                              else (ROOT / place).rglob("*"))
                 if path.is_file() and not path.is_relative_to(ROOT / ".deps")
                 and not path.relative_to(ROOT).parts[0].startswith("build")]
    return [ROOT / name for name in names if name not in EXEMPT and (ROOT / name).is_file()]


def found(pattern: str, places: tuple[str, ...]) -> list[str]:
    matches = re.compile(pattern, re.I)
    problems = []
    for path in tracked(places):
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        problems += [f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
                     for number, line in enumerate(lines, 1) if matches.search(line)]
    return problems


def main() -> None:
    tap = Tap()
    for pattern, places, instead in WORDS:
        tap.case(f"{pattern.replace('#', '')}: {instead}", found(pattern, places))
    tap.finish()


main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reports in a real browser, as wide as a phone and as a desk: nothing overflows, no text is cut
off or lies on another. Needs chromium (scripts/setup --browser); skipped without.

The page gets a script that looks at it and leaves its findings in the title, which the browser
prints; the page itself has none, and would not run it.
"""

from __future__ import annotations

import html as html_module
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from report_support import HOSTILE, comparison, gated, qualification
from support import main
from test_report import spoiled
from benchlib.compare import chapter as of_compare
from benchlib.gate import chapter as of_gate
from benchlib.page import html
from benchlib.page.page import Chapter, Download, Page
from benchlib.qualify import chapter as of_qualify

BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
WIDTHS = (390, 800, 1280)
SLACK = 1.5  # pixels by which letters may leave their line box

LOOK = """
const findings = [];
const wide = document.documentElement.scrollWidth;
if (wide > innerWidth) findings.push(`the page is ${wide} wide, the window ${innerWidth}`);
for (const svg of document.querySelectorAll('svg[role=img]')) {
  const paper = svg.getBoundingClientRect();
  if (!paper.width) continue;  // the drawing for other widths
  const seen = [];
  for (const text of svg.querySelectorAll('text')) {
    if (text.getAttribute('stroke')) continue;  // the rim below a text
    const box = text.getBoundingClientRect(), words = text.textContent;
    if (box.left < paper.left - SLACK || box.right > paper.right + SLACK
        || box.top < paper.top - SLACK || box.bottom > paper.bottom + SLACK)
      findings.push(`cut off: ${words} in ${svg.ariaLabel.slice(0, 60)}`);
    for (const [other, its] of seen)
      if (box.left + SLACK < other.right && other.left + SLACK < box.right
          && box.top + 3 * SLACK < other.bottom && other.top + 3 * SLACK < box.bottom)
        findings.push(`${words} lies on ${its} in ${svg.ariaLabel.slice(0, 60)}`);
    seen.push([box, words]);
  }
}
for (const element of document.querySelectorAll('h1, h2, h3, h4, h5, p, li, dd, figcaption')) {
  const box = element.getBoundingClientRect();
  if (box.right > innerWidth + SLACK) findings.push(`beyond the window: ${element.textContent}`);
}
if (performance.getEntriesByType('resource').length) findings.push('something was loaded');
document.title = JSON.stringify(findings.slice(0, 20));
"""


def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise unittest.SkipTest("no chromium here (scripts/setup --browser installs it)")
    return found


class InABrowser(unittest.TestCase):
    def setUp(self) -> None:
        self.program = browser()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_browser(self, *options: str) -> str:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # chromium demands it of root
        done = subprocess.run(
            [self.program, "--headless", "--disable-gpu", *sandbox,
             f"--user-data-dir={self.folder / 'profile'}", *options],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=60, check=True)
        return done.stdout

    def look(self, chapter: Chapter, width: int) -> list[str]:
        text = html.render(Page(chapter.title, [chapter]))
        text = re.sub(r"<meta http-equiv=[^>]*>", "", text)  # it forbids all scripts
        script = LOOK.replace("SLACK", str(SLACK))
        file = self.folder / "page.html"
        file.write_text(text.replace("</body>", f"<script>{script}</script></body>"))
        dom = self.run_browser(f"--window-size={width},900", "--dump-dom", f"file://{file}")
        title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
        self.assertIsNotNone(title)
        found: list[str] = json.loads(html_module.unescape(title[1]))  # type: ignore[index]
        return found

    def test_every_kind_at_every_width(self) -> None:
        chapters = {
            "comparison": of_compare.chapter(
                comparison(depths=(1, 4, 16, 64), sizes=(512, 4096)), []),
            "gate": of_gate.chapter(gated(1.06), []),
            "qualification": of_qualify.chapter(qualification(), [Download("q.json", b"{}")])}
        for name, chapter in chapters.items():
            for width in WIDTHS:
                with self.subTest(name, width=width):
                    self.assertEqual(self.look(chapter, width), [])

    def test_hostile_names_stay_in_their_place(self) -> None:
        chapter = of_compare.chapter(spoiled(comparison(), HOSTILE), [])
        self.assertEqual(self.look(chapter, 390), [])

    def test_it_prints(self) -> None:
        chapter = of_qualify.chapter(qualification(), [])
        file, paper = self.folder / "page.html", self.folder / "page.pdf"
        file.write_text(html.render(Page(chapter.title, [chapter])))
        self.run_browser(f"--print-to-pdf={paper}", f"file://{file}")
        self.assertEqual(paper.read_bytes()[:5], b"%PDF-")
        self.assertGreater(len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes())), 3)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
Runs the stories of freshlib/stories.py, each of which uses this project on a fresh machine.
Prints TAP, a case per command. What the network refuses is skipped.

usage: fresh.py [--all] [--list] [--jobs N] [--only PATTERN] [STORY...]
"""

import argparse
import re
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "style")]

from freshlib import documents, machine, roots  # noqa: E402
from freshlib.machine import Machine, Outcome  # noqa: E402
from freshlib.stories import MORE, STORIES, Step, Story  # noqa: E402
from tap import Tap  # noqa: E402

WORDS = 40  # lines of what a failed command said


class Told:
    """What came of a story: per step its outcome and seconds, or why it was not tried."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.steps = [step for step in story.steps if not step.skip]
        self.tried: list[tuple[Step, Outcome, float]] = []
        self.refused: dict[Step, str] = {}  # for what the network had not
        self.reason = ""  # why the rest was not tried

    def tell(self) -> "Told":
        """Do it all, until the network refuses something."""
        story = self.story
        try:
            with Machine(story.release, story.packages, story.user) as fresh:
                said = ""
                for step in self.steps:
                    begin = time.monotonic()
                    line = step.line_of(said) if step.line_of else step.line
                    done = fresh.run(["sh", "-c", line], step.user, step.network)
                    said = done.output
                    self.tried.append((step, done, time.monotonic() - begin))
                    if self.problems(step, done) and step.network:
                        self.refused[step] = roots.refused(done.output)
                        self.reason = roots.unreachable(story.release)
                    print(f"{self.where()}: {step.name}: exit status {done.status}, "
                          f"{time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
                    if self.reason:
                        self.tried.pop()
                        break
        except roots.CannotMake as reason:
            self.reason = str(reason)
        return self

    def where(self) -> str:
        """The machine, in words."""
        return f"{roots.RELEASES[self.story.release]}, {self.story.name}"

    @staticmethod
    def problems(step: Step, done: Outcome) -> list[str]:
        """What is wrong with an outcome."""
        found = []
        if done.status not in step.status:
            found.append(f"exit status {done.status}, expected {' or '.join(map(str, step.status))}")
        if not step.matches(done.output):
            found.append(f"does not say {step.says!r}")
        return [*found, *done.output.splitlines()[-WORDS:]] if found else []

    def report(self, tap: Tap) -> None:
        """A case per step."""
        where = self.where()
        for step, done, seconds in self.tried:
            if self.refused.get(step):
                tap.skip(f"{where}: {step.name}", self.refused[step])
                continue
            tap.case(f"{where}: {step.name}", self.problems(step, done))
            tap.note(f"exit status {done.status}, {seconds:.0f} s")
        for step in self.steps[len(self.tried):]:
            tap.skip(f"{where}: {step.name}", self.reason)
        for step in self.story.steps:
            if step.skip:
                tap.skip(f"{where}: {step.name}", step.skip)


def chosen(args: argparse.Namespace) -> list[Story]:
    """The stories that were asked for."""
    stories = [*STORIES, *([*MORE, *documents.stories()] if args.all or args.story else [])]
    stories = [story for story in stories
               if not args.story or any(word in story.name for word in args.story)]
    if not args.only:
        return stories
    return [replace(story, steps=tuple(step for step in story.steps
                                       if step.needed or args.only.search(step.name)))
            for story in stories if any(args.only.search(step.name) for step in story.steps)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests/fresh/fresh.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true",
                        help="also every command in README.md and the other documents; hours")
    parser.add_argument("--list", action="store_true", help="print the stories, do nothing")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="machines at a time")
    parser.add_argument("--only", type=re.compile, metavar="PATTERN",
                        help="of each story no more than the commands that match")
    parser.add_argument("story", nargs="*", metavar="STORY", help="words of the names of stories")
    args = parser.parse_args()
    stories = chosen(args)
    if args.list:
        for story in stories:
            print(f"{roots.RELEASES[story.release]}, {story.name}")
            print("\n".join(f"    {step.name}" for step in story.steps))
        return
    try:
        roots.check()
    except roots.CannotMake as reason:
        print(f"1..0 # SKIP {reason}")
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # also where they were ignored
        signal.signal(number, signal.default_int_handler)
    tap = Tap()
    with ThreadPoolExecutor(args.jobs) as pool:
        try:
            for told in pool.map(lambda story: Told(story).tell(), stories):
                told.report(tap)
                sys.stdout.flush()
        except KeyboardInterrupt:
            machine.stop()
            pool.shutdown(cancel_futures=True)
            raise SystemExit(130) from None
    tap.finish()


if __name__ == "__main__":
    main()

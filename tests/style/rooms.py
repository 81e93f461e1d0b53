#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""
Which package of scripts/benchlib may import which, read from the import statements: a table, no
circles between modules, and no import inside a function. Also: what a command does before the
set-up needs the standard library only, and no two classes have one name.

usage: rooms.py
"""

import ast
import sys
from collections import defaultdict
from pathlib import Path

from graph import circle
from tap import ROOT, Tap

LIBRARY = ROOT / "scripts" / "benchlib"

# Each package with those that it may import, from the ground up; "" is the modules beside them.
# A package not listed, or an import not listed, is a design question, not a line to add.
BASE = ("", "result")
ALLOWED = {
    "": ("compare", "copy", "export", "gate", "history", "hosts", "measure", "qemu", "qualify", "report", "reproduce", "vm"),
    "result": ("",),
    "machine": BASE,
    "stats": BASE,
    "foreign": (*BASE, "stats"),
    "measure": (*BASE, "machine", "stats"),
    "page": (*BASE, "stats"),
    "compare": (*BASE, "machine", "stats", "measure", "page", "foreign"),
    "hosts": (*BASE, "machine", "stats", "measure", "page", "compare", "qualify"),
    "vm": (*BASE, "machine", "measure", "compare"),
    "gate": (*BASE, "machine", "stats", "measure", "page", "vm"),
    "qualify": (*BASE, "machine", "stats", "measure", "page"),
    "history": (*BASE, "stats", "page", "foreign", "gate", "qualify"),
    "export": (*BASE, "history"),
    "qemu": (*BASE, "machine", "stats", "measure", "page"),
    "copy": (*BASE, "machine", "stats", "measure", "page"),
    "reproduce": (*BASE, "machine", "stats", "measure", "page", "compare"),
    "report": (*BASE, "page", "foreign", "compare", "gate", "qualify", "hosts"),
}
# Of the modules beside the packages, cli alone sees packages, and only what the options need.
TOP, TOP_MAY = "cli", {"measure.targets"}

# Imported before the set-up, with all that they import.
BEFORE_SETUP = ("cli", "compare.before", "qualify.before", "vm.plan", "reproduce.plan", "hosts.agent")
OWN = {"setuplib"}


def module_of(path: Path) -> str:
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {module_of(path): ast.parse(path.read_text()) for path in sorted(LIBRARY.rglob("*.py"))}
PACKAGES = {module_of(path.parent / "__init__.py") for path in LIBRARY.rglob("__init__.py")}


def package_of(module: str) -> str:
    return module if module in PACKAGES else module.rpartition(".")[0]


def imported(module: str, node: ast.ImportFrom) -> list[str]:
    """The modules of benchlib that a relative import names."""
    here = package_of(module).split(".") if package_of(module) else []
    base = here[:len(here) - node.level + 1]
    base += node.module.split(".") if node.module else []
    names = [".".join([*base, alias.name]) for alias in node.names]
    return [name if name in TREES else ".".join(base) for name in names]


def graph() -> dict[str, set[str]]:
    found = defaultdict(set)
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                found[module].update(imported(module, node))
    return found


GRAPH = graph()


def forbidden() -> list[str]:
    problems = [f"package {package} is not in the table"
                for package in PACKAGES if package not in ALLOWED]
    for module, others in GRAPH.items():
        mine = package_of(module)
        for other in others:
            theirs = package_of(other)
            if mine == theirs or (mine and theirs in ALLOWED.get(mine, ())):
                continue
            named = module == TOP and (other in TOP_MAY or other.endswith("options"))
            if not named:
                problems.append(f"{module} imports {other}")
    return problems


def packages_graph() -> dict[str, set[str]]:
    found = defaultdict(set)
    for module, others in GRAPH.items():
        if package_of(module):
            found[package_of(module)] |= {package_of(other) for other in others
                                          if package_of(other) not in ("", package_of(module))}
    return found


def late() -> list[str]:
    """Imports inside functions: they hide circles. What the set-up installs is imported by name in
    cli.py."""
    return [f"{module}:{node.lineno}: an import inside a function"
            for module, tree in TREES.items()
            for function in ast.walk(tree) if isinstance(function, ast.FunctionDef)
            for node in ast.walk(function)
            if isinstance(node, ast.ImportFrom) and node.level]


def reached(start: str) -> set[str]:
    found, rest = set(), [start]
    while rest:
        module = rest.pop()
        if module not in found:
            found.add(module)
            rest += [*GRAPH[module], *([package_of(module)] if package_of(module) else [])]
    return found


def installed_by_setup() -> list[str]:
    problems = []
    for module in sorted(set().union(*map(reached, BEFORE_SETUP))):
        for node in ast.walk(TREES[module]):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
                [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            problems += [f"{module} imports {name}" for name in names
                         if name.partition(".")[0] not in sys.stdlib_module_names | OWN]
    return problems


def same_names() -> list[str]:
    classes = defaultdict(list)
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                classes[node.name].append(module)
    return [f"class {name} in {' and '.join(modules)}"
            for name, modules in classes.items() if len(modules) > 1]


def without_docstring() -> list[str]:
    return [module or "benchlib" for module, tree in TREES.items() if not ast.get_docstring(tree)]


def main() -> None:
    tap = Tap()
    tap.case("packages import what the table allows", forbidden())
    tap.case("no circle of modules", circle(GRAPH))
    tap.case("no circle of packages", circle(packages_graph()))
    tap.case("no import inside a function", late())
    tap.case("before the set-up: standard library only", installed_by_setup())
    tap.case("no two classes of one name", same_names())
    tap.case("every module says what it is", without_docstring())
    tap.finish()


main()

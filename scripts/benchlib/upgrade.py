# SPDX-License-Identifier: MIT OR Apache-2.0
"""Results of older schemas, brought to the one of today when they are read.

    1   one workload, block size and job for all; one baseline for all contenders
"""

from __future__ import annotations

from typing import Any, Callable

from .codec import DecodeError
from .model import SCHEMA

Tree = dict[str, Any]


def upgrade(value: Tree) -> Tree:
    """The value in today's schema, if its schema is known; else as it is."""
    try:
        step = STEPS.get(value.get("schema", ""))
        return upgrade(step(value)) if step else value
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise DecodeError(f"no valid {value['schema']}: {error!r}") from error


def _from_1(old: Tree) -> Tree:
    settings = dict(old["settings"])
    rw, size, baseline = settings.pop("rw"), settings.pop("block_size"), old["baseline"]
    settings.update(workloads=[rw], block_sizes=[size], numjobs=[1], until=None, budget=None,
                    cpus=[settings.pop("cpu")])

    def with_case(items: list[Tree], **more: Any) -> list[Tree]:
        return [{"case": {"target": item["target"], "rw": rw, "block_size": size,
                          "depth": item["depth"], "numjobs": 1}, **more,
                 **{key: item[key] for key in item if key not in ("target", "depth")}}
                for item in items]

    new = {key: value for key, value in old.items() if key != "baseline"}
    return {**new, "schema": SCHEMA, "settings": settings,
            "contenders": [_contender_from_1(item, old, baseline) for item in old["contenders"]],
            "summaries": with_case(old["summaries"]),
            "system_calls": with_case(old["system_calls"]),
            "samples": with_case(old["samples"], at=None)}


def _contender_from_1(item: Tree, old: Tree, baseline: str) -> Tree:
    own = any("external:" in option for option in item["options"])
    return {**item, "against": "" if item["name"] == baseline else baseline,
            "build": old["environment"]["libblkio"] if own else "",
            "fio": old["environment"]["fio"]}


STEPS: dict[str, Callable[[Tree], Tree]] = {"libblkio-bench/1": _from_1}

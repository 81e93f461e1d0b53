# SPDX-License-Identifier: MIT OR Apache-2.0
"""Results of older schemas, brought to the one of today when they are read.

    libblkio-bench/1            one workload, block size and job for all; one baseline
    libblkio-bench/2, -gate/1,  engines were called contenders
    -qualification/1
    libblkio-bench/3, -gate/2   no logs of what happened within a run
    libblkio-qualification/2    "not-qualified" is "failed"; "qualified" needed no steady state;
                                nothing was scaled
"""

from __future__ import annotations

from typing import Any, Callable

from .codec import DecodeError

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
    return {**new, "schema": "libblkio-bench/2", "settings": settings,
            "contenders": [_engine_from_1(item, old, baseline) for item in old["contenders"]],
            "summaries": with_case(old["summaries"]),
            "system_calls": with_case(old["system_calls"]),
            "samples": with_case(old["samples"], at=None)}


def _engine_from_1(item: Tree, old: Tree, baseline: str) -> Tree:
    own = any("external:" in option for option in item["options"])
    return {**item, "against": "" if item["name"] == baseline else baseline,
            "build": old["environment"]["libblkio"] if own else "",
            "fio": old["environment"]["fio"]}


NAMES = {"contender": "engine", "contenders": "engines"}


def _renamed(value: Any) -> Any:
    """The value with the keys in NAMES called as they are today."""
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    if isinstance(value, dict):
        return {NAMES.get(key, key): _renamed(item) for key, item in value.items()}
    return value


def _engines(schema: str) -> Callable[[Tree], Tree]:
    return lambda old: {**_renamed(old), "schema": schema}


_OF_DISKS = ("failing", "reallocated_sectors", "pending_sectors", "link_errors", "worn_attributes")


def _qualification_from_2(old: Tree) -> Tree:
    word = "failed" if old["verdict"] == "not-qualified" else old["verdict"]
    steps = [{**step, "points": [{**point, "within": None} for point in step["points"]]}
             for step in old["steps"]]
    health = {name: value and {**dict.fromkeys(_OF_DISKS), **value} for name, value in
              ((name, old[name]) for name in ("health_before", "health_after"))}
    return {**old, **health, "schema": "libblkio-qualification/3", "verdict": word, "steps": steps,
            "plan": {**old["plan"], "scale": 1.0}}


def _without_logs(schema: str) -> Callable[[Tree], Tree]:
    return lambda old: {**old, "schema": schema, "settings": {**old["settings"], "log_ms": 0},
                        "samples": [{**sample, "within": None} for sample in old["samples"]]}


STEPS: dict[str, Callable[[Tree], Tree]] = {
    "libblkio-bench/1": _from_1,
    "libblkio-bench/2": _engines("libblkio-bench/3"),
    "libblkio-bench/3": _without_logs("libblkio-bench/4"),
    "libblkio-gate/1": _engines("libblkio-gate/2"),
    "libblkio-gate/2": _without_logs("libblkio-gate/3"),
    "libblkio-qualification/1": _engines("libblkio-qualification/2"),
    "libblkio-qualification/2": _qualification_from_2,
}

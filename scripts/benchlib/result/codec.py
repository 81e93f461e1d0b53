# SPDX-License-Identifier: MIT OR Apache-2.0
"""Dataclasses to plain JSON values and back, checking every field on the way in."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")


class DecodeError(ValueError):
    """A value does not fit its class; the text names the place, as in samples[3].iops."""


def encode(value: Any) -> Any:
    """A JSON value for a dataclass, list, dict or scalar."""
    if dataclasses.is_dataclass(value):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    return value


def decode(kind: type[T], value: Any, where: str = "") -> T:
    """The dataclass `kind` from a JSON value; DecodeError when anything in it does not fit."""
    return typing.cast(T, _decode(kind, value, where))


@functools.cache
def _fields(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decode(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _decode_class(typing.cast(type, kind), value, where)
    if origin is types.UnionType:
        present = [option for option in arguments if option is not type(None)]
        return None if value is None else _decode(present[0], value, where)
    if origin is list:
        _expect(isinstance(value, list), "a list", value, where)
        return [_decode(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is tuple:
        _expect(isinstance(value, list) and len(value) == len(arguments),
                f"a list of {len(arguments)}", value, where)
        return tuple(_decode(kind, item, f"{where}[{i}]")
                     for i, (kind, item) in enumerate(zip(arguments, value)))
    if origin is dict:
        _expect(isinstance(value, dict), "an object", value, where)
        return {key: _decode(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    return _decode_scalar(kind, value, where)


def _decode_class(kind: type, value: Any, where: str) -> Any:
    _expect(isinstance(value, dict), "an object", value, where)
    fields = _fields(kind)
    for wrong, word in ((fields.keys() - value.keys(), "missing"),
                        (value.keys() - fields.keys(), "unknown")):
        if wrong:
            raise DecodeError(f"{where or 'result'}: {word} field {', '.join(sorted(wrong))}")
    prefix = f"{where}." if where else ""
    return kind(**{name: _decode(hint, value[name], prefix + name)
                   for name, hint in fields.items()})


def _decode_scalar(kind: type, value: Any, where: str) -> Any:
    if kind is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        _expect(number and math.isfinite(value), "a finite number", value, where)
        return float(value)
    # bool is a subclass of int: compare the types themselves
    _expect(type(value) is kind, f"of type {kind.__name__}", value, where)
    return value


def _expect(ok: bool, wanted: str, value: Any, where: str) -> None:
    if not ok:
        raise DecodeError(f"{where or 'result'}: must be {wanted}, got {value!r:.60}")

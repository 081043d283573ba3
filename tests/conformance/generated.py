"""Requests that break their operation's model in one place each, made from whole requests.

Pure: shapes in, (what is broken, parameters) out. A fault is a value that the model rules out at that place; what a
protocol cannot say at all (a structure where a form has a text) is left to its own bytes.
"""

import base64
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from neargate.wire.shapes import Member, ServiceModel, Shape
from neargate.wire.violations import python_pattern

LONG = 65_536
DEEP = 10_000
COUNT_MAX = 2_000  # a limit above this is not exceeded in lists: the request itself would be refused for its size
TEXT_MAX = 200_000
WRONG: dict[str, tuple[Any, ...]] = {
    "string": ([], {}, ["x"]),
    "integer": ("abc", [], {}, 2**80),
    "long": ("abc", [], {}, 2**80),
    "float": ("abc", [], {}),
    "double": ("abc", [], {}),
    "boolean": ("perhaps", [], {}),
    "timestamp": ("yesterday", [], {}),
    "blob": ([], {}, "="),
    "list": ("x", 1, {}),
    "map": ("x", 1, []),
    "structure": ("x", 1, [1]),
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`kind`: missing, enum, limit, type. `path`: of the value that is broken."""

    kind: str
    path: tuple[str | int, ...]
    params: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.kind} at {'.'.join(map(str, self.path))}"


def faults(model: ServiceModel, shape: Shape, params: dict[str, Any], kinds: frozenset[str]) -> Iterator[Fault]:
    for path, member_shape, value, is_required in places(model, shape, params):
        if is_required and "missing" in kinds:
            yield Fault(kind="missing", path=path, params=without(params, path))
        if member_shape.enum and "enum" in kinds:
            yield Fault(kind="enum", path=path, params=replaced(params, path, "no-such-value"))
        if "limit" in kinds:
            for beyond in beyond_limits(member_shape, value):
                yield Fault(kind="limit", path=path, params=replaced(params, path, beyond))
        if "type" in kinds and not member_shape.document:
            for wrong in WRONG[member_shape.type]:
                yield Fault(kind="type", path=path, params=replaced(params, path, wrong))


def places(
    model: ServiceModel, shape: Shape, value: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Shape, Any, bool]]:
    """Every value below `value`: its path, its shape, itself, whether it must be there."""
    children: list[tuple[str | int, Member | None, bool]] = []
    if shape.type == "structure":
        children = [(name, shape.members[name], name in shape.required) for name in value]
    elif shape.type == "list":
        children = [(place, shape.element, False) for place in range(min(1, len(value)))]
    elif shape.type == "map":
        children = [(key, shape.value, False) for key in list(value)[:1]]
    for name, member, is_required in children:
        assert member is not None
        inner = model.shape(member.shape)
        yield (*path, name), inner, value[name], is_required
        yield from places(model, inner, value[name], (*path, name))


def beyond_limits(shape: Shape, value: Any) -> Iterator[Any]:
    low, high = shape.minimum, shape.maximum
    if shape.type in ("integer", "long", "float", "double"):
        if low is not None and low > -(2**31):
            yield low - 1
        if high is not None and high < 2**31 - 1:
            yield high + 1
    elif shape.type == "string" and not shape.enum:
        if low is not None and low >= 1:
            yield "x" * (int(low) - 1)
        if high is not None and high < TEXT_MAX:
            yield "x" * (int(high) + 1)
        if shape.pattern is not None and (high is None or high >= 3):
            pattern = python_pattern(shape.pattern)
            yield from (text for text in ("\x07\x07\x07",) if pattern and re.search(pattern, text) is None)
    elif shape.type == "list" and value:
        if low is not None and low >= 1:
            yield value[:1] * (int(low) - 1)
        if high is not None and high < COUNT_MAX:
            yield value[:1] * (int(high) + 1)
    elif shape.type == "map" and value and high is not None and high < COUNT_MAX:
        first = next(iter(value.values()))
        yield {f"k{number}": first for number in range(int(high) + 1)}


def replaced(params: dict[str, Any], path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(params)
    holder(changed, path)[path[-1]] = value
    return changed


def without(params: dict[str, Any], path: tuple[str | int, ...]) -> dict[str, Any]:
    changed = copy.deepcopy(params)
    del holder(changed, path)[path[-1]]
    return changed


def holder(params: Any, path: tuple[str | int, ...]) -> Any:
    for step in path[:-1]:
        params = params[step]
    return params


def jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [jsonable(item) for item in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def form(model: ServiceModel, shape: Shape | None, params: dict[str, Any], protocol: str) -> list[tuple[str, str]]:
    """As the query and ec2 protocols write parameters; wrong values are written as they are."""
    pairs: list[tuple[str, str]] = []
    if shape is not None:
        _write(model, shape, params, "", protocol == "ec2", pairs)
    return pairs


def _write(model: ServiceModel, shape: Shape, value: Any, name: str, ec2: bool, pairs: list[tuple[str, str]]) -> None:
    if shape.type == "structure" and isinstance(value, dict):
        for key, item in value.items():
            member = shape.members[key]
            _write(model, model.shape(member.shape), item, f"{name}{_form_name(member, ec2)}.", ec2, pairs)
    elif shape.type == "list" and isinstance(value, list):
        assert shape.element is not None
        flat = ec2 or shape.flattened
        for place, item in enumerate(value, start=1):
            at = f"{name}{place}." if flat else f"{name}{shape.element.location_name or 'member'}.{place}."
            _write(model, model.shape(shape.element.shape), item, at, ec2, pairs)
    elif shape.type == "map" and isinstance(value, dict):
        assert shape.value is not None
        for place, (key, item) in enumerate(value.items(), start=1):
            pairs.append((f"{name}entry.{place}.key", key))
            _write(model, model.shape(shape.value.shape), item, f"{name}entry.{place}.value.", ec2, pairs)
    else:
        text = base64.b64encode(value).decode() if isinstance(value, bytes) else value
        shown = str(text).lower() if isinstance(text, bool) else str(text)
        pairs.append((name.rstrip("."), shown))


def _form_name(member: Member, ec2: bool) -> str:
    if not ec2:
        return member.location_name or member.name
    named = member.location_name or member.name
    return member.query_name or named[0].upper() + named[1:]


def encoded(pairs: list[tuple[str, str]]) -> bytes:
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs).encode()

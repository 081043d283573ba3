"""Walks a decoded JSON value along a shape: a wrong JSON type is an error at once, broken constraints are collected.

The slow path: only for bodies that the typed decoder refused. Unknown members are dropped, nulls are absent members,
both as AWS does. Depth is bounded by the decoder's.
"""

import base64
import binascii
from typing import Any

from .faults import SerializationError
from .shapes import Member, ServiceModel, Shape
from .typed import INTEGER_MAX, LONG_MAX
from .violations import NOT_NULL, Violation, constraints, element_path, member_path, shown

_JAVA_TYPES = {
    "string": "String",
    "integer": "Integer",
    "long": "Long",
    "float": "Float",
    "double": "Double",
    "boolean": "Boolean",
    "timestamp": "milliseconds since epoch",
    "blob": "ByteBuffer",
}


def walk_structure(model: ServiceModel, shape: Shape, value: Any, path: str, found: list[Violation]) -> dict[str, Any]:
    """The structure as params; violations are appended to `found`. Raises SerializationError."""
    if not isinstance(value, dict):
        raise _wrong(shape, value)
    kept = {}
    for name, member in shape.members.items():
        item = value.get(name)
        inner = member_path(path, name)
        if item is not None:
            kept[name] = _walk(model, member, item, inner, found)
        elif name in shape.required:
            found.append(Violation(inner, "null", NOT_NULL))
    return kept


def _walk(model: ServiceModel, member: Member, value: Any, path: str, found: list[Violation]) -> Any:
    shape = model.shape(member.shape)
    if shape.type == "structure":
        return walk_structure(model, shape, value, path, found)
    if shape.type == "list":
        return _walk_list(model, shape, value, path, found)
    if shape.type == "map":
        return _walk_map(model, shape, value, path, found)
    value = _scalar(shape, value)
    check(shape, value, path, found)
    return value


def check(shape: Shape, value: Any, path: str, found: list[Violation]) -> None:
    found.extend(Violation(path, shown(shape, value), broken) for broken in constraints(shape, value))


def _walk_list(model: ServiceModel, shape: Shape, value: Any, path: str, found: list[Violation]) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(shape, value)
    assert shape.element is not None
    check(shape, value, path, found)
    inner = model.shape(shape.element.shape)
    if inner.type == "string":
        return walk_strings(
            shape, inner, [None if item is None else _scalar(inner, item) for item in value], path, found
        )
    kept = []
    for index, item in enumerate(value):
        if item is None:
            found.append(Violation(element_path(path, index), "null", NOT_NULL))
        else:
            kept.append(_walk(model, shape.element, item, element_path(path, index), found))
    return kept


def walk_strings(shape: Shape, inner: Shape, value: list[Any], path: str, found: list[Violation]) -> list[Any]:
    """A list of strings has one violation for all its elements, which names the elements' constraints."""
    broken: dict[str, None] = {}
    for item in value:
        broken.update(dict.fromkeys([NOT_NULL] if item is None else constraints(inner, item)))
    if broken:
        text = f"Member must satisfy constraint: [{', '.join(broken)}]"
        found.append(Violation(path, shown(inner if inner.sensitive else shape, value), text))
    return value


def _walk_map(model: ServiceModel, shape: Shape, value: Any, path: str, found: list[Violation]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(shape, value)
    assert shape.key is not None and shape.value is not None
    check(shape, value, path, found)
    keys = model.shape(shape.key.shape)
    kept = {}
    for key, item in value.items():
        inner = f"{path}.{key[:256]}.member"
        check(keys, key, inner, found)
        if item is None:
            found.append(Violation(inner, "null", NOT_NULL))
        else:
            kept[key] = _walk(model, shape.value, item, inner, found)
    return kept


def _scalar(shape: Shape, value: Any) -> Any:
    match shape.type:
        case "string" if isinstance(value, str):
            return value
        case "boolean" if isinstance(value, bool):
            return value
        case "integer" | "long" if isinstance(value, int | float) and not isinstance(value, bool):
            limit = INTEGER_MAX if shape.type == "integer" else LONG_MAX
            if value == int(value) and -limit - 1 <= value <= limit:
                return int(value)
        case "float" | "double" | "timestamp" if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                pass  # an integer of hundreds of digits is no number of this type; refused below
        case "blob" if isinstance(value, str):
            try:
                return base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                raise SerializationError("Invalid base64 in a binary value") from None
    raise _wrong(shape, value)


def _wrong(shape: Shape, value: Any) -> SerializationError:
    """AWS's words for a value of the wrong JSON type."""
    if shape.type == "list":
        return SerializationError("Expected list or null")
    if shape.type in ("structure", "map"):
        return SerializationError("Unexpected value type in payload")
    if isinstance(value, dict):
        return SerializationError("Start of structure or map found where not expected.")
    if isinstance(value, list):
        return SerializationError("Start of list found where not expected")
    if isinstance(value, bool):
        token = "TRUE_VALUE" if value else "FALSE_VALUE"
    else:
        token = "STRING_VALUE" if isinstance(value, str) else "NUMBER_VALUE"
    return SerializationError(f"{token} cannot be converted to {_JAVA_TYPES[shape.type]}")

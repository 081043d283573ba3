"""Walks a decoded JSON or CBOR value along a shape: a wrong type is an error at once, broken constraints are collected.

The slow path: in JSON only for bodies that the typed decoder refused. Unknown members are dropped, nulls are absent
members, both as AWS does. Depth is bounded by the decoder's, work by VALUES_MAX: the walk runs in the event loop.
"""

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Any

from .cbor import Moment
from .faults import SerializationError
from .shapes import Member, ServiceModel, Shape
from .timestamps import bounded, read_moment
from .typed import INTEGER_MAX, LONG_MAX
from .violations import NOT_NULL, VIOLATIONS_MAX, Violation, constraints, element_path, member_path, shown

VALUES_MAX = 25_000
SPECIAL_FLOATS = ("NaN", "Infinity", "-Infinity")

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


Leaf = Callable[[Member, Shape, Any], Any]  # a scalar's value, or SerializationError


class Walker:
    """One walk of one request. Broken constraints are in `found`, at most VIOLATIONS_MAX of them."""

    def __init__(self, model: ServiceModel, leaf: "Leaf | None" = None) -> None:
        """`leaf`: how scalars are written, `json_scalar` unless told; CBOR also has members under their own names."""
        self.found: list[Violation] = []
        self._model = model
        self._leaf = leaf or json_scalar
        self._renamed = self._leaf is json_scalar
        self._values_left = VALUES_MAX

    def structure(
        self, shape: Shape, value: Any, path: str = "", members: Iterable[Member] | None = None
    ) -> dict[str, Any]:
        """The structure, or those of its members, as params. Raises SerializationError."""
        if shape.document:
            return value  # type: ignore[no-any-return]  # any JSON is one
        if not isinstance(value, dict):
            raise _wrong(shape, value)
        self._spend(1)
        kept = {}
        for member in shape.members.values() if members is None else members:
            name = member.name
            item = value.get(member.wire if self._renamed else name)
            inner = member_path(path, name)
            if item is not None:
                kept[name] = self.value(member, item, inner)
            elif name in shape.required:
                self.report(Violation(inner, "null", NOT_NULL))
        if shape.union and len(kept) > 1:
            raise SerializationError(f"Unexpected: more than one member of the union {shape.name} is set")
        return kept

    def _spend(self, values: int) -> None:
        self._values_left -= values
        if self._values_left < 0:
            raise SerializationError("The request has too many values")

    def report(self, violation: Violation) -> None:
        if len(self.found) < VIOLATIONS_MAX:
            self.found.append(violation)

    def value(self, member: Member, value: Any, path: str) -> Any:
        shape = self._model.shape(member.shape)
        if shape.type == "structure":
            return self.structure(shape, value, path)
        if shape.type == "list":
            return self._list(shape, value, path)
        if shape.type == "map":
            return self._map(shape, value, path)
        value = self._leaf(member, shape, value)
        self._check(shape, value, path)
        return value

    def _check(self, shape: Shape, value: Any, path: str) -> None:
        for violation in violations_of(shape, value, path):
            self.report(violation)

    def _list(self, shape: Shape, value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong(shape, value)
        assert shape.element is not None
        self._spend(len(value))
        self._check(shape, value, path)
        inner = self._model.shape(shape.element.shape)
        if inner.type == "string":
            kept = [None if item is None else self._leaf(shape.element, inner, item) for item in value]
            for violation in violations_of_strings(shape, inner, kept, path):
                self.report(violation)
            return kept
        kept = []
        for index, item in enumerate(value):
            place = element_path(path, index)
            if item is None:
                self.report(Violation(place, "null", NOT_NULL))
            else:
                kept.append(self.value(shape.element, item, place))
        return kept

    def _map(self, shape: Shape, value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(shape, value)
        assert shape.key is not None and shape.value is not None
        self._spend(len(value))
        self._check(shape, value, path)
        keys = self._model.shape(shape.key.shape)
        kept = {}
        for key, item in value.items():
            place = f"{path}.{key[:256]}.member"
            self._check(keys, key, place)
            if item is None:
                self.report(Violation(place, "null", NOT_NULL))
            else:
                kept[key] = self.value(shape.value, item, place)
        return kept


def violations_of(shape: Shape, value: Any, path: str) -> list[Violation]:
    """Of the value itself, not of what is inside it."""
    return [Violation(path, shown(shape, value), broken) for broken in constraints(shape, value)]


def violations_of_strings(shape: Shape, inner: Shape, value: list[Any], path: str) -> list[Violation]:
    """A list of strings has one violation for all its elements, which names the elements' constraints."""
    broken: dict[str, None] = {}
    for item in value:
        broken.update(dict.fromkeys([NOT_NULL] if item is None else constraints(inner, item)))
    if not broken:
        return []
    text = f"Member must satisfy constraint: [{', '.join(broken)}]"
    return [Violation(path, shown(inner if inner.sensitive else shape, value), text)]


def json_scalar(member: Member, shape: Shape, value: Any) -> Any:
    """Raises SerializationError."""
    match shape.type:
        case "timestamp":
            return _json_moment(member.timestamp_format or shape.timestamp_format, shape, value)
        case "float" | "double" if isinstance(value, str) and value in SPECIAL_FLOATS:
            return float(value)
        case "blob" if isinstance(value, str):
            try:
                return base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                raise SerializationError("Invalid base64 in a binary value") from None
    return _plain_scalar(shape, value)


def cbor_scalar(member: Member, shape: Shape, value: Any) -> Any:
    """Raises SerializationError."""
    del member
    match shape.type:
        case "timestamp" if isinstance(value, Moment):
            return float(value)
        case "blob" if isinstance(value, bytes):
            return value
    if isinstance(value, bytes | Moment):
        raise SerializationError("A binary value or timestamp was found where not expected")
    return _plain_scalar(shape, value)


def _plain_scalar(shape: Shape, value: Any) -> Any:
    match shape.type:
        case "string" if isinstance(value, str):
            return value
        case "boolean" if isinstance(value, bool):
            return value
        case "integer" | "long" if isinstance(value, int | float) and not isinstance(value, bool):
            limit = INTEGER_MAX if shape.type == "integer" else LONG_MAX
            if -limit - 1 <= value <= limit and value == int(value):
                return int(value)
        case "float" | "double" if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                pass  # an integer of hundreds of digits is no number of this type; refused below
    raise _wrong(shape, value)


def _json_moment(style: str | None, shape: Shape, value: Any) -> float:
    """A number, or the text that the member's format asks for."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise _wrong(shape, value) from None
    moment = read_moment(value, style) if isinstance(value, str) and style is not None else None
    if moment is None or bounded(moment) is None:
        raise _wrong(shape, value)
    return moment


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

"""An answer as plain values of JSON or CBOR, made by walking it along its shape. Pure.

Needed where the wire's form differs from ours: renamed members, timestamps that are not a number, numbers that JSON has
no form for. Members that are absent or None are left out, and so is what the shape does not have.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

from .cbor import Moment
from .shapes import Member, ServiceModel, Shape
from .timestamps import UNIX, write_moment

Leaf = Callable[[Member, Shape, Any], Any]


def json_leaf(member: Member, shape: Shape, value: Any) -> Any:
    if shape.type == "timestamp":
        style = member.timestamp_format or shape.timestamp_format or UNIX
        return value if style == UNIX else write_moment(float(value), style)
    if shape.type in ("float", "double"):
        return special_float(float(value))
    return value  # the encoder writes bytes in base64


def cbor_leaf(member: Member, shape: Shape, value: Any) -> Any:
    del member
    if shape.type == "timestamp":
        return Moment(value)
    return float(value) if shape.type in ("float", "double") else value


def special_float(value: float) -> float | str:
    """JSON has no NaN and no infinity: they are texts."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


class Writer:
    """`leaf` gives scalars their form; members have their JSON names unless `own_names`."""

    def __init__(self, model: ServiceModel, leaf: Leaf, *, own_names: bool = False) -> None:
        self._model = model
        self._leaf = leaf
        self._own_names = own_names

    def structure(self, shape: Shape, value: dict[str, Any], members: Iterable[Member] | None = None) -> dict[str, Any]:
        if shape.document:
            return value
        kept = {}
        for member in shape.members.values() if members is None else members:
            item = value.get(member.name)
            if item is not None:
                kept[member.name if self._own_names else member.wire] = self.value(member, item)
        return kept

    def value(self, member: Member, value: Any) -> Any:
        if value is None:
            return None
        shape = self._model.shape(member.shape)
        if shape.type == "structure":
            return self.structure(shape, value)
        if shape.type == "list":
            assert shape.element is not None
            return [self.value(shape.element, item) for item in value]
        if shape.type == "map":
            assert shape.value is not None
            return {key: self.value(shape.value, item) for key, item in value.items() if item is not None}
        return self._leaf(member, shape, value)


def needs_walk(model: ServiceModel, shape: Shape) -> bool:
    """Whether any answer of this shape has a form in JSON that differs from ours."""
    return _differs(model, shape, set())


def _differs(model: ServiceModel, shape: Shape, seen: set[str]) -> bool:
    if shape.name in seen:
        return False
    seen.add(shape.name)
    inner = [*shape.members.values(), *(part for part in (shape.element, shape.value) if part is not None)]
    if any(_is_other_moment(model, member) for member in inner):
        return True
    if any(member.wire != member.name for member in shape.members.values()):
        return True
    if shape.element is not None and model.shape(shape.element.shape).type in ("float", "double"):
        return True  # a NaN among them is found nowhere else
    return any(_differs(model, model.shape(member.shape), seen) for member in inner)


def _is_other_moment(model: ServiceModel, member: Member) -> bool:
    shape = model.shape(member.shape)
    style = member.timestamp_format or shape.timestamp_format or UNIX
    return shape.type == "timestamp" and style != UNIX

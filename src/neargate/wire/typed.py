"""Types for msgspec made from shapes: it decodes and checks a JSON body in C, straight into plain dicts.

A body that these types refuse is walked again by `walk.py`, which finds all that is wrong and AWS's words for it. So
the types may be stricter than the walker (a null member), never laxer.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Required, TypedDict

import msgspec

from .shapes import Member, ServiceModel, Shape
from .violations import python_pattern

INTEGER_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1


class Untypable(Exception):
    """A shape that contains itself, or is read otherwise than it is written; the walker does it alone."""


def request_type(model: ServiceModel, shape: Shape) -> Any:
    """A TypedDict for an input structure. Raises Untypable."""
    return _structure(model, shape, (shape.name,))


Judge = Callable[[Any], bool]


def unions_judge(model: ServiceModel, shape: Shape) -> Judge | None:
    """Of a decoded value, whether each union in it has at most one member; None when there is no union in the shape.

    The types cannot say it. Only for shapes that `request_type` has a type for: those end.
    """
    if shape.type == "list":
        assert shape.element is not None
        element = unions_judge(model, model.shape(shape.element.shape))
        return None if element is None else lambda value: all(map(element, value))
    if shape.type == "map":
        assert shape.value is not None
        item = unions_judge(model, model.shape(shape.value.shape))
        return None if item is None else lambda value: all(map(item, value.values()))
    inner = [(name, unions_judge(model, model.shape(member.shape))) for name, member in shape.members.items()]
    judges = [(name, judge) for name, judge in inner if judge is not None]
    if not judges and not shape.union:
        return None
    limit = 1 if shape.union else len(shape.members)
    return lambda value: len(value) <= limit and all(judge(value[name]) for name, judge in judges if name in value)


def _structure(model: ServiceModel, shape: Shape, path: tuple[str, ...]) -> Any:
    if shape.document:
        raise Untypable(shape.name)
    fields = {}
    for name, member in shape.members.items():
        if member.wire != name or member.timestamp_format is not None or member.location is not None:
            raise Untypable(shape.name)
        inner = _type(model, member, path)
        fields[name] = Required[inner] if name in shape.required else inner
    return TypedDict(shape.name, fields, total=False)  # type: ignore[operator]


def _type(model: ServiceModel, member: Member, path: tuple[str, ...]) -> Any:
    shape = model.shape(member.shape)
    if shape.type in ("structure", "list", "map"):
        if shape.name in path:
            raise Untypable(shape.name)
        path = (*path, shape.name)
    if shape.type == "structure":
        return _structure(model, shape, path)
    if shape.type == "list":
        assert shape.element is not None
        return _bounded(list[_type(model, shape.element, path)], shape)  # type: ignore[misc]
    if shape.type == "map":
        assert shape.key is not None and shape.value is not None
        key, value = _type(model, shape.key, path), _type(model, shape.value, path)
        return _bounded(dict[key, value], shape)  # type: ignore[valid-type]
    return _scalar(shape)


def _scalar(shape: Shape) -> Any:
    if shape.type == "string":
        if shape.enum:
            return Literal[shape.enum]
        return _bounded(str, shape)
    if shape.type == "boolean":
        return bool
    if shape.type == "blob":
        return _bounded(bytes, shape)
    if shape.type in ("integer", "long"):
        limit = INTEGER_MAX if shape.type == "integer" else LONG_MAX
        low = -limit - 1 if shape.minimum is None else int(shape.minimum)
        high = limit if shape.maximum is None else int(shape.maximum)
        return Annotated[int, msgspec.Meta(ge=low, le=high)]
    if shape.type in ("float", "double"):
        return Annotated[float, msgspec.Meta(ge=shape.minimum, le=shape.maximum)]
    if shape.type == "timestamp" and shape.timestamp_format is None:
        return float
    if shape.type == "timestamp":
        raise Untypable(shape.name)
    raise AssertionError(f"unknown type {shape.type} of {shape.name}")


def _bounded(inner: Any, shape: Shape) -> Any:
    pattern = None if shape.pattern is None else python_pattern(shape.pattern)
    if shape.minimum is None and shape.maximum is None and pattern is None:
        return inner
    minimum = None if shape.minimum is None else int(shape.minimum)
    maximum = None if shape.maximum is None else int(shape.maximum)
    return Annotated[inner, msgspec.Meta(min_length=minimum, max_length=maximum, pattern=pattern)]

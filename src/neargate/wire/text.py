"""Scalars as text: in forms, labels, query strings and headers. Pure. What is not of the shape's type is refused."""

import base64
import binascii
import re
from typing import Any

from .faults import SerializationError
from .plain import special_float
from .shapes import Member, Shape
from .timestamps import bounded, read_moment, write_moment
from .typed import INTEGER_MAX, LONG_MAX

SPECIAL_FLOATS = ("NaN", "Infinity", "-Infinity")
_INTEGER = re.compile(r"-?\d{1,19}", re.ASCII)
_FLOAT = re.compile(r"-?\d{1,64}(\.\d{1,64})?([eE][+-]?\d{1,3})?", re.ASCII)
# Possessive throughout: a header of spaces and quotes must not be tried in every way there is.
_HEADER_ITEM = re.compile(r'[ \t]*+(?:"((?:[^"\\]|\\.)*+)"[ \t]*+|([^",]*+))(?:,|\Z)')


class NotThat(Exception):
    """The text is no value of the shape's type."""


def parse_scalar(shape: Shape, text: str, style: str | None) -> Any:
    """`style`: how timestamps are written. Raises NotThat."""
    match shape.type:
        case "string":
            return text
        case "boolean" if text.lower() in ("true", "false"):
            return text.lower() == "true"
        case "integer" | "long" if _INTEGER.fullmatch(text):
            limit = INTEGER_MAX if shape.type == "integer" else LONG_MAX
            if -limit - 1 <= int(text) <= limit:
                return int(text)
        case "float" | "double" if _FLOAT.fullmatch(text) or text in SPECIAL_FLOATS:
            return float(text)
        case "timestamp":
            moment = read_moment(text, style)
            if moment is not None and bounded(moment) is not None:
                return moment
        case "blob":
            try:
                return base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                pass  # not base64; refused below like any other wrong value
    raise NotThat


def read_scalar(member: Member, shape: Shape, text: str, style: str) -> Any:
    """Of rest-json; `style` is the place's own for timestamps. Raises SerializationError."""
    try:
        return parse_scalar(shape, text, member.timestamp_format or shape.timestamp_format or style)
    except NotThat:
        raise SerializationError(f"The value of {member.wire} is not a {shape.type}") from None


def written_scalar(member: Member, shape: Shape, value: Any, style: str) -> str:
    match shape.type:
        case "boolean":
            return "true" if value else "false"
        case "timestamp":
            return write_moment(float(value), member.timestamp_format or shape.timestamp_format or style)
        case "float" | "double":
            return str(special_float(float(value)))
        case "blob":
            return base64.b64encode(value).decode()
    return str(value)


def header_list(text: str, *, dates: bool) -> list[str]:
    """Items between commas; quoted ones may hold commas, and HTTP's dates hold one each. Raises SerializationError."""
    if dates:
        parts = [part.strip() for part in text.split(",")]
        return [", ".join(parts[at : at + 2]) for at in range(0, len(parts), 2)]
    items = []
    at = 0
    while at < len(text):
        match = _HEADER_ITEM.match(text, at)
        if match is None:
            raise SerializationError("A list in a header has a quote in the wrong place")
        quoted, plain = match.groups()
        items.append(plain.strip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        at = match.end()
    return items


def written_header_list(texts: list[str], *, quotes: bool) -> str:
    if not quotes:
        return ", ".join(texts)
    return ", ".join(_quoted(text) if '"' in text or "," in text else text for text in texts)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

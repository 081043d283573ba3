"""XML answers and errors of the `query` and `ec2` protocols. Pure.

Answers are dicts of wire member names; the shape gives each member its element name. Characters that XML 1.0 cannot
carry are replaced, so that no stored text can make an answer that a client cannot parse.
"""

import base64
import re
from collections.abc import Callable, Sequence
from typing import Any

from .plain import special_float
from .shapes import Member, OperationModel, ServiceModel, Shape
from .timestamps import ISO8601, write_iso8601, write_moment

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
# Listed, not as all but those that XML 1.0 has: that takes 4 ms to compile when a process starts.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL = re.compile('[&<>\r"]')
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;", '"': "&quot;"}


def escape(text: str) -> str:
    text = _FORBIDDEN.sub("\ufffd", text)
    return _SPECIAL.sub(lambda match: _ESCAPES[match.group()], text)


class XmlSerialiser:
    """Answers of one operation."""

    def __init__(self, model: ServiceModel, operation: OperationModel) -> None:
        self._model = model
        self._operation = operation
        self._ec2 = model.metadata.protocol == "ec2"
        self._shape = None if operation.output is None else model.shape(operation.output)
        namespace = model.metadata.xml_namespace
        self._namespace = namespace if namespace.endswith("/") else f"{namespace}/"

    def serialise(self, answer: dict[str, Any], request_id: str) -> bytes:
        parts: list[str] = [_DECLARATION]
        name = self._operation.name
        parts.append(f'<{name}Response xmlns="{self._namespace}">')
        if self._ec2:
            parts.append(f"<requestId>{escape(request_id)}</requestId>")
        wrapper = None if self._ec2 else self._operation.result_wrapper
        if wrapper is not None:
            parts.append(f"<{wrapper}>")
        if self._shape is not None:
            self._members(self._shape, answer, parts.append)
        elif self._ec2:
            parts.append("<return>true</return>")
        if wrapper is not None:
            parts.append(f"</{wrapper}>")
        if not self._ec2:
            parts.append(f"<ResponseMetadata><RequestId>{escape(request_id)}</RequestId></ResponseMetadata>")
        parts.append(f"</{name}Response>")
        return "".join(parts).encode()

    def error_members(self, shape: Shape, fields: dict[str, Any]) -> str:
        """The members of an error's shape, to stand beside its code and message."""
        parts: list[str] = []
        self._members(shape, fields, parts.append)
        return "".join(parts)

    def _members(self, shape: Shape, value: dict[str, Any], put: Callable[[str], None]) -> None:
        for name, member in shape.members.items():
            item = value.get(name)
            if item is not None:
                self._element(member, member.location_name or name, item, put)

    def _element(self, member: Member, tag: str, value: Any, put: Callable[[str], None]) -> None:
        shape = self._model.shape(member.shape)
        if shape.type == "list":
            self._list(shape, member, tag, value, put)
        elif shape.type == "map":
            self._map(shape, member, tag, value, put)
        elif shape.type == "structure":
            put(f"<{tag}>")
            self._members(shape, value, put)
            put(f"</{tag}>")
        else:
            put(f"<{tag}>{self._text(shape, member, value)}</{tag}>")

    def _list(self, shape: Shape, member: Member, tag: str, value: Sequence[Any], put: Callable[[str], None]) -> None:
        assert shape.element is not None
        if shape.flattened or member.flattened:
            for item in value:
                self._element(shape.element, shape.element.location_name or tag, item, put)
        elif not value:
            put(f"<{tag}/>")
        else:
            put(f"<{tag}>")
            for item in value:
                self._element(shape.element, shape.element.location_name or "member", item, put)
            put(f"</{tag}>")

    def _map(self, shape: Shape, member: Member, tag: str, value: dict[str, Any], put: Callable[[str], None]) -> None:
        assert shape.key is not None and shape.value is not None
        flat = shape.flattened or member.flattened
        entry = tag if flat else "entry"
        if not flat:
            put(f"<{tag}>")
        for key, item in value.items():
            put(f"<{entry}>")
            self._element(shape.key, shape.key.location_name or "key", key, put)
            self._element(shape.value, shape.value.location_name or "value", item, put)
            put(f"</{entry}>")
        if not flat:
            put(f"</{tag}>")

    def _text(self, shape: Shape, member: Member, value: Any) -> str:
        match shape.type:
            case "string":
                return escape(str(value))
            case "boolean":
                return "true" if value else "false"
            case "timestamp":
                return self._moment(float(value), member.timestamp_format or shape.timestamp_format)
            case "blob":
                return base64.b64encode(value).decode("ascii")
            case "float" | "double":
                return str(special_float(float(value)))
        return escape(repr(value))

    def _moment(self, epoch: float, style: str | None) -> str:
        if style is None or style == ISO8601:
            return write_iso8601(epoch, always_millis=self._ec2)
        return write_moment(epoch, style)


def query_error(namespace: str, code: str, status: int, message: str, request_id: str, members: str = "") -> bytes:
    """`members`: XML of the error's further members."""
    fault = "Receiver" if status >= 500 else "Sender"
    return (
        f'{_DECLARATION}<ErrorResponse xmlns="{escape(namespace)}"><Error><Type>{fault}</Type>'
        f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>{members}</Error>"
        f"<RequestId>{escape(request_id)}</RequestId></ErrorResponse>"
    ).encode()


def ec2_error(code: str, message: str, request_id: str, members: str = "") -> bytes:
    return (
        f"{_DECLARATION}<Response><Errors><Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message>{members}"
        f"</Error></Errors><RequestID>{escape(request_id)}</RequestID></Response>"
    ).encode()

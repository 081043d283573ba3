"""rest-json: one codec per operation. A request's path, query, headers and body in, params out; answers back likewise.

Pure. Which operation a path means is uri.py's to say. Every member has one place; those without one are the JSON body.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from .faults import SerializationError, broken_constraints
from .plain import Writer, json_leaf
from .shapes import Member, OperationModel, ServiceModel, Shape
from .text import header_list, read_scalar, written_header_list, written_scalar
from .timestamps import ISO8601, RFC822
from .uri import MalformedUri, parse_query
from .violations import NOT_NULL, Violation, element_path, member_path
from .walk import Walker, violations_of, violations_of_strings

_ENCODER = msgspec.json.Encoder()
_PRESIGNED = re.compile(r"X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature|Security-Token)")
_JSON = b"application/json"
_UNSAFE_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class RestParts(msgspec.Struct, frozen=True, kw_only=True):
    """What of a request is not its body. Header names are lower case, the query is not decoded."""

    labels: Mapping[str, str]
    query: bytes
    headers: Mapping[bytes, bytes]


class RestAnswer(NamedTuple):
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class RestCodec:
    """`parse` gives params or raises AwsError; `serialise` and `refusal` give whole answers."""

    def __init__(self, model: ServiceModel, operation: OperationModel) -> None:
        self._model = model
        self._status = operation.http.status if operation.http is not None else 200
        self._input = None if operation.input is None else model.shape(operation.input)
        self._output = None if operation.output is None else model.shape(operation.output)
        self._writer = Writer(model, json_leaf)

    def parse(self, parts: RestParts, body: bytes) -> dict[str, Any]:
        if self._input is None:
            return {}
        walker = Walker(self._model)
        try:
            params = _Reader(self._model, self._input, walker, parts).read(body)
        except MalformedUri as error:
            raise SerializationError(str(error)) from None
        if walker.found:
            raise broken_constraints(self._model, walker.found)
        return params

    def serialise(self, answer: dict[str, Any]) -> RestAnswer:
        if self._output is None:
            return RestAnswer(self._status, (), b"")
        return self._written(self._output, answer, self._status)

    def refusal(self, shape: Shape, fields: dict[str, Any], message: str, status: int) -> RestAnswer:
        """An error's members: those of headers there, all others in the body."""
        members = [member for member in shape.members.values() if member.location is None]
        written = self._writer.structure(shape, fields, members)
        body = _ENCODER.encode({"message": message, **written})
        return RestAnswer(status, (*self._headers(shape, fields), (b"content-type", _JSON)), body)

    def _written(self, shape: Shape, answer: dict[str, Any], status: int) -> RestAnswer:
        for member in shape.members.values():
            if member.location == "statusCode" and answer.get(member.name) is not None:
                status = int(answer[member.name])
        headers = self._headers(shape, answer)
        content_type, body = self._body(shape, answer)
        if not any(name == b"content-type" for name, _ in headers):
            headers.append((b"content-type", content_type))
        return RestAnswer(status, tuple(headers), body)

    def _headers(self, shape: Shape, answer: dict[str, Any]) -> list[tuple[bytes, bytes]]:
        headers: list[tuple[bytes, bytes]] = []
        for member in shape.members.values():
            value = answer.get(member.name)
            if value is None:
                continue
            if member.location == "header":
                headers.append(_header(member.wire, self._header_text(member, value)))
            elif member.location == "headers":
                headers += [_header(f"{member.location_name or ''}{key}", str(item)) for key, item in value.items()]
        return headers

    def _body(self, shape: Shape, answer: dict[str, Any]) -> tuple[bytes, bytes]:
        if shape.payload is None:
            members = [member for member in shape.members.values() if member.location is None]
            return _JSON, _ENCODER.encode(self._writer.structure(shape, answer, members))
        member = shape.members[shape.payload]
        value = answer.get(member.name)
        inner = self._model.shape(member.shape)
        if inner.type == "blob":
            return b"application/octet-stream", bytes(value or b"")
        if inner.type == "string":
            return b"text/plain", (value or "").encode()
        if value is None and inner.union:
            return _JSON, b""  # there is no union without a member
        return _JSON, _ENCODER.encode(self._writer.value(member, {} if value is None else value))

    def _header_text(self, member: Member, value: Any) -> str:
        shape = self._model.shape(member.shape)
        if member.json_value:
            return base64.b64encode(_ENCODER.encode(value)).decode()
        if shape.type == "list":
            assert shape.element is not None
            inner = self._model.shape(shape.element.shape)
            texts = [written_scalar(shape.element, inner, item, RFC822) for item in value]
            return written_header_list(texts, quotes=inner.type == "string")
        return written_scalar(member, shape, value, RFC822)


def _header(name: str, text: str) -> tuple[bytes, bytes]:
    """Stored text must not be able to end a header."""
    return name.lower().encode("latin-1", "replace"), _UNSAFE_HEADER.sub(" ", text).encode()


class _Reader:
    """One request's members, each from its place."""

    def __init__(self, model: ServiceModel, shape: Shape, walker: Walker, parts: RestParts) -> None:
        self._model = model
        self._shape = shape
        self._walker = walker
        self._parts = parts
        self._query = {
            name: values for name, values in parse_query(parts.query).items() if not _PRESIGNED.fullmatch(name)
        }

    def read(self, body: bytes) -> dict[str, Any]:
        kept = {}
        for member in self._shape.members.values():
            if member.location is not None:
                value = self._located(member)
                if value is not None:
                    kept[member.name] = value
                    self._check(member, value)
                elif member.name in self._shape.required:
                    self._missing(member)
        kept.update(self._body(body))
        return kept

    def _check(self, member: Member, value: Any) -> None:
        shape = self._model.shape(member.shape)
        path = member_path("", member.name)
        found = violations_of(shape, value, path)
        if shape.type == "list":
            assert shape.element is not None
            inner = self._model.shape(shape.element.shape)
            if inner.type == "string":
                found += violations_of_strings(shape, inner, value, path)
            else:
                for index, item in enumerate(value):
                    found += violations_of(inner, item, element_path(path, index))
        for violation in found:
            self._walker.report(violation)

    def _missing(self, member: Member) -> None:
        self._walker.report(Violation(member_path("", member.name), "null", NOT_NULL))

    def _body(self, body: bytes) -> dict[str, Any]:
        if self._shape.payload is not None:
            return self._payload(self._shape.members[self._shape.payload], body)
        members = [member for member in self._shape.members.values() if member.location is None]
        if not members:
            return {}
        return self._walker.structure(self._shape, _json(body) if body else {}, members=members)

    def _payload(self, member: Member, body: bytes) -> dict[str, Any]:
        shape = self._model.shape(member.shape)
        value: Any
        if not body:
            if member.name in self._shape.required:
                self._missing(member)
            return {}
        if shape.type == "blob":
            value = body
        elif shape.type == "string":
            value = _utf8(body)
        else:
            return {member.name: self._walker.value(member, _json(body), member_path("", member.name))}
        self._check(member, value)
        return {member.name: value}

    def _located(self, member: Member) -> Any:
        shape = self._model.shape(member.shape)
        match member.location:
            case "uri":
                text = self._parts.labels.get(member.wire)
                return None if text is None else read_scalar(member, shape, text, ISO8601)
            case "querystring":
                return self._of_query(member, shape)
            case "header":
                raw = self._parts.headers.get(member.wire.lower().encode())
                return None if raw is None else self._of_header(member, shape, _utf8(raw))
            case "headers":
                return self._prefixed((member.location_name or "").lower().encode())
        return None

    def _of_query(self, member: Member, shape: Shape) -> Any:
        if shape.type == "map":
            assert shape.value is not None
            listed = self._model.shape(shape.value.shape).type == "list"
            # A server cannot know which ones the client had in the map: all are given.
            return {name: values if listed else values[0] for name, values in self._query.items()} or None
        values = self._query.get(member.wire)
        if values is None:
            return None
        if shape.type == "list":
            assert shape.element is not None
            inner = self._model.shape(shape.element.shape)
            return [read_scalar(shape.element, inner, text, ISO8601) for text in values]
        return read_scalar(member, shape, values[0], ISO8601)

    def _of_header(self, member: Member, shape: Shape, text: str) -> Any:
        if member.json_value:
            try:
                return _json(base64.b64decode(text, validate=True))
            except (binascii.Error, ValueError):
                raise SerializationError(f"The header {member.wire} is not valid base64") from None
        if shape.type != "list":
            return read_scalar(member, shape, text, RFC822)
        assert shape.element is not None
        inner = self._model.shape(shape.element.shape)
        style = shape.element.timestamp_format or inner.timestamp_format or RFC822
        texts = header_list(text, dates=inner.type == "timestamp" and style == RFC822)
        return [read_scalar(shape.element, inner, item, RFC822) for item in texts]

    def _prefixed(self, prefix: bytes) -> dict[str, str] | None:
        found = {
            _utf8(name[len(prefix) :]): _utf8(value)
            for name, value in self._parts.headers.items()
            if name.startswith(prefix) and len(name) > len(prefix)
        }
        return found or None


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError):
        raise SerializationError("The request body is not valid JSON") from None
    except RecursionError:
        raise SerializationError("The request body is nested too deeply") from None


def _utf8(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise SerializationError("A header or the body is not valid UTF-8") from None

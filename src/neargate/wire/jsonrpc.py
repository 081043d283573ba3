"""AWS JSON 1.0 and 1.1: one codec per operation, made on its first call. Pure.

The common case is one call into C (typed decode); only a refused body is walked for AWS's words. Answers are dicts of
wire names with epoch-second floats, so they need no walk at all; documents already in wire form are joined as they are.
"""

from typing import Any

import msgspec

from ..model.errors import AwsError
from .faults import SerializationError, broken_constraints
from .plain import Writer, json_leaf, needs_walk, special_float
from .shapes import OperationModel, ServiceModel
from .typed import Judge, Untypable, request_type, unions_judge
from .walk import Walker

_ENCODER = msgspec.json.Encoder()


class JsonCodec:
    """`parse` gives params or raises AwsError; `serialise` gives the body."""

    def __init__(self, model: ServiceModel, operation: OperationModel) -> None:
        self._model = model
        self._shape = None if operation.input is None else model.shape(operation.input)
        self._output = None if operation.output is None else model.shape(operation.output)
        self._walks = self._output is not None and needs_walk(model, self._output)
        self._decoder: msgspec.json.Decoder[Any] | None = None
        self._unions: Judge | None = None
        if self._shape is not None:
            try:
                self._decoder = msgspec.json.Decoder(request_type(model, self._shape))
                self._unions = unions_judge(model, self._shape)
            except Untypable:
                self._decoder = None

    def parse(self, body: bytes) -> dict[str, Any]:
        if not body:
            body = b"{}"
        if self._decoder is not None:
            try:
                params: dict[str, Any] = self._decoder.decode(body)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                return self._parse_slowly(body)
            if self._unions is None or self._unions(params):
                return params
        return self._parse_slowly(body)

    def _parse_slowly(self, body: bytes) -> dict[str, Any]:
        try:
            value = msgspec.json.decode(body)
            if self._shape is None:
                return {}
            walker = Walker(self._model)
            params = walker.structure(self._shape, value)
        except (msgspec.MsgspecError, UnicodeError):
            raise SerializationError("The request body is not valid JSON") from None
        except RecursionError:
            raise SerializationError("The request body is nested too deeply") from None
        if walker.found:
            raise broken_constraints(self._model, walker.found)
        return params

    def serialise(self, answer: dict[str, Any]) -> bytes:
        if self._output is None:
            return b""
        if self._walks:
            return _ENCODER.encode(Writer(self._model, json_leaf).structure(self._output, answer))
        body = _ENCODER.encode(answer)
        if b":null" in body:
            # AWS leaves absent members out, and has texts for numbers that JSON lacks. Rare, so found by the bytes; a
            # string that contains it costs one walk.
            body = _ENCODER.encode(without_nulls(answer))
        return body


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [without_nulls(item) for item in value]
    return special_float(value) if isinstance(value, float) else value


def json_error(code: str, error: AwsError) -> bytes:
    """`{"__type": ..., "message": ..., <members of the error shape>}`."""
    return _ENCODER.encode({"__type": code, "message": error.message, **error.fields})

"""smithy rpc-v2-cbor: one codec per operation. Pure. Members that are absent are left out, timestamps carry tag 1."""

from typing import Any

from . import cbor
from .faults import SerializationError, broken_constraints
from .plain import Writer, cbor_leaf
from .shapes import OperationModel, ServiceModel
from .walk import Walker, cbor_scalar


class CborCodec:
    """`parse` gives params or raises AwsError; `serialise` gives the body."""

    def __init__(self, model: ServiceModel, operation: OperationModel) -> None:
        self._model = model
        self._input = None if operation.input is None else model.shape(operation.input)
        self._output = None if operation.output is None else model.shape(operation.output)
        self._writer = Writer(model, cbor_leaf, own_names=True)

    def parse(self, body: bytes) -> dict[str, Any]:
        try:
            value = cbor.decode(body) if body else {}
        except cbor.MalformedCbor as error:
            raise SerializationError(f"The request body is not valid CBOR: {error}") from None
        if self._input is None:
            return {}
        walker = Walker(self._model, cbor_scalar)
        params = walker.structure(self._input, value)
        if walker.found:
            raise broken_constraints(self._model, walker.found)
        return params

    def serialise(self, answer: dict[str, Any]) -> bytes:
        if self._output is None:
            return cbor.encode({})
        return cbor.encode(self._writer.structure(self._output, answer))


def cbor_error(code: str, message: str, fields: dict[str, Any]) -> bytes:
    """`{"__type": ..., "message": ..., <members of the error shape>}`; the fields are plain values of CBOR."""
    return cbor.encode({"__type": code, "message": message, **fields})

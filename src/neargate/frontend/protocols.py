"""The codec of each operation in each protocol, compiled on its first call and kept, and the headers of its answers."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from ..wire import eventstream
from ..wire.cborrpc import CborCodec
from ..wire.jsonrpc import JsonCodec
from ..wire.plain import Writer, cbor_leaf, json_leaf
from ..wire.query import QueryCodec
from ..wire.rest import RestCodec, RestParts
from ..wire.shapes import ErrorModel, Models, OperationModel, ServiceModel
from .call import Answer, Params, RawBody, Streamed
from .errors import (
    CBOR,
    CONTENT_TYPES,
    EC2,
    JSON,
    JSON_1_0,
    QUERY,
    QUERY_NAMESPACE,
    REST_JSON,
    Fault,
    RequestRefused,
    Response,
    fault_response,
)

_NOTHING = RestParts(labels={}, query=b"", headers={})


class OperationCodec(Struct, frozen=True, kw_only=True):
    """One operation's way in and out in one protocol."""

    model: OperationModel
    service: ServiceModel
    protocol: str
    codec: JsonCodec | QueryCodec | CborCodec | RestCodec

    def parse(self, payload: bytes, parts: RestParts | None = None) -> Params:
        """`parts`: of a rest-json request what is not its body. Raises AwsError in the protocol's words."""
        if isinstance(self.codec, RestCodec):
            return self.codec.parse(parts or _NOTHING, payload)
        return self.codec.parse(payload)

    def respond(self, answer: Answer, request_id: str) -> Response:
        codec = self.codec
        if isinstance(answer, Streamed):
            streams = ((b"content-type", eventstream.CONTENT_TYPE.encode()), (b"x-amzn-requestid", request_id.encode()))
            return Response(status=200, headers=streams, body=b"", stream=answer.stream)
        headers: tuple[tuple[bytes, bytes], ...] = (
            (b"content-type", CONTENT_TYPES[self.protocol]),
            (b"x-amzn-requestid", request_id.encode()),
        )
        if isinstance(codec, JsonCodec):
            body = bytes(answer) if isinstance(answer, RawBody) else codec.serialise(answer)
            return Response(status=200, headers=headers, body=body)
        # Documents are kept as JSON: another protocol has to read them first.
        plain: Params = msgspec.json.decode(answer) if isinstance(answer, RawBody) else answer
        if isinstance(codec, QueryCodec):
            return Response(status=200, headers=headers, body=codec.serialise(plain, request_id))
        if isinstance(codec, CborCodec):
            headers = (*headers, (b"smithy-protocol", b"rpc-v2-cbor"))
            return Response(status=200, headers=headers, body=codec.serialise(plain))
        rest = codec.serialise(plain)
        return Response(status=rest.status, headers=(*rest.headers, headers[1]), body=rest.body)

    def refuse(self, fault: Fault, request_id: str) -> Response:
        """An error as the operation's model has it: its status where one is stated, its members in their places."""
        error = self._error(fault.code)
        if error is None:
            return fault_response(fault, self.protocol, request_id, namespace=self.service.metadata.xml_namespace)
        return self._modelled(fault, error, request_id)

    def _error(self, code: str) -> ErrorModel | None:
        found = self.model.errors.get(code)
        if found is not None:
            return found
        return next((error for error in self.model.errors.values() if error.shape == code), None)

    def _modelled(self, fault: Fault, error: ErrorModel, request_id: str) -> Response:
        shape = self.service.shape(error.shape)
        is_query = self.protocol in (QUERY, EC2)
        code = error.code if is_query else error.shape
        status = error.status if error.is_status_stated else fault.status
        fields = dict(fault.fields)
        legacy = None
        if self.service.metadata.is_query_compatible and not is_query:
            # What the model states is what the service answered in query.
            status = 400 if error.is_sender else 500
            legacy = f"{error.code};{'Sender' if error.is_sender else 'Receiver'}"
        xml_members = ""
        if isinstance(self.codec, RestCodec):
            rest = self.codec.refusal(shape, fields, fault.message, status)
            headers = (*rest.headers, (b"x-amzn-requestid", request_id.encode()), (b"x-amzn-errortype", code.encode()))
            return Response(status=status, headers=headers, body=rest.body)
        if isinstance(self.codec, CborCodec):
            fields = Writer(self.service, cbor_leaf, own_names=True).structure(shape, fields)
        elif isinstance(self.codec, QueryCodec):
            xml_members = self.codec.error_members(shape, fields)
        elif isinstance(self.codec, JsonCodec):
            fields = {**fields, **Writer(self.service, json_leaf).structure(shape, fields)}
        return fault_response(
            Fault(code=code, status=status, message=fault.message, fields=fields),
            self.protocol,
            request_id,
            namespace=self.service.metadata.xml_namespace,
            legacy_error=legacy,
            xml_members=xml_members,
        )


class Protocols:
    def __init__(self, models: Models) -> None:
        self._models = models
        self._codecs: dict[tuple[str, str, str], OperationCodec] = {}

    def signing_name(self, service: str) -> str:
        return self._models.service(service).metadata.signing_name

    def api_version(self, service: str) -> str:
        return self._models.service(service).metadata.api_version

    def refused(self, refused: RequestRefused, request_id: str) -> Response:
        """For a request that did not get as far as an operation."""
        namespace = self._models.service(refused.service).metadata.xml_namespace if refused.service else ""
        return fault_response(refused.fault, refused.protocol, request_id, namespace=namespace or QUERY_NAMESPACE)

    def codec(self, service: str, operation: str, protocol: str | None = None) -> OperationCodec | None:
        """None when the service's model has no such operation. Without a protocol: the service's first one."""
        model = self._models.service(service)
        protocol = protocol or native(model)
        found = self._codecs.get((service, operation, protocol))
        if found is None:
            described = model.operation(operation)
            if described is None:
                return None
            codec = _CODECS[protocol](model, described)
            found = OperationCodec(model=described, service=model, protocol=protocol, codec=codec)
            self._codecs[service, operation, protocol] = found
        return found


def native(model: ServiceModel) -> str:
    """The protocol that the service's own model names first."""
    if model.metadata.protocol == JSON and model.metadata.json_version == "1.0":
        return JSON_1_0
    return model.metadata.protocol


_CODECS: Mapping[str, type[JsonCodec] | type[QueryCodec] | type[CborCodec] | type[RestCodec]] = {
    JSON: JsonCodec,
    JSON_1_0: JsonCodec,
    QUERY: QueryCodec,
    EC2: QueryCodec,
    REST_JSON: RestCodec,
    CBOR: CborCodec,
}

"""The codec of each operation, compiled on its first call and kept, and the headers of its answers."""

from dataclasses import dataclass

from ..wire.jsonrpc import JsonCodec
from ..wire.query import QueryCodec
from ..wire.shapes import Models, OperationModel
from .call import Answer, Params, RawBody
from .errors import JSON, Response


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationCodec:
    """One operation's way in and out."""

    model: OperationModel
    codec: JsonCodec | QueryCodec
    content_type: bytes

    def parse(self, payload: bytes) -> Params:
        """Raises AwsError in the protocol's words."""
        return self.codec.parse(payload)

    def respond(self, answer: Answer, request_id: str) -> Response:
        if isinstance(answer, RawBody):
            body: bytes = answer
        elif isinstance(self.codec, JsonCodec):
            body = self.codec.serialise(answer)
        else:
            body = self.codec.serialise(answer, request_id)
        headers = ((b"content-type", self.content_type), (b"x-amzn-requestid", request_id.encode()))
        return Response(status=200, headers=headers, body=body)


class Protocols:
    def __init__(self, models: Models) -> None:
        self._models = models
        self._codecs: dict[tuple[str, str], OperationCodec] = {}

    def signing_name(self, service: str) -> str:
        return self._models.service(service).metadata.signing_name

    def api_version(self, service: str) -> str:
        return self._models.service(service).metadata.api_version

    def codec(self, service: str, operation: str) -> OperationCodec | None:
        """None when the service's model has no such operation."""
        found = self._codecs.get((service, operation))
        if found is None:
            model = self._models.service(service)
            described = model.operation(operation)
            if described is None:
                return None
            found = self._codecs[service, operation] = OperationCodec(
                model=described,
                codec=JsonCodec(model, described) if model.metadata.protocol == JSON else QueryCodec(model, described),
                content_type=_content_type(model.metadata.protocol, model.metadata.json_version),
            )
        return found


def _content_type(protocol: str, json_version: str) -> bytes:
    if protocol == JSON:
        return f"application/x-amz-json-{json_version}".encode()
    return b"text/xml;charset=UTF-8"

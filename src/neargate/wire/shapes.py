"""Reads the trimmed models: services, their operations and shapes. Package data in, frozen descriptions out.

Everything is read on first use: a service when its first request comes, a shape when its first operation is compiled.
A `Models` object belongs to whoever made it; there is no state in the module. Knows no protocol and no values.
"""

from collections.abc import Iterable, Mapping
from importlib import resources
from typing import IO, Any

import msgspec
from msgspec import Struct

from .uri import UriIndex

_TYPES = {"character": "string"}  # old models' word

SERVICES = (
    *("acm", "cloudtrail", "ec2", "ecr", "ecs", "elbv2", "iam", "kms", "logs", "secretsmanager", "service-quotas"),
    *("servicediscovery", "ssm", "sts"),
)


class Member(Struct, frozen=True, kw_only=True):
    """A reference to a shape from a structure, list or map."""

    name: str
    shape: str
    location_name: str | None = None
    query_name: str | None = None
    flattened: bool = False
    timestamp_format: str | None = None
    location: str | None = None  # of rest-json: uri, querystring, header, headers, statusCode; None: the body
    json_value: bool = False  # JSON in base64, in a header

    @property
    def wire(self) -> str:
        """The member's name in JSON."""
        return self.location_name or self.name


class Shape(Struct, frozen=True, kw_only=True):
    """One shape. `minimum`/`maximum`: value of numbers, length of strings, lists, maps and blobs."""

    name: str
    type: str  # structure, list, map, string, integer, long, float, double, boolean, timestamp, blob
    members: Mapping[str, Member]
    required: frozenset[str]
    union: bool = False  # exactly one member is set
    element: Member | None = None  # of a list
    key: Member | None = None
    value: Member | None = None
    enum: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    flattened: bool = False
    sensitive: bool = False
    document: bool = False  # any JSON
    payload: str | None = None  # the member that is the whole body, in rest-json
    location_name: str | None = None
    timestamp_format: str | None = None


class ErrorModel(Struct, frozen=True, kw_only=True):
    """`code` as the service writes it, `status` the HTTP status."""

    shape: str
    code: str
    status: int
    is_status_stated: bool = False
    is_sender: bool = True


class HttpBinding(Struct, frozen=True, kw_only=True):
    """How rest-json finds an operation; `uri` is a template with a constant query, `/a/{b}/{c+}?d=e`."""

    method: str
    uri: str
    status: int


class OperationModel(Struct, frozen=True, kw_only=True):
    service: str
    name: str
    input: str | None
    output: str | None
    result_wrapper: str | None
    errors: Mapping[str, ErrorModel]  # by code
    http: HttpBinding | None = None


class Metadata(Struct, frozen=True, kw_only=True):
    """What routing and answers need to know of a service."""

    protocol: str  # as botocore calls them: json, query, ec2, rest-json, smithy-rpc-v2-cbor; what it takes of several
    protocols: tuple[str, ...]  # all that the service is spoken to in
    signing_name: str
    api_version: str
    json_version: str
    target_prefix: str | None
    xml_namespace: str
    is_query_compatible: bool = False  # a JSON or CBOR service that once was a query service, and says so in errors


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A model's file. Operations and shapes stay bytes until they are asked for: reading a service costs one scan."""

    metadata: dict[str, Any]
    others: tuple[str, ...] = ()
    operations: dict[str, msgspec.Raw]
    shapes: dict[str, msgspec.Raw]


class ServiceModel:
    """One service's model; shapes and operations are made when asked for."""

    def __init__(self, name: str, document: "Document") -> None:
        metadata = document.metadata
        protocols = tuple(metadata.get("protocols", (metadata["protocol"],)))
        self.name = name
        self.metadata = Metadata(
            protocol="json" if "json" in protocols else metadata["protocol"],
            protocols=protocols,
            signing_name=metadata.get("signingName", metadata.get("endpointPrefix", name)),
            api_version=metadata["apiVersion"],
            json_version=metadata.get("jsonVersion", "1.1"),
            target_prefix=metadata.get("targetPrefix"),
            xml_namespace=metadata.get("xmlNamespace", ""),
            is_query_compatible="awsQueryCompatible" in metadata,
        )
        self.operation_names: frozenset[str] = frozenset(document.operations)
        self.other_names: frozenset[str] = frozenset(document.others)  # AWS has them; nothing but the name is here
        self._operations = document.operations
        self._shapes = document.shapes
        self._read: dict[str, Shape] = {}

    def operation(self, name: str) -> OperationModel | None:
        stored = self._operations.get(name)
        if stored is None:
            return None
        raw: dict[str, Any] = msgspec.json.decode(stored)
        errors = [self._error(shape) for shape in raw["errors"]]
        return OperationModel(
            service=self.name,
            name=name,
            input=raw.get("input"),
            output=raw.get("output"),
            result_wrapper=raw.get("resultWrapper"),
            errors={error.code: error for error in errors},
            http=_http(raw.get("http")),
        )

    def _error(self, shape: str) -> ErrorModel:
        raw = msgspec.json.decode(self._shapes[shape])
        stated = raw.get("error", {})
        status = stated.get("httpStatusCode", 500 if raw.get("fault") else 400)
        return ErrorModel(
            shape=shape,
            code=stated.get("code", shape),
            status=status,
            is_status_stated="httpStatusCode" in stated,
            is_sender=stated.get("senderFault", status < 500),
        )

    def has_shape(self, name: str) -> bool:
        return name in self._shapes

    def shape(self, name: str) -> Shape:
        shape = self._read.get(name)
        if shape is None:
            shape = self._read[name] = _shape(name, msgspec.json.decode(self._shapes[name]))
        return shape


def _http(raw: Mapping[str, Any] | None) -> HttpBinding | None:
    if raw is None:
        return None
    return HttpBinding(method=raw["method"], uri=raw["requestUri"], status=raw.get("responseCode", 200))


def _member(name: str, raw: Mapping[str, Any]) -> Member:
    return Member(
        name=name,
        shape=raw["shape"],
        location_name=raw.get("locationName"),
        query_name=raw.get("queryName"),
        flattened=raw.get("flattened", False),
        timestamp_format=raw.get("timestampFormat"),
        location=raw.get("location"),
        json_value=raw.get("jsonvalue", False),
    )


def _shape(name: str, raw: Mapping[str, Any]) -> Shape:
    return Shape(
        name=name,
        type=_TYPES.get(raw["type"], raw["type"]),
        members={member: _member(member, value) for member, value in raw.get("members", {}).items()},
        required=frozenset(raw.get("required", ())),
        union=raw.get("union", False),
        element=_member("member", raw["member"]) if "member" in raw else None,
        key=_member("key", raw["key"]) if "key" in raw else None,
        value=_member("value", raw["value"]) if "value" in raw else None,
        enum=tuple(raw.get("enum", ())),
        minimum=raw.get("min"),
        maximum=raw.get("max"),
        pattern=raw.get("pattern"),
        flattened=raw.get("flattened", False),
        sensitive=raw.get("sensitive", False),
        document=raw.get("document", False),
        payload=raw.get("payload"),
        location_name=raw.get("locationName"),
        timestamp_format=raw.get("timestampFormat"),
    )


class Models:
    """All services' models, each read from the package on first use. `others`: models that are not in the package."""

    def __init__(self, others: Mapping[str, ServiceModel] | None = None) -> None:
        self._services: dict[str, ServiceModel] = dict(others or {})
        self._files: dict[str, IO[bytes]] = {}

    def hold(self) -> None:
        """All services' files, for whoever cannot open the package later: they stay open until their first use."""
        self._files = {name: _file(name) for name in SERVICES if name not in self._services}

    def service(self, name: str) -> ServiceModel:
        """Raises KeyError for a service that is not in the package."""
        model = self._services.get(name)
        if model is None:
            if name not in SERVICES:
                raise KeyError(name)
            with self._files.pop(name, None) or _file(name) as file:
                document = msgspec.json.decode(file.read(), type=Document)
            model = self._services[name] = ServiceModel(name, document)
        return model

    def uri_index(self, services: Iterable[str]) -> UriIndex:
        """Of the rest-json services among these; reads all their operations' bindings."""
        entries = []
        for service in sorted(services):
            model = self.service(service)
            for name in model.operation_names:
                operation = model.operation(name)
                if operation is not None and operation.http is not None:
                    entries.append((service, name, operation.http.method, operation.http.uri))
        return UriIndex(entries)


def _file(name: str) -> IO[bytes]:
    return resources.files(__package__).joinpath("models", f"{name}.json").open("rb")

"""Which operation a request asks for, and in which protocol: by what the request says, never by host name.

In order: the path of rpc-v2-cbor, X-Amz-Target, Action= in a form or query string, the path of rest-json. Runs before
the signature is checked, so it looks at bounded bytes only and parses nothing of the body.
"""

import re
from collections.abc import Callable, Iterable, Mapping

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from ..wire.content import ENCODINGS, InflatedTooLarge, MalformedBody, inflated
from ..wire.rest import RestParts
from ..wire.shapes import ServiceModel
from ..wire.uri import MalformedUri, UriIndex
from .errors import CBOR, EC2, JSON, JSON_1_0, QUERY, REST_JSON, Fault, RequestRefused

FORM_INFLATED_MAX_BYTES = 256 * 1024  # a form is inflated before anybody's signature is known

# A test holds these equal to the models' metadata: routing must not load every model to serve one of them.
TARGETS: Mapping[str, str] = {
    "AmazonEC2ContainerServiceV20141113": "ecs",
    "AmazonEC2ContainerRegistry_V20150921": "ecr",
    "Logs_20140328": "logs",
    "CertificateManager": "acm",
    "TrentService": "kms",
    "secretsmanager": "secretsmanager",
    "AmazonSSM": "ssm",
    "ServiceQuotasV20190624": "service-quotas",
    "Route53AutoNaming_v20170314": "servicediscovery",
    "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101": "cloudtrail",
    "CloudTrail_20131101": "cloudtrail",  # what SDKs made from the Smithy models send (Go, JavaScript, Rust, Kotlin)
}
VERSIONS: Mapping[str, tuple[str, str]] = {
    "2010-05-08": ("iam", QUERY),
    "2011-06-15": ("sts", QUERY),
    "2015-12-01": ("elbv2", QUERY),
    "2016-11-15": ("ec2", EC2),
}
# APIs that are not here, and whose clients sign with the name of one that is.
_LACKED_VERSIONS: Mapping[str, str] = {
    "2012-06-01": "Neargate does not have Classic Load Balancers (aws elb): Application and Network ones are elbv2.",
}


class Tables(Struct, frozen=True, kw_only=True):
    """What routing knows of the services. `targets` also names them in the paths of rpc-v2-cbor."""

    targets: Mapping[str, str]  # target prefix -> service
    versions: Mapping[str, tuple[str, str]]  # API version -> service, protocol
    json: frozenset[str]  # services that are spoken to in each protocol
    cbor: frozenset[str] = frozenset()
    rest: frozenset[str] = frozenset()
    by_name: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # service -> itself, protocol of its forms


def tables_of(models: Iterable[ServiceModel]) -> Tables:
    """From the models' metadata. The constants of this module are those of the services in the package."""
    known = {model.name: model.metadata for model in models}
    versions = {
        data.api_version: (name, protocol)
        for name, data in known.items()
        for protocol in data.protocols
        if protocol in (QUERY, EC2)
    }
    # botocore has a namespace before one service's prefix; the Smithy models, of which newer SDKs are made, none.
    prefixes = {data.target_prefix: name for name, data in known.items() if data.target_prefix}
    targets = prefixes | {prefix.rpartition(".")[2]: name for prefix, name in prefixes.items()}
    return Tables(
        targets=targets,
        versions=versions,
        json=frozenset(name for name, data in known.items() if JSON in data.protocols),
        cbor=frozenset(name for name, data in known.items() if CBOR in data.protocols),
        rest=frozenset(name for name, data in known.items() if REST_JSON in data.protocols),
        by_name={pair[0]: pair for pair in versions.values()},
    )


TABLES = Tables(
    targets=TARGETS,
    versions=VERSIONS,
    json=frozenset(TARGETS.values()),
    cbor=frozenset({"servicediscovery"}),
    by_name={pair[0]: pair for pair in VERSIONS.values()},
)

_REST_XML = frozenset({"s3", "cloudfront", "route53"})  # their clients read errors in query's form, and no JSON
_CBOR_PATH = re.compile(rb"/service/([A-Za-z0-9_.]{1,128})/operation/([A-Za-z0-9]{1,128})")
_TARGET = re.compile(rb"([A-Za-z0-9_.]{1,128})\.([A-Za-z0-9]{1,128})")
_ACTION = re.compile(rb"(?:^|&)Action=([A-Za-z0-9]{1,128})(?:&|$)")
_VERSION = re.compile(rb"(?:^|&)Version=([0-9-]{1,32})(?:&|$)")
_SCOPE = re.compile(rb"Credential=[^/,\s]{1,256}/\d{8}/[a-z0-9-]{1,64}/([a-z0-9-]{1,64})/")
_JSON_TYPE = re.compile(rb"application/x-amz-json-1\.([01])\s*(;.*)?", re.IGNORECASE)
_PRESIGNED_SCOPE = re.compile(
    rb"(?:^|&)X-Amz-Credential=[^&]{1,256}?(?:/|%2[Ff])\d{8}(?:/|%2[Ff])[a-z0-9-]{1,64}(?:/|%2[Ff])([a-z0-9-]{1,64})(?:/|%2[Ff])"
)
_CBOR_TYPE = re.compile(rb"application/cbor\s*(;.*)?", re.IGNORECASE)
_FORM_TYPE = re.compile(rb"application/x-www-form-urlencoded\s*(;.*)?", re.IGNORECASE)


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """`payload` holds the parameters: the body, or the form (body or query string). `parts`: rest-json's others.

    A payload that `is_gzip` is inflated by whoever knows that the caller may speak here.
    """

    service: str
    operation: str
    protocol: str
    payload: bytes
    is_gzip: bool = False
    parts: RestParts | None = None


class Router:
    """`index` is asked when the first path comes that only rest-json can mean."""

    def __init__(self, tables: Tables = TABLES, index: Callable[[], UriIndex] = lambda: UriIndex(())) -> None:
        self._tables = tables
        self._make_index = index
        self._index: UriIndex | None = None
        names = {*tables.targets.values(), *tables.by_name, *tables.rest}
        self._signing_names = frozenset(name.replace("-", "") for name in names)

    def find(self, method: str, path: bytes, query: bytes, headers: Mapping[bytes, bytes], body: bytes) -> Route:
        """Raises RequestRefused with a 4xx."""
        cbor = _CBOR_PATH.fullmatch(path)
        if cbor is not None and (b"smithy-protocol" in headers or _is_cbor(headers)):
            return self._cbor_route(method, cbor[1].decode(), cbor[2].decode(), headers, body)
        if path in (b"/", b""):
            target = headers.get(b"x-amz-target")
            if target is not None:
                return self._json_route(method, target, headers, body)
            if method == "POST" and body and _FORM_TYPE.fullmatch(headers.get(b"content-type", b"")) is not None:
                return self._form_route(_plain_form(headers, body), query, headers)
            # What a presigned URL was made of is in its query, whatever the method.
            if method in ("GET", "POST") and not body and _ACTION.search(query) is not None:
                return self._form_route(query, query, headers)
        route = self._rest_route(method, path, query, headers, body) if self._tables.rest else None
        if route is not None:
            return route
        if path not in (b"/", b""):
            raise self._nowhere(query, headers, 404, "There is nothing here.")
        if method == "POST" and _FORM_TYPE.fullmatch(headers.get(b"content-type", b"")) is not None:
            return self._form_route(body, query, headers)
        status = 405 if method not in ("GET", "POST") else 404
        message = "The request names no operation: it has neither X-Amz-Target nor Action."
        raise self._nowhere(query, headers, status, message)

    def _nowhere(
        self, query: bytes, headers: Mapping[bytes, bytes], status: int, message: str, protocol: str = JSON
    ) -> RequestRefused:
        """Who signed for a service that is not here is told its name, in a form that its clients can read."""
        signed = _signed_service(query, headers)
        if signed and signed.replace("-", "") not in self._signing_names:
            message = f"Neargate does not have the service {signed}."
            protocol = QUERY if signed in _REST_XML else protocol
        return RequestRefused(Fault(code="UnknownOperationException", status=status, message=message), protocol)

    def _cbor_route(
        self, method: str, target: str, operation: str, headers: Mapping[bytes, bytes], body: bytes
    ) -> Route:
        service = self._tables.targets.get(target, "")
        if service not in self._tables.cbor:
            message = f"The service {target} is not spoken to in this protocol."
            raise self._nowhere(b"", headers, 404, message, CBOR)
        if method != "POST":
            message = "Operations of this protocol are called with POST."
            raise RequestRefused(Fault(code="UnknownOperationException", status=405, message=message), CBOR, service)
        if headers.get(b"smithy-protocol") != b"rpc-v2-cbor" or (body and not _is_cbor(headers)):
            message = "The content type must be application/cbor, and smithy-protocol rpc-v2-cbor."
            fault = Fault(code="UnsupportedMediaTypeException", status=415, message=message)
            raise RequestRefused(fault, CBOR, service)
        is_gzip = _is_gzip(headers, CBOR, service)
        return Route(service=service, operation=operation, protocol=CBOR, payload=body, is_gzip=is_gzip)

    def _json_route(self, method: str, target: bytes, headers: Mapping[bytes, bytes], body: bytes) -> Route:
        if method != "POST":
            message = "Operations of this protocol are called with POST."
            raise RequestRefused(Fault(code="UnknownOperationException", status=405, message=message))
        match = _TARGET.fullmatch(target)
        service = "" if match is None else self._tables.targets.get(match[1].decode(), "")
        if match is None or service not in self._tables.json:
            message = "The value of X-Amz-Target names no service of this endpoint."
            raise self._nowhere(b"", headers, 400, message)
        content = _JSON_TYPE.fullmatch(headers.get(b"content-type", b""))
        if content is None:
            message = "The content type must be application/x-amz-json-1.1."
            raise RequestRefused(Fault(code="SerializationException", status=400, message=message), JSON, service)
        protocol = JSON if content[1] == b"1" else JSON_1_0
        is_gzip = _is_gzip(headers, protocol, service)
        return Route(service=service, operation=match[2].decode(), protocol=protocol, payload=body, is_gzip=is_gzip)

    def _form_route(self, form: bytes, query: bytes, headers: Mapping[bytes, bytes]) -> Route:
        version = _VERSION.search(form)
        # A known version says which API it is. Old clients send old versions of EC2: then the signed name decides.
        found = self._tables.versions.get(version[1].decode()) if version is not None else None
        if found is None:
            found = self._tables.by_name.get(_signed_service(query, headers))
        service, protocol = found or ("", QUERY)
        action = _ACTION.search(form)
        if action is None:
            message = "The request is missing an action or operation parameter"
            raise RequestRefused(Fault(code="MissingAction", status=400, message=message), protocol, service)
        name = action[1].decode()
        if found is None:
            asked = version[1].decode() if version else ""
            fault = invalid_action(name, QUERY, asked)
            lacking = self._nowhere(query, headers, fault.status, fault.message, QUERY)
            message = _LACKED_VERSIONS.get(asked, lacking.fault.message)
            raise RequestRefused(replace(fault, message=message), QUERY)
        return Route(service=service, operation=name, protocol=protocol, payload=form)

    def _rest_route(
        self, method: str, path: bytes, query: bytes, headers: Mapping[bytes, bytes], body: bytes
    ) -> Route | None:
        if self._index is None:
            self._index = self._make_index()
        try:
            found = self._index.find(method, path, query)
        except MalformedUri as error:
            fault = Fault(code="SerializationException", status=400, message=str(error))
            raise RequestRefused(fault, REST_JSON) from None
        if len(found) > 1:
            # Services have paths in common (`/tags/{arn}`), and hosts of their own at AWS: the signed name decides.
            signed = _signed_service(query, headers)
            found = [entry for entry in found if entry.service == signed]
        if not found:
            return None
        service, operation, labels = found[0]
        return Route(
            service=service,
            operation=operation,
            protocol=REST_JSON,
            payload=body,
            is_gzip=_is_gzip(headers, REST_JSON, service),
            parts=RestParts(labels=labels, query=query, headers=headers),
        )


def _signed_service(query: bytes, headers: Mapping[bytes, bytes]) -> str:
    scope = _SCOPE.search(headers.get(b"authorization", b"")[:1024]) or _PRESIGNED_SCOPE.search(query)
    return scope[1].decode() if scope is not None else ""


def _is_cbor(headers: Mapping[bytes, bytes]) -> bool:
    return _CBOR_TYPE.fullmatch(headers.get(b"content-type", b"")) is not None


def _is_gzip(headers: Mapping[bytes, bytes], protocol: str, service: str) -> bool:
    """Raises RequestRefused for an encoding that is not understood."""
    encoding = headers.get(b"content-encoding", b"").strip().lower()
    if encoding in (b"", b"identity"):
        return False
    if encoding in ENCODINGS:
        return True
    message = "The only encoding of a request body that is supported is gzip."
    fault = Fault(code="UnsupportedMediaTypeException", status=415, message=message)
    raise RequestRefused(fault, protocol, service)


def _plain_form(headers: Mapping[bytes, bytes], body: bytes) -> bytes:
    if not _is_gzip(headers, QUERY, ""):
        return body
    try:
        return inflated(body, FORM_INFLATED_MAX_BYTES)
    except InflatedTooLarge:
        message = f"The request is larger than {FORM_INFLATED_MAX_BYTES} bytes."
        raise RequestRefused(Fault(code="RequestEntityTooLarge", status=413, message=message), QUERY) from None
    except MalformedBody as error:
        raise RequestRefused(Fault(code="MalformedInput", status=400, message=error.message), QUERY) from None


def invalid_action(name: str, protocol: str, version: str) -> Fault:
    """An operation that the service does not have, in the protocol's words."""
    if protocol == EC2:
        message = f"The action {name} is not valid for this web service."
    elif protocol == QUERY:
        message = f"Could not find operation {name} for version {version or 'NO_VERSION_SPECIFIED'}"
    else:
        status = 404 if protocol in (REST_JSON, CBOR) else 400
        return Fault(code="UnknownOperationException", status=status, message=f"Operation {name} is not available.")
    return Fault(code="InvalidAction", status=400, message=message)

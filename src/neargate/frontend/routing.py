"""Which operation a request asks for: by X-Amz-Target or by Action=, never by host name or by who signed it.

Runs before the signature is checked, so it looks at bounded bytes only and parses nothing of the body.
"""

import re
from collections.abc import Mapping

import msgspec

from .errors import EC2, JSON, QUERY, Fault, RequestRefused

# A test holds these equal to the models' metadata: routing must not load every model to serve one of them.
TARGETS: Mapping[str, str] = {
    "AmazonEC2ContainerServiceV20141113": "ecs",
    "Logs_20140328": "logs",
    "ServiceQuotasV20190624": "service-quotas",
    "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101": "cloudtrail",
}
VERSIONS: Mapping[str, tuple[str, str]] = {
    "2010-05-08": ("iam", QUERY),
    "2011-06-15": ("sts", QUERY),
    "2016-11-15": ("ec2", EC2),
}
BY_NAME: Mapping[str, tuple[str, str]] = {service: (service, protocol) for service, protocol in VERSIONS.values()}

_TARGET = re.compile(rb"([A-Za-z0-9_.]{1,128})\.([A-Za-z0-9]{1,128})")
_ACTION = re.compile(rb"(?:^|&)Action=([A-Za-z0-9]{1,128})(?:&|$)")
_VERSION = re.compile(rb"(?:^|&)Version=([0-9-]{1,32})(?:&|$)")
_SCOPE = re.compile(rb"Credential=[^/,\s]{1,256}/\d{8}/[a-z0-9-]{1,64}/([a-z0-9-]{1,64})/")
_JSON_TYPE = re.compile(rb"application/x-amz-json-1\.[01]\s*(;.*)?", re.IGNORECASE)
_FORM_TYPE = re.compile(rb"application/x-www-form-urlencoded\s*(;.*)?", re.IGNORECASE)


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """`payload` holds the parameters: the JSON body, or the form (body or query string)."""

    service: str
    operation: str
    protocol: str
    payload: bytes


def find_route(method: str, path: bytes, query: bytes, headers: Mapping[bytes, bytes], body: bytes) -> Route:
    """Raises RequestRefused with a 4xx."""
    if path not in (b"/", b""):
        raise RequestRefused(Fault(code="UnknownOperationException", status=404, message="There is nothing here."))
    target = headers.get(b"x-amz-target")
    if target is not None:
        return _json_route(method, target, headers, body)
    if method == "POST" and _FORM_TYPE.fullmatch(headers.get(b"content-type", b"")) is not None:
        return _form_route(body, headers)
    if method == "GET" and _ACTION.search(query) is not None:
        return _form_route(query, headers)
    status = 405 if method not in ("GET", "POST") else 404
    message = "The request names no operation: it has neither X-Amz-Target nor Action."
    raise RequestRefused(Fault(code="UnknownOperationException", status=status, message=message))


def _json_route(method: str, target: bytes, headers: Mapping[bytes, bytes], body: bytes) -> Route:
    if method != "POST":
        message = "Operations of this protocol are called with POST."
        raise RequestRefused(Fault(code="UnknownOperationException", status=405, message=message))
    match = _TARGET.fullmatch(target)
    service = None if match is None else TARGETS.get(match[1].decode())
    if match is None or service is None:
        message = "The value of X-Amz-Target names no service of this endpoint."
        raise RequestRefused(Fault(code="UnknownOperationException", status=400, message=message))
    if _JSON_TYPE.fullmatch(headers.get(b"content-type", b"")) is None:
        message = "The content type must be application/x-amz-json-1.1."
        raise RequestRefused(Fault(code="SerializationException", status=400, message=message), JSON, service)
    return Route(service=service, operation=match[2].decode(), protocol=JSON, payload=body)


def _form_route(form: bytes, headers: Mapping[bytes, bytes]) -> Route:
    version = _VERSION.search(form)
    scope = _SCOPE.search(headers.get(b"authorization", b"")[:1024])
    # A known version says which API it is. Old clients send old versions of EC2: then the signed service name decides.
    found = VERSIONS.get(version[1].decode()) if version is not None else None
    if found is None and scope is not None:
        found = BY_NAME.get(scope[1].decode())
    service, protocol = found or ("", QUERY)
    action = _ACTION.search(form)
    if action is None:
        message = "The request is missing an action or operation parameter"
        raise RequestRefused(Fault(code="MissingAction", status=400, message=message), protocol, service)
    name = action[1].decode()
    if found is None:
        raise RequestRefused(invalid_action(name, QUERY, version[1].decode() if version else ""), QUERY)
    return Route(service=service, operation=name, protocol=protocol, payload=form)


def invalid_action(name: str, protocol: str, version: str) -> Fault:
    """An operation that the service does not have, in the protocol's words."""
    if protocol == EC2:
        message = f"The action {name} is not valid for this web service."
    elif protocol == QUERY:
        message = f"Could not find operation {name} for version {version or 'NO_VERSION_SPECIFIED'}"
    else:
        return Fault(code="UnknownOperationException", status=400, message=f"Operation {name} is not available.")
    return Fault(code="InvalidAction", status=400, message=message)

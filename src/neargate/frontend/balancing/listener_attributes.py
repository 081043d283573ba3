"""Attributes of listeners: AWS's keys and defaults by protocol, and what may be set. Literal and pure.

Those that rename or set headers are shown as AWS shows them, and refused when somebody sets them: no proxy of ours
does that. Kept are those that differ from the default.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ..regional.shelves import Change, Shelf
from . import lookup
from .attributes import BOOLEANS, Key, changed
from .objects import Attributes, Listener

IDLE_TIMEOUT = "tcp.idle_timeout.seconds"
_RESPONSE = "routing.http.response"
_REQUEST = "routing.http.request"
_HEADERS_SET = (
    "strict_transport_security",
    "access_control_allow_origin",
    "access_control_allow_methods",
    "access_control_allow_headers",
    "access_control_allow_credentials",
    "access_control_expose_headers",
    "access_control_max_age",
    "content_security_policy",
    "x_content_type_options",
    "x_frame_options",
)
_HEADERS_RENAMED = {
    "x_amzn_mtls_clientcert_serial_number": "X-Amzn-Mtls-Clientcert-Serial-Number",
    "x_amzn_mtls_clientcert_issuer": "X-Amzn-Mtls-Clientcert-Issuer",
    "x_amzn_mtls_clientcert_subject": "X-Amzn-Mtls-Clientcert-Subject",
    "x_amzn_mtls_clientcert_validity": "X-Amzn-Mtls-Clientcert-Validity",
    "x_amzn_mtls_clientcert_leaf": "X-Amzn-Mtls-Clientcert-Leaf",
    "x_amzn_mtls_clientcert": "X-Amzn-Mtls-Clientcert",
    "x_amzn_tls_version": "X-Amzn-Tls-Version",
    "x_amzn_tls_cipher_suite": "X-Amzn-Tls-Cipher-Suite",
}


def _only(default: str) -> Key:
    return Key(default=default, built=(default,))


_HTTP: Mapping[str, Key] = {
    f"{_RESPONSE}.server.enabled": Key(default="true", values=BOOLEANS, built=("true",)),
    **{f"{_RESPONSE}.{header}.header_value": _only("") for header in _HEADERS_SET},
}
_HTTPS: Mapping[str, Key] = {
    **_HTTP,
    **{f"{_REQUEST}.{header}.header_name": _only(name) for header, name in _HEADERS_RENAMED.items()},
}
LISTENERS: Mapping[str, Mapping[str, Key]] = {
    "HTTP": _HTTP,
    "HTTPS": _HTTPS,
    "TCP": {IDLE_TIMEOUT: Key(default="350", lowest=60, highest=6000)},
    "TLS": {},
}


def of_listener(listener: Listener) -> dict[str, str]:
    """All of them, by key."""
    defaults = {key: known.default for key, known in LISTENERS[listener.protocol].items()}
    return {**defaults, **dict(listener.attributes)}


def kept_for(protocol: str, attributes: Attributes) -> Attributes:
    """What stays of a listener's when it speaks this."""
    return tuple(one for one in attributes if one[0] in LISTENERS[protocol])


def modify(shelf: Shelf, arn: str, given: Sequence[tuple[str, str]]) -> Change[Listener]:
    """Raises ListenerNotFound, ValidationError, InvalidConfigurationRequest."""
    found = lookup.required_listener(shelf, arn)
    kept = changed(LISTENERS[found.protocol], found.attributes, given, "Listener")
    after = replace(found, attributes=kept)
    return Change(result=after, put=(after,) if after != found else ())

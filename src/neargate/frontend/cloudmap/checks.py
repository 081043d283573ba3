"""What a request may say of namespaces, services and instances, beyond the shapes of the API's model. Pure.

All raise InvalidInput. Names and values that become DNS records are held to what a resolver can answer with.
"""

from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from ...dns.message import Malformed
from ...dns.message import name as wire_name
from .errors import InvalidInput
from .records import CNAME, INIT_HEALTH, IPV4, IPV6, PORT, WEIGHTED, Dns, Namespace, Service

ATTRIBUTES_MAX_CHARS = 5000  # of an instance, keys and values
_COMBINATIONS = ({"A"}, {"AAAA"}, {"A", "AAAA"}, {"SRV"}, {"CNAME"})
_REQUIRED = {"A": IPV4, "AAAA": IPV6, "CNAME": CNAME}
_RESERVED = "AWS_"
_KNOWN = frozenset({IPV4, IPV6, PORT, CNAME, INIT_HEALTH})
_ALIAS, _EC2_INSTANCE = "AWS_ALIAS_DNS_NAME", "AWS_EC2_INSTANCE_ID"
PORT_MAX = 65_535
APEX = "."  # the name of a service whose records are at its namespace's own name


def is_dns_name(text: str) -> bool:
    """Of some labels, none of them empty or too long. One dot may end it."""
    try:
        return len(wire_name(text)) > 1
    except Malformed:
        return False


def check_private_name(name: str) -> None:
    if not is_dns_name(name):
        raise InvalidInput(f"The name {name} is not a valid DNS name.")


def check_dns(dns: Dns | None, namespace: Namespace) -> None:
    """Of a new service."""
    if dns is None:
        return
    if namespace.vpc is None:
        raise InvalidInput("When you specify an HTTP service, you can't include a DnsConfig element.")
    if dns.types not in _COMBINATIONS or len(dns.types) != len(dns.records):
        raise InvalidInput(
            "The record types of a service can be A, AAAA, A and AAAA, SRV, or CNAME, each of them once."
        )
    if "CNAME" in dns.types and dns.policy != WEIGHTED:
        raise InvalidInput("The routing policy of a service with a CNAME record must be WEIGHTED.")


def check_service_name(name: str, namespace: Namespace, dns: Dns | None) -> None:
    if dns is not None and name == APEX and "CNAME" in dns.types:
        raise InvalidInput("The name of a namespace can't be an alias.")
    if dns is not None and not is_dns_name(owner_name(name, namespace)):
        raise InvalidInput(f"The name {name} makes no valid DNS name in the namespace {namespace.called}.")


def owner_name(service: str, namespace: Namespace) -> str:
    """Of the service's records."""
    apex = namespace.called.removesuffix(".").lower()
    return apex if service == APEX else f"{service.lower()}.{apex}"


def check_attributes(service: Service, attributes: Mapping[str, str], custom_max: float) -> None:
    """Of an instance."""
    custom = [key for key in attributes if not key.startswith(_RESERVED)]
    if len(custom) > custom_max:
        raise InvalidInput(f"An instance has at most {custom_max:.0f} custom attributes.")
    if sum(len(key) + len(value) for key, value in attributes.items()) > ATTRIBUTES_MAX_CHARS:
        raise InvalidInput(f"The attributes of an instance have more than {ATTRIBUTES_MAX_CHARS} characters.")
    if _ALIAS in attributes:
        raise InvalidInput(f"Neargate does not support {_ALIAS}: it makes no alias records.")
    if _EC2_INSTANCE in attributes:
        raise InvalidInput(f"{_EC2_INSTANCE} names no EC2 instance: Neargate has none.")
    unknown = [key for key in attributes if key.startswith(_RESERVED) and key not in _KNOWN]
    if unknown:
        raise InvalidInput(f"The attribute {unknown[0]} is reserved.")
    _check_health(service, attributes)
    _check_values(attributes)
    _check_required(service, attributes)


def _check_health(service: Service, attributes: Mapping[str, str]) -> None:
    status = attributes.get(INIT_HEALTH)
    if status is None:
        return
    if not service.has_custom_health:
        raise InvalidInput(f"{INIT_HEALTH} needs a service with a HealthCheckCustomConfig.")
    if status not in ("HEALTHY", "UNHEALTHY"):
        raise InvalidInput(f"{INIT_HEALTH} is HEALTHY or UNHEALTHY.")


def _check_values(attributes: Mapping[str, str]) -> None:
    port = attributes.get(PORT)
    if port is not None and not (port.isascii() and port.isdecimal() and 0 < int(port) <= PORT_MAX):
        raise InvalidInput(f"{PORT} is not a port: {port}")
    for key, kind in ((IPV4, IPv4Address), (IPV6, IPv6Address)):
        value = attributes.get(key)
        if value is not None and ("%" in value or not _is_address(value, kind)):
            raise InvalidInput(f"{key} is not a valid address: {value}")
    target = attributes.get(CNAME)
    if target is not None and not is_dns_name(target):
        raise InvalidInput(f"{CNAME} is not a domain name: {target}")


def _is_address(value: str, kind: type[IPv4Address] | type[IPv6Address]) -> bool:
    try:
        kind(value)
    except AddressValueError:
        return False
    return True


def _check_required(service: Service, attributes: Mapping[str, str]) -> None:
    types = frozenset[str]() if service.dns is None else service.dns.types
    for kind in sorted(types):
        key = _REQUIRED.get(kind)
        if key is not None and key not in attributes:
            raise InvalidInput(f"The attribute {key} is required: the service has a record of type {kind}.")
    if "SRV" in types:
        if PORT not in attributes:
            raise InvalidInput(f"The attribute {PORT} is required: the service has a record of type SRV.")
        if IPV4 not in attributes and IPV6 not in attributes:
            raise InvalidInput(f"The attribute {IPV4} or {IPV6} is required: the service has a record of type SRV.")

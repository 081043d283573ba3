"""CreateNetworkAclEntry, ReplaceNetworkAclEntry, DeleteNetworkAclEntry: EC2's words for what an entry may say."""

from functools import partial
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from ....model.quotas import RULES_PER_NETWORK_ACL
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...network.errors.acls import NetworkAclIdMalformed, NetworkMissing
from ...network.errors.common import InvalidParameterValue, MissingParameter
from ...network.filters.acls import create_entry, delete_entry, replace_entry
from ...network.records.objects import AclEntry
from ...network.vpcs.defaults import LAST_RULE
from ...services import Operation, Services
from .asking import region_key
from .network_acls import PROTOCOL_NAMES, acl_resource
from .permissions import network_from
from .request import check_id, stop_if_dry_run

_NUMBERS = {name: number for number, name in PROTOCOL_NAMES.items()} | {"all": "-1"}


async def create(call: Call, services: Services, params: Params) -> Answer:
    return await _write(call, services, params, create_entry)


async def replace(call: Call, services: Services, params: Params) -> Answer:
    return await _write(call, services, params, replace_entry)


async def _write(call: Call, services: Services, params: Params, decide: Any) -> Answer:
    acl_id = params["NetworkAclId"]
    authorize(call, f"ec2:{call.operation}", [acl_resource(call, services, acl_id)], region_key(call))
    check_id(acl_id, "acl", NetworkAclIdMalformed)
    entry = entry_from(params)
    stop_if_dry_run(params)
    entries_max = services.network.quota(call.account, RULES_PER_NETWORK_ACL)
    await services.network.change(call.account, partial(decide, acl_id=acl_id, entry=entry, entries_max=entries_max))
    return {}


async def delete(call: Call, services: Services, params: Params) -> Answer:
    acl_id = params["NetworkAclId"]
    authorize(call, "ec2:DeleteNetworkAclEntry", [acl_resource(call, services, acl_id)], region_key(call))
    check_id(acl_id, "acl", NetworkAclIdMalformed)
    number = _number(params["RuleNumber"])
    stop_if_dry_run(params)
    decide = partial(delete_entry, acl_id=acl_id, number=number, is_egress=params["Egress"])
    await services.network.change(call.account, decide)
    return {}


def entry_from(params: Params) -> AclEntry:
    """What a request says of an entry. Raises InvalidParameterValue, MissingParameter."""
    ipv4, ipv6 = params.get("CidrBlock"), params.get("Ipv6CidrBlock")
    number, protocol = _number(params["RuleNumber"]), _protocol(params["Protocol"])
    if ipv4 is None and ipv6 is None:
        raise NetworkMissing
    if ipv4 is not None and ipv6 is not None:
        raise InvalidParameterValue("Only one of 'cidrBlock' or 'ipv6CidrBlock' can be provided.")
    return AclEntry(
        number=number,
        is_egress=params["Egress"],
        allow=params["RuleAction"] == "allow",
        protocol=protocol,
        cidr_ipv4=None if ipv4 is None else network_from(ipv4, IPv4Network),
        cidr_ipv6=None if ipv6 is None else network_from(ipv6, IPv6Network),
        **_ports(protocol, params.get("PortRange") or {}),
        **_icmp(protocol, params.get("IcmpTypeCode") or {}, is_ipv6=ipv6 is not None),
    )


def _number(given: int) -> int:
    if not 1 <= given < LAST_RULE:
        raise InvalidParameterValue(
            f"Value ({given}) for parameter ruleNumber is invalid. Rule numbers are between 1 and {LAST_RULE - 1}."
        )
    return given


def _protocol(given: str) -> str:
    protocol = _NUMBERS.get(given.lower(), given)
    if protocol == "-1":
        return protocol
    if protocol.isascii() and protocol.isdigit() and len(protocol) <= 3 and int(protocol) <= 255:
        return str(int(protocol))
    raise InvalidParameterValue(f"Invalid value '{given[:64]}' for IP protocol. Unknown protocol.")


def _ports(protocol: str, given: dict[str, Any]) -> dict[str, int]:
    """Of TCP and UDP; of other protocols EC2 ignores what was given."""
    if protocol not in ("6", "17"):
        return {}
    first, last = given.get("From"), given.get("To")
    if first is None or last is None:
        raise MissingParameter(f"portRange.{'from' if first is None else 'to'}")
    if not 0 <= first <= last <= 65535:
        raise InvalidParameterValue(f"Invalid TCP/UDP port range ({first}:{last})")
    return {"from_port": first, "to_port": last}


def _icmp(protocol: str, given: dict[str, Any], *, is_ipv6: bool) -> dict[str, int]:
    """ICMPv6 over IPv4 is all of it, whatever was given."""
    if protocol != "1" and not (protocol == "58" and is_ipv6):
        return {}
    kind, code = given.get("Type"), given.get("Code")
    if kind is None or code is None:
        raise MissingParameter(f"icmpTypeCode.{'type' if kind is None else 'code'}")
    if not (-1 <= kind <= 255 and -1 <= code <= 255) or (kind == -1 and code != -1):
        raise InvalidParameterValue(f"ICMP code ({code}) and type ({kind}) are not valid together")
    return {"icmp_type": kind, "icmp_code": code}


OPERATIONS: dict[str, Operation] = {
    "CreateNetworkAclEntry": create,
    "DeleteNetworkAclEntry": delete,
    "ReplaceNetworkAclEntry": replace,
}

"""Security group permissions between EC2's wire shapes and our rules: both request forms in, three answer forms out.

Pure. EC2's own words for what is wrong; CIDR blocks come out canonical, so that equal rules are equal.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from ...network.errors.common import (
    GroupNotFound,
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    PeerMissing,
    PermissionMalformed,
    PrefixListNotFound,
)
from ...network.peering.groups import Status
from ...network.records.security_groups import RuleSpec, SecurityGroupView, StoredRule
from .request import tag_list

PERMISSIONS_MAX = 1000
_NUMBERS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "all": "-1"}
_NAMES = frozenset({"tcp", "udp", "icmp", "icmpv6", "-1"})
_DESCRIPTION = re.compile(r"^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}$")

# The id of the group that a request names by id or (in the default VPC) by name. Raises GroupNotFound.
FindGroup = Callable[[str | None, str | None], str]


def specs_from(params: Mapping[str, Any], *, is_egress: bool, account: str, find_group: FindGroup) -> list[RuleSpec]:
    """The rules a request means, by `IpPermissions` or by flat parameters."""
    permissions = params.get("IpPermissions") or []
    if not permissions:
        permissions = _flat(params)
    elif any(params.get(name) is not None for name in ("IpProtocol", "CidrIp", "SourceSecurityGroupName")):
        raise InvalidParameterCombination("The parameter ipPermissions cannot be used with the flat parameters")
    specs = [spec for one in permissions for spec in _expand(one, is_egress, account, find_group)]
    if not specs:
        raise MissingParameter("ipPermissions")
    if len(specs) > PERMISSIONS_MAX:
        raise InvalidParameterValue(f"A request may name at most {PERMISSIONS_MAX} rules")
    return specs


def _flat(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    protocol, name = params.get("IpProtocol"), params.get("SourceSecurityGroupName")
    pair = {"GroupName": name, "UserId": params.get("SourceSecurityGroupOwnerId")}
    if name is not None and protocol is None:
        # EC2: a source group alone grants all of TCP, UDP and ICMP.
        spans = (("tcp", 0, 65535), ("udp", 0, 65535), ("icmp", -1, -1))
        return [
            {"IpProtocol": one, "FromPort": first, "ToPort": last, "UserIdGroupPairs": [pair]}
            for one, first, last in spans
        ]
    if protocol is None and params.get("CidrIp") is None:
        return []
    flat: dict[str, Any] = {key: params[key] for key in ("IpProtocol", "FromPort", "ToPort") if key in params}
    if params.get("CidrIp") is not None:
        flat["IpRanges"] = [{"CidrIp": params["CidrIp"]}]
    if name is not None:
        flat["UserIdGroupPairs"] = [pair]
    return [flat]


def _expand(permission: Mapping[str, Any], is_egress: bool, account: str, find_group: FindGroup) -> Iterable[RuleSpec]:
    protocol = _protocol(permission.get("IpProtocol"))
    first, last = _ports(protocol, permission.get("FromPort"), permission.get("ToPort"))

    def spec(peer: Mapping[str, Any], **set_peer: str) -> RuleSpec:
        return RuleSpec(
            is_egress=is_egress,
            protocol=protocol,
            from_port=first,
            to_port=last,
            description=description_from(peer.get("Description")),
            **set_peer,
        )

    specs = [
        spec(one, cidr_ipv4=network_from(one.get("CidrIp"), IPv4Network)) for one in permission.get("IpRanges") or ()
    ]
    specs += [
        spec(one, cidr_ipv6=network_from(one.get("CidrIpv6"), IPv6Network))
        for one in permission.get("Ipv6Ranges") or ()
    ]
    for pair in permission.get("UserIdGroupPairs") or ():
        owner = pair.get("UserId")
        if owner not in (None, "", account):
            # Groups of other accounts need a peering connection with them; there are none.
            raise GroupNotFound.of_id(str(pair.get("GroupId") or pair.get("GroupName"))[:255])
        asked = {"peer_vpc": pair.get("VpcId"), "peering": pair.get("VpcPeeringConnectionId")}
        given = {name: value for name, value in asked.items() if value}
        specs.append(spec(pair, peer_group=find_group(pair.get("GroupId"), pair.get("GroupName")), **given))
    specs += [spec(one, prefix_list=_list_id(one.get("PrefixListId"))) for one in permission.get("PrefixListIds") or ()]
    if not specs:
        raise PermissionMalformed("A rule must have a CIDR block, a prefix list or a security group")
    return specs


def spec_of_rule(given: Mapping[str, Any]) -> RuleSpec:
    """A SecurityGroupRuleRequest, as of an ingress rule. Raises what EC2 says of one that is not whole."""
    peers = {
        "cidr_ipv4": given.get("CidrIpv4"),
        "cidr_ipv6": given.get("CidrIpv6"),
        "prefix_list": given.get("PrefixListId"),
        "peer_group": given.get("ReferencedGroupId"),
    }
    named = {name: value for name, value in peers.items() if value is not None}
    if len(named) > 1:
        raise InvalidParameterCombination(
            "Only one of cidrIp, cidrIpv6, prefixListId, or referencedGroupId can be specified"
        )
    if not named:
        raise PeerMissing
    if given.get("IpProtocol") is None:
        raise InvalidParameterValue(
            "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly."
        )
    protocol = _protocol(given["IpProtocol"])
    if protocol in ("tcp", "udp") and (given.get("FromPort") is None or given.get("ToPort") is None):
        raise InvalidParameterValue("Invalid value for portRange. Must specify both from and to ports with TCP/UDP.")
    first, last = _ports(protocol, given.get("FromPort"), given.get("ToPort"))
    [(kind, peer)] = named.items()
    if kind in ("cidr_ipv4", "cidr_ipv6"):
        peer = network_from(peer, IPv4Network if kind == "cidr_ipv4" else IPv6Network)
    elif kind == "prefix_list":
        peer = _list_id(peer)
    return RuleSpec(
        is_egress=False,
        protocol=protocol,
        from_port=first,
        to_port=last,
        description=description_from(given.get("Description")),
        **{kind: peer},
    )


def _list_id(given: str | None) -> str:
    """Whether there is such a list is found out when the rule is made."""
    if given is None or not re.fullmatch(r"pl-[0-9a-f]{8,17}", given):
        raise PrefixListNotFound(f"The prefix list ID '{(given or '')[:255]}' does not exist")
    return given


def _protocol(given: str | None) -> str:
    if not given:
        raise MissingParameter("ipProtocol")
    protocol = _NUMBERS.get(given.lower(), given.lower())
    if protocol in _NAMES:
        return protocol
    if protocol.isascii() and protocol.isdigit() and len(protocol) <= 3 and int(protocol) <= 255:
        return str(int(protocol))
    raise InvalidParameterValue(f"Invalid value '{given[:64]}' for IP protocol. Unknown protocol.")


def _ports(protocol: str, first: int | None, last: int | None) -> tuple[int, int]:
    if protocol in ("tcp", "udp"):
        if first is None or last is None or first == -1 or last == -1:
            raise InvalidParameterValue(
                f"Invalid value '{-1 if first in (None, -1) else last}' for portRange. "
                "Must specify both from and to ports with TCP/UDP."
            )
        if not 0 <= first <= last <= 65535:
            raise InvalidParameterValue(f"Invalid TCP/UDP port range ({first}:{last})")
        return first, last
    if protocol in ("icmp", "icmpv6"):
        kind, code = -1 if first is None else first, -1 if last is None else last
        if not (-1 <= kind <= 255 and -1 <= code <= 255) or (kind == -1 and code != -1):
            raise InvalidParameterValue(f"ICMP code ({code}) and type ({kind}) are not valid together")
        return kind, code
    # All traffic, or a protocol without ports: EC2 ignores what was given.
    return -1, -1


def network_from(given: str | None, family: type[IPv4Network] | type[IPv6Network]) -> str:
    """Canonical: EC2 clears the host bits. Raises InvalidParameterValue."""
    try:
        if given is not None and "/" in given:
            return str(family(given, strict=False))
    except ValueError:
        pass  # told below in EC2's words
    raise InvalidParameterValue(f"CIDR block {(given or '')[:64]} is malformed")


def description_from(given: str | None) -> str | None:
    if given and not _DESCRIPTION.fullmatch(given):
        raise InvalidParameterValue(
            "Invalid rule description. Valid descriptions are strings less than 256 characters from the following "
            "set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
        )
    return given or None


def permissions_shown(group: SecurityGroupView, status: Status, *, is_egress: bool) -> list[dict[str, Any]]:
    """`IpPermissions` of DescribeSecurityGroups: rules of one protocol and port range under one entry."""
    specs = [rule.spec for rule in group.rules if rule.spec.is_egress == is_egress]
    return specs_shown(specs, group.account, status)


def specs_shown(specs: Sequence[RuleSpec], account: str, status: Status) -> list[dict[str, Any]]:
    entries: dict[tuple[str, int, int], dict[str, Any]] = {}
    for spec in specs:
        key = (spec.protocol, spec.from_port, spec.to_port)
        entry = entries.get(key)
        if entry is None:
            entry = {"IpProtocol": spec.protocol}
            if spec.protocol in ("tcp", "udp", "icmp", "icmpv6"):
                entry |= {"FromPort": spec.from_port, "ToPort": spec.to_port}
            entry |= {"UserIdGroupPairs": [], "IpRanges": [], "Ipv6Ranges": [], "PrefixListIds": []}
            entries[key] = entry
        member, peer = _peer_shown(spec, account, status)
        entry[member].append(peer)
    return list(entries.values())


def _peer_shown(spec: RuleSpec, account: str, status: Status) -> tuple[str, dict[str, str]]:
    described = {"Description": spec.description} if spec.description else {}
    if spec.cidr_ipv4 is not None:
        return "IpRanges", {**described, "CidrIp": spec.cidr_ipv4}
    if spec.cidr_ipv6 is not None:
        return "Ipv6Ranges", {**described, "CidrIpv6": spec.cidr_ipv6}
    if spec.prefix_list is not None:
        return "PrefixListIds", {**described, "PrefixListId": spec.prefix_list}
    pair = {"UserId": account, "GroupId": spec.peer_group or ""}
    return "UserIdGroupPairs", {**described, **pair, **_way_shown(spec, status)}


def _way_shown(spec: RuleSpec, status: Status) -> dict[str, str]:
    """Where a group of a peered VPC is."""
    if spec.peering is None or spec.peer_vpc is None:
        return {}
    return {
        "VpcId": spec.peer_vpc,
        "VpcPeeringConnectionId": spec.peering,
        "PeeringStatus": status(spec.peering),
    }


def rule_shown(rule: StoredRule, group: SecurityGroupView, arn: str, status: Status) -> dict[str, Any]:
    """A SecurityGroupRule. `FromPort` and `ToPort` are -1 for all."""
    spec = rule.spec
    shown: dict[str, Any] = {
        "SecurityGroupRuleId": rule.rule_id,
        "GroupId": group.group_id,
        "GroupOwnerId": group.account,
        "IsEgress": spec.is_egress,
        "IpProtocol": spec.protocol,
        "FromPort": spec.from_port,
        "ToPort": spec.to_port,
        "Tags": tag_list(rule.tags),
        "SecurityGroupRuleArn": arn,
    }
    if spec.cidr_ipv4 is not None:
        shown["CidrIpv4"] = spec.cidr_ipv4
    if spec.cidr_ipv6 is not None:
        shown["CidrIpv6"] = spec.cidr_ipv6
    if spec.prefix_list is not None:
        shown["PrefixListId"] = spec.prefix_list
    if spec.peer_group is not None:
        way = _way_shown(spec, status)
        shown["ReferencedGroupInfo"] = {"GroupId": spec.peer_group, "UserId": group.account, **way}
    if spec.description is not None:
        shown["Description"] = spec.description
    return shown


def revoked_shown(rule: StoredRule, group_id: str) -> dict[str, Any]:
    """A RevokedSecurityGroupRule."""
    spec = rule.spec
    peers = {
        "CidrIpv4": spec.cidr_ipv4,
        "CidrIpv6": spec.cidr_ipv6,
        "ReferencedGroupId": spec.peer_group,
        "PrefixListId": spec.prefix_list,
        "Description": spec.description,
    }
    return {
        "SecurityGroupRuleId": rule.rule_id,
        "GroupId": group_id,
        "IsEgress": spec.is_egress,
        "IpProtocol": spec.protocol,
        "FromPort": spec.from_port,
        "ToPort": spec.to_port,
    } | {name: value for name, value in peers.items() if value is not None}

"""Tags of network objects: which kinds have them, and what CreateTags and DeleteTags make of a shelf. Pure.

Owns EC2's rules of tags for all kinds. Must not know requests. Invariant: a change of several objects' tags is made of
all of them or of none.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ...model.errors import AwsError
from ..regional.shelves import Change, Kept, Shelf
from .errors.acls import NetworkAclNotFound
from .errors.common import (
    GroupNotFound,
    InvalidParameterValue,
    NetworkInterfaceNotFound,
    NotFound,
    PrefixListNotFound,
    SecurityGroupRuleNotFound,
    SubnetNotFound,
    VpcNotFound,
)
from .errors.routing import (
    EgressOnlyGatewayNotFound,
    EndpointNotFound,
    InternetGatewayNotFound,
    NatGatewayNotFound,
    PeeringNotFound,
    RouteTableNotFound,
)
from .errors.vpcs import CidrReservationNotFound, DhcpOptionsNotFound
from .errors.vpn import CustomerGatewayNotFound, VpnGatewayNotFound
from .records import objects
from .records.objects import Owned, Tags
from .records.security_groups import SecurityGroupView, StoredRule

TAGS_MAX = 50
RESOURCES_MAX = 1000
KEY_MAX, VALUE_MAX = 127, 256
RULE_KIND = "security-group-rule"
RULE_PREFIX = "sgr"
NO_LIST = "The prefix list ID '{}' does not exist"


class TagLimitExceeded(AwsError):
    code = "TagLimitExceeded"


class InvalidId(AwsError):
    code = "InvalidID"

    def __init__(self, given: str) -> None:
        super().__init__(f"The ID '{given[:255]}' is not valid")


class AddressNotFound(NotFound):
    code = "InvalidAllocationID.NotFound"
    kind = "allocation"


class FlowLogNotFound(NotFound):
    code = "InvalidFlowLogId.NotFound"
    kind = "flow log"


class Tagged(Struct, frozen=True, kw_only=True):
    """A kind of objects with tags. `missing` makes its NotFound from the ids that are not there."""

    record: type[Owned]
    missing: Callable[[Sequence[str]], AwsError]


# By the first part of ids. Rules of security groups are inside their groups' records.
KINDS: Mapping[str, Tagged] = {
    "vpc": Tagged(record=objects.Vpc, missing=VpcNotFound),
    "subnet": Tagged(record=objects.Subnet, missing=SubnetNotFound),
    "sg": Tagged(record=SecurityGroupView, missing=lambda ids: GroupNotFound.of_id(ids[0])),
    "rtb": Tagged(record=objects.RouteTable, missing=RouteTableNotFound),
    "igw": Tagged(record=objects.InternetGateway, missing=InternetGatewayNotFound),
    "eigw": Tagged(record=objects.EgressOnlyGateway, missing=EgressOnlyGatewayNotFound),
    "vgw": Tagged(record=objects.VpnGateway, missing=VpnGatewayNotFound),
    "cgw": Tagged(record=objects.CustomerGateway, missing=CustomerGatewayNotFound),
    "nat": Tagged(record=objects.NatGateway, missing=NatGatewayNotFound),
    "eipalloc": Tagged(record=objects.ElasticAddress, missing=AddressNotFound),
    "acl": Tagged(record=objects.NetworkAcl, missing=NetworkAclNotFound),
    "pl": Tagged(
        record=objects.PrefixList,
        missing=lambda ids: PrefixListNotFound(f"The prefix list ID '{ids[0]}' does not exist"),
    ),
    "dopt": Tagged(record=objects.DhcpOptions, missing=DhcpOptionsNotFound),
    "pcx": Tagged(record=objects.Peering, missing=PeeringNotFound),
    "vpce": Tagged(record=objects.VpcEndpoint, missing=EndpointNotFound),
    "eni": Tagged(record=objects.NetworkInterface, missing=NetworkInterfaceNotFound),
    "scr": Tagged(record=objects.CidrReservation, missing=lambda ids: CidrReservationNotFound(ids[0])),
    "fl": Tagged(record=objects.FlowLog, missing=FlowLogNotFound),
}


class Tag(Struct, frozen=True, kw_only=True):
    """A row of DescribeTags."""

    resource_id: str
    resource_type: str
    key: str
    value: str


class Unwanted(Struct, frozen=True, kw_only=True):
    """What DeleteTags names. `value` None: whatever the tag's value is."""

    key: str
    value: str | None = None


def check_tag(key: str, value: str) -> None:
    """Raises InvalidParameterValue. Keys that begin with `aws:` are AWS's own, in each request in other words."""
    if not key or len(key) > KEY_MAX:
        raise InvalidParameterValue(f"Tag keys must be between 1 and {KEY_MAX} characters in length.")
    if len(value) > VALUE_MAX:
        raise InvalidParameterValue(f"Tag values must be at most {VALUE_MAX} characters in length.")


def check_not_reserved(key: str) -> None:
    if key.lower().startswith("aws:"):
        raise InvalidParameterValue(
            f"Value ( {key[:255]} ) for parameter key is invalid. "
            "Tag keys starting with 'aws:' are reserved for internal use"
        )


def prefix_of(resource_id: str) -> str:
    """The kind's part of an id. Raises InvalidId for what cannot be one."""
    found = re.fullmatch(r"([a-z]+)-[0-9a-f]{8,17}", resource_id)
    if found is None:
        raise InvalidId(resource_id)
    return found[1]


def type_of(resource_id: str) -> str | None:
    """The resource type, as ARNs and DescribeTags have it; None for what is none of ours."""
    prefix = resource_id.partition("-")[0]
    if prefix == RULE_PREFIX:
        return RULE_KIND
    return KINDS[prefix].record.kind if prefix in KINDS else None


def find_tagged(shelf: Shelf, resource_id: str) -> Owned | StoredRule | None:
    """The object of an id, whatever its kind."""
    prefix = resource_id.partition("-")[0]
    if prefix == RULE_PREFIX:
        rules = (rule for group in shelf.all(SecurityGroupView) for rule in group.rules)
        return next((rule for rule in rules if rule.rule_id == resource_id), None)
    return shelf.find(KINDS[prefix].record, resource_id) if prefix in KINDS else None


def create_tags(shelf: Shelf, resource_ids: Sequence[str], tags: Tags) -> Change[None]:
    """Added, or written over. Raises InvalidId, TagLimitExceeded and each kind's NotFound."""

    def added(before: Tags) -> Tags:
        after = {**dict(before), **dict(tags)}
        if len(after) > TAGS_MAX:
            raise TagLimitExceeded("The maximum number of Tags for a resource has been reached.")
        return tuple(after.items())

    return _changed(shelf, resource_ids, added)


def delete_tags(shelf: Shelf, resource_ids: Sequence[str], unwanted: Sequence[Unwanted] | None) -> Change[None]:
    """None: all of them. What is not there is not missed. Raises InvalidId and each kind's NotFound."""

    def left(before: Tags) -> Tags:
        if unwanted is None:
            return ()
        whole = {one.key for one in unwanted if one.value is None}
        exact = {(one.key, one.value) for one in unwanted}
        return tuple((key, value) for key, value in before if key not in whole and (key, value) not in exact)

    return _changed(shelf, resource_ids, left)


def _changed(shelf: Shelf, resource_ids: Sequence[str], change: Callable[[Tags], Tags]) -> Change[None]:
    by_prefix: dict[str, list[str]] = {}
    for one in dict.fromkeys(resource_ids):
        by_prefix.setdefault(prefix_of(one), []).append(one)
    rule_ids = by_prefix.pop(RULE_PREFIX, [])
    before = {record.name: record for prefix, ids in by_prefix.items() for record in _found(shelf, prefix, ids)}
    groups = _groups_of_rules(shelf, rule_ids)
    changed = {name: replace(record, tags=change(record.tags)) for name, record in before.items()}
    for group in groups:
        rules = tuple(
            replace(rule, tags=change(rule.tags)) if rule.rule_id in rule_ids else rule for rule in group.rules
        )
        before.setdefault(group.name, group)
        changed[group.name] = replace(changed.get(group.name, group), rules=rules)  # a group may be named as well
    put: tuple[Kept, ...] = tuple(record for name, record in changed.items() if record != before[name])
    return Change(result=None, put=put)


def _found(shelf: Shelf, prefix: str, ids: Sequence[str]) -> list[Owned]:
    if prefix not in KINDS:
        raise InvalidId(ids[0])
    tagged = KINDS[prefix]
    found = {one: record for one in ids if (record := shelf.find(tagged.record, one)) and _is_there(record)}
    if len(found) < len(ids):
        raise tagged.missing([one for one in ids if one not in found])
    return list(found.values())


def _is_there(record: Owned) -> bool:
    """An interface's record is kept until the zone has its addresses back."""
    return not isinstance(record, objects.NetworkInterface) or record.is_there


def _groups_of_rules(shelf: Shelf, rule_ids: Sequence[str]) -> list[SecurityGroupView]:
    """Those that have the rules. Raises SecurityGroupRuleNotFound."""
    if not rule_ids:
        return []
    owner = {rule.rule_id: group for group in shelf.all(SecurityGroupView) for rule in group.rules}
    missing = [one for one in rule_ids if one not in owner]
    if missing:
        raise SecurityGroupRuleNotFound(missing)
    return list({owner[one].name: owner[one] for one in rule_ids}.values())


def all_tags(shelf: Shelf) -> Iterator[Tag]:
    """Of every object, in no order."""
    for tagged in KINDS.values():
        for record in filter(_is_there, shelf.all(tagged.record)):
            yield from _rows(record.name, record.kind, record.tags)
    for group in shelf.all(SecurityGroupView):
        for rule in group.rules:
            yield from _rows(rule.rule_id, RULE_KIND, rule.tags)


def _rows(resource_id: str, kind: str, tags: Tags) -> Iterator[Tag]:
    return (Tag(resource_id=resource_id, resource_type=kind, key=key, value=value) for key, value in tags)

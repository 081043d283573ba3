"""VPCs and subnets as the registry knows them, and what AWS gives every account on its first day. Pure."""

from collections.abc import Callable, Sequence
from ipaddress import IPv4Network

from msgspec import Struct

from ...model import ids
from ...model.capacity import SubnetView
from .security_groups import RuleSpec, SecurityGroupView, StoredRule

DEFAULT_CIDR = "172.31.0.0/16"
DEFAULT_SUBNET_PREFIX = 20
DEFAULT_GROUP_DESCRIPTION = "default VPC security group"
ANYWHERE = "0.0.0.0/0"

Bits = Callable[[int], int]


class VpcView(Struct, frozen=True, kw_only=True):
    """`generation` grows with each change that hosts must hear of."""

    vpc_id: str
    account: str
    cidr: str
    is_default: bool
    dhcp_options_id: str
    generation: int


class SubnetRecord(Struct, frozen=True, kw_only=True):
    view: SubnetView
    account: str
    default_for_zone: bool
    map_public_ip: bool


def default_vpc(account: str, bits: Bits) -> VpcView:
    return VpcView(
        vpc_id=ids.ec2_id("vpc", bits),
        account=account,
        cidr=DEFAULT_CIDR,
        is_default=True,
        dhcp_options_id=ids.ec2_id("dopt", bits),
        generation=1,
    )


def default_group(vpc: VpcView, bits: Bits) -> SecurityGroupView:
    """Everything in from its own members, everything out."""
    group_id = ids.ec2_id("sg", bits)
    rules = (
        StoredRule(rule_id=ids.ec2_id("sgr", bits), spec=RuleSpec(is_egress=False, protocol="-1", peer_group=group_id)),
        allow_all_egress(bits),
    )
    return SecurityGroupView(
        group_id=group_id,
        account=vpc.account,
        vpc_id=vpc.vpc_id,
        group_name="default",
        description=DEFAULT_GROUP_DESCRIPTION,
        rules=rules,
    )


def allow_all_egress(bits: Bits) -> StoredRule:
    """The rule every new group begins with."""
    return StoredRule(rule_id=ids.ec2_id("sgr", bits), spec=RuleSpec(is_egress=True, protocol="-1", cidr_ipv4=ANYWHERE))


def missing_default_subnets(
    vpc: VpcView, have: Sequence[SubnetRecord], zones: Sequence[tuple[str, str]], bits: Bits
) -> tuple[SubnetRecord, ...]:
    """One /20 for each zone that has none yet, in the order of the zones, from the blocks still free."""
    served = {record.view.zone for record in have if record.default_for_zone}
    used = [IPv4Network(record.view.cidr) for record in have]
    free = (
        block
        for block in IPv4Network(vpc.cidr).subnets(new_prefix=DEFAULT_SUBNET_PREFIX)
        if not any(block.overlaps(other) for other in used)
    )
    return tuple(
        SubnetRecord(
            view=SubnetView(
                subnet_id=ids.ec2_id("subnet", bits), vpc_id=vpc.vpc_id, zone=zone, zone_id=zone_id, cidr=str(block)
            ),
            account=vpc.account,
            default_for_zone=True,
            map_public_ip=True,
        )
        for (zone, zone_id), block in zip((zone for zone in zones if zone[0] not in served), free, strict=False)
    )

"""What each EC2 operation asks leave for. Source: Service Authorization Reference, "Amazon EC2"."""

from . import ec2_addresses, ec2_filters, ec2_flow_logs, ec2_routing, ec2_vpcs, ec2_vpn
from .ec2_rows import COMMON, describe, tagging
from .rules import REQUEST_TAGS, Actions, Level, Rule, rule

_GROUP, _RULE, _VPC = "security-group/{group}", "security-group-rule/{rule}", "vpc/{vpc}"
_GROUP_KEYS = (*COMMON, "ec2:SecurityGroupID", "ec2:Vpc")


def _permitting(name: str) -> tuple[Rule, ...]:
    """A rule that is made has no ARN before; it is asked for by its tags only."""
    return (
        rule(f"ec2:{name}", Level.WRITE, _GROUP, _RULE, keys=(*_GROUP_KEYS, *REQUEST_TAGS)),
        tagging(_RULE),
    )


ACTIONS: Actions = {
    **ec2_addresses.ACTIONS,
    **ec2_filters.ACTIONS,
    **ec2_flow_logs.ACTIONS,
    **ec2_routing.ACTIONS,
    **ec2_vpcs.ACTIONS,
    **ec2_vpn.ACTIONS,
    "AuthorizeSecurityGroupEgress": _permitting("AuthorizeSecurityGroupEgress"),
    "AuthorizeSecurityGroupIngress": _permitting("AuthorizeSecurityGroupIngress"),
    "CreateSecurityGroup": (
        rule(
            "ec2:CreateSecurityGroup",
            Level.WRITE,
            _VPC,
            _GROUP,
            keys=(*COMMON, *REQUEST_TAGS, "ec2:VpcID"),
        ),
        tagging(_GROUP),
    ),
    "DeleteSecurityGroup": (rule("ec2:DeleteSecurityGroup", Level.WRITE, _GROUP, "*", keys=_GROUP_KEYS),),
    "DescribeAvailabilityZones": describe("DescribeAvailabilityZones"),
    "DescribeNetworkInterfaces": describe("DescribeNetworkInterfaces"),
    "DescribeSecurityGroupRules": describe("DescribeSecurityGroupRules"),
    "DescribeSecurityGroups": describe("DescribeSecurityGroups"),
    "RevokeSecurityGroupEgress": (rule("ec2:RevokeSecurityGroupEgress", Level.WRITE, _GROUP, keys=_GROUP_KEYS),),
    "RevokeSecurityGroupIngress": (rule("ec2:RevokeSecurityGroupIngress", Level.WRITE, _GROUP, keys=_GROUP_KEYS),),
}

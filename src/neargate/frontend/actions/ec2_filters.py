"""What EC2's operations of tags, network ACLs, prefix lists and rules of groups ask leave for.

Source: Service Authorization Reference, "Amazon EC2".
"""

from .ec2_rows import COMMON, describe, tagging
from .rules import REQUEST_TAGS, Actions, Level, Rule, rule

_KEYS = (*COMMON, "ec2:Vpc")
_ACL, _LIST, _SUBNET, _VPC = "network-acl/{acl}", "prefix-list/{list}", "subnet/{subnet}", "vpc/{vpc}"
_GROUP, _RULE = "security-group/{group}", "security-group-rule/{rule}"
# What CreateTags and DeleteTags are asked for: all kinds that have tags, and anything for ids of no such kind.
_TAGGED = (
    *(_VPC, _SUBNET, _GROUP, _RULE, _ACL, _LIST, "route-table/{table}", "natgateway/{nat}", "elastic-ip/{address}"),
    *("internet-gateway/{igw}", "egress-only-internet-gateway/{eigw}", "dhcp-options/{options}"),
    *("vpc-peering-connection/{peering}", "vpc-endpoint/{endpoint}", "vpc-flow-log/{log}"),
    *("subnet-cidr-reservation/{reservation}", "network-interface/{interface}"),
    *("vpn-gateway/{vgw}", "customer-gateway/{cgw}", "*"),
)


def _of_tags(name: str) -> tuple[Rule, ...]:
    return (rule(f"ec2:{name}", Level.TAGGING, *_TAGGED, keys=(*_KEYS, *REQUEST_TAGS)),)


def _creating(name: str, *forms: str, made: str) -> tuple[Rule, ...]:
    keys = (*_KEYS, *REQUEST_TAGS, "ec2:VpcID")
    return (rule(f"ec2:{name}", Level.WRITE, *forms, made, keys=keys), tagging(made))


def _write(name: str, *forms: str, keys: tuple[str, ...] = ()) -> tuple[Rule, ...]:
    return (rule(f"ec2:{name}", Level.WRITE, *forms, keys=(*_KEYS, *keys)),)


def _of_group(name: str, *more: str) -> tuple[Rule, ...]:
    return _write(name, _GROUP, *more, keys=("ec2:SecurityGroupID",))


ACTIONS: Actions = {
    "CreateManagedPrefixList": _creating("CreateManagedPrefixList", made=_LIST),
    "CreateNetworkAcl": _creating("CreateNetworkAcl", _VPC, made=_ACL),
    "CreateNetworkAclEntry": _write("CreateNetworkAclEntry", _ACL),
    "CreateTags": _of_tags("CreateTags"),
    "DeleteManagedPrefixList": _write("DeleteManagedPrefixList", _LIST),
    "DeleteNetworkAcl": _write("DeleteNetworkAcl", _ACL),
    "DeleteNetworkAclEntry": _write("DeleteNetworkAclEntry", _ACL),
    "DeleteTags": _of_tags("DeleteTags"),
    "DescribeManagedPrefixLists": describe("DescribeManagedPrefixLists"),
    "DescribeNetworkAcls": describe("DescribeNetworkAcls"),
    "DescribeSecurityGroupReferences": describe("DescribeSecurityGroupReferences"),
    "DescribeStaleSecurityGroups": describe("DescribeStaleSecurityGroups"),
    "DescribeTags": describe("DescribeTags"),
    "GetManagedPrefixListAssociations": (rule("ec2:GetManagedPrefixListAssociations", Level.READ, _LIST, keys=_KEYS),),
    "GetManagedPrefixListEntries": (rule("ec2:GetManagedPrefixListEntries", Level.READ, _LIST, keys=_KEYS),),
    "GetSecurityGroupsForVpc": (rule("ec2:GetSecurityGroupsForVpc", Level.LIST, _VPC, keys=(*_KEYS, "ec2:VpcID")),),
    "ModifyManagedPrefixList": _write("ModifyManagedPrefixList", _LIST),
    "ModifySecurityGroupRules": _of_group("ModifySecurityGroupRules", _RULE, _LIST),
    "ReplaceNetworkAclAssociation": _write("ReplaceNetworkAclAssociation", _ACL, _SUBNET),
    "ReplaceNetworkAclEntry": _write("ReplaceNetworkAclEntry", _ACL),
    "RestoreManagedPrefixListVersion": _write("RestoreManagedPrefixListVersion", _LIST),
    "UpdateSecurityGroupRuleDescriptionsEgress": _of_group("UpdateSecurityGroupRuleDescriptionsEgress"),
    "UpdateSecurityGroupRuleDescriptionsIngress": _of_group("UpdateSecurityGroupRuleDescriptionsIngress"),
}

"""ModifySecurityGroupRules, UpdateSecurityGroupRuleDescriptionsIngress and Egress."""

from functools import partial
from typing import Any

from ....model.quotas import RULES_PER_SECURITY_GROUP
from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...network.errors.common import (
    GroupIdMalformed,
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    SecurityGroupRuleIdMalformed,
)
from ...network.filters.rules import describe_by_id, describe_by_meaning, modify_rules
from ...network.records.security_groups import StoredRule
from ...network.tagging import find_tagged
from ...services import Operation, Services
from .asking import group_resource, region_key
from .groups import find_group, find_peer, required_group
from .permissions import description_from, spec_of_rule, specs_from
from .prefix_lists import list_resource
from .request import check_id, resource_arn, stop_if_dry_run

RULES_MAX = 1000


async def modify(call: Call, services: Services, params: Params) -> Answer:
    """Asked for on the group, on each rule, and on what the rules are to refer to."""
    updates: list[dict[str, Any]] = params["SecurityGroupRules"]
    resources = [group_resource(call, services, params)]
    for one in updates:
        resources += _named_by(call, services, one)
    authorize(
        call, "ec2:ModifySecurityGroupRules", list({one.arn: one for one in resources}.values()), region_key(call)
    )
    group_id = find_group(call, services, params["GroupId"], None)
    if not updates:
        raise MissingParameter("SecurityGroupRule")
    if len(updates) > RULES_MAX:
        raise InvalidParameterValue(f"A request may name at most {RULES_MAX} rules")
    wanted = {}
    for one in updates:
        rule_id = one["SecurityGroupRuleId"]
        check_id(rule_id, "sgr", SecurityGroupRuleIdMalformed)
        if rule_id in wanted:
            raise InvalidParameterValue(f"The security group rule ID '{rule_id}' is specified more than once")
        wanted[rule_id] = spec_of_rule(one.get("SecurityGroupRule") or {})
        peer = wanted[rule_id].peer_group
        if peer is not None:
            check_id(peer, "sg", GroupIdMalformed)
    rules_max = services.network.quota(call.account, RULES_PER_SECURITY_GROUP)
    stop_if_dry_run(params)
    decide = partial(modify_rules, group_id=group_id, wanted=wanted, rules_max=rules_max, region=services.region)
    await services.network.change(call.account, decide)
    return {"Return": True}


def _named_by(call: Call, services: Services, update: dict[str, Any]) -> list[Resource]:
    rule_id, rule = str(update["SecurityGroupRuleId"]), update.get("SecurityGroupRule") or {}
    known = find_tagged(services.network.shelf(call.account), rule_id)
    tags = dict(known.tags) if isinstance(known, StoredRule) else {}
    named = [Resource(arn=resource_arn(call, "security-group-rule", rule_id), tags=tags)]
    if rule.get("ReferencedGroupId"):
        named.append(group_resource(call, services, {"GroupId": rule["ReferencedGroupId"]}))
    if rule.get("PrefixListId"):
        named.append(list_resource(call, services, rule["PrefixListId"]))
    return named


async def describe_ingress(call: Call, services: Services, params: Params) -> Answer:
    return await _describe(call, services, params, is_egress=False)


async def describe_egress(call: Call, services: Services, params: Params) -> Answer:
    return await _describe(call, services, params, is_egress=True)


async def _describe(call: Call, services: Services, params: Params, *, is_egress: bool) -> Answer:
    authorize(call, f"ec2:{call.operation}", [group_resource(call, services, params)], region_key(call))
    group = required_group(call, services, params)
    group_id = group.group_id
    by_id: list[dict[str, Any]] = params.get("SecurityGroupRuleDescriptions") or []
    if by_id and params.get("IpPermissions"):
        raise InvalidParameterCombination(
            "The parameter securityGroupRuleDescriptions cannot be used with the parameter ipPermissions"
        )
    if not by_id and not params.get("IpPermissions"):
        raise MissingParameter("ipPermissions or securityGroupRuleDescriptions")
    decide: Any
    if by_id:
        descriptions = {_rule_id(one): description_from(one.get("Description")) for one in by_id}
        decide = partial(describe_by_id, group_id=group_id, descriptions=descriptions, is_egress=is_egress)
    else:
        finder = partial(find_peer, call, services, group)
        specs = specs_from(params, is_egress=is_egress, account=call.account, find_group=finder)
        decide = partial(describe_by_meaning, group_id=group_id, specs=specs)
    stop_if_dry_run(params)
    await services.network.change(call.account, decide)
    return {"Return": True}


def _rule_id(one: dict[str, Any]) -> str:
    rule_id = one.get("SecurityGroupRuleId")
    if not rule_id:
        raise MissingParameter("securityGroupRuleId")
    check_id(rule_id, "sgr", SecurityGroupRuleIdMalformed)
    return str(rule_id)


OPERATIONS: dict[str, Operation] = {
    "ModifySecurityGroupRules": modify,
    "UpdateSecurityGroupRuleDescriptionsEgress": describe_egress,
    "UpdateSecurityGroupRuleDescriptionsIngress": describe_ingress,
}

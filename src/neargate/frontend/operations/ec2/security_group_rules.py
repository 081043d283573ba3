"""Authorize and revoke permissions, DescribeSecurityGroupRules."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...network.errors.common import (
    FilteredIdMalformed,
    InvalidParameterCombination,
    MissingParameter,
    SecurityGroupRuleIdMalformed,
    SecurityGroupRuleNotFound,
)
from ...network.peering.groups import statuses
from ...network.records.security_groups import Revocation, RuleSpec, SecurityGroupView, StoredRule
from ...services import Services
from .asking import authorize_describing, authorize_tagging, group_resource, region_key, tag_keys
from .filters import Field, select
from .groups import find_peer, required_group
from .permissions import revoked_shown, rule_shown, specs_from, specs_shown
from .request import check_id, named, page, resource_arn, stop_if_dry_run, with_token
from .tags import tags_from


async def authorize_security_group_ingress(call: Call, services: Services, params: Params) -> Answer:
    return await _authorize(call, services, params, "ec2:AuthorizeSecurityGroupIngress", is_egress=False)


async def authorize_security_group_egress(call: Call, services: Services, params: Params) -> Answer:
    return await _authorize(call, services, params, "ec2:AuthorizeSecurityGroupEgress", is_egress=True)


async def revoke_security_group_ingress(call: Call, services: Services, params: Params) -> Answer:
    return await _revoke(call, services, params, "ec2:RevokeSecurityGroupIngress", is_egress=False)


async def revoke_security_group_egress(call: Call, services: Services, params: Params) -> Answer:
    return await _revoke(call, services, params, "ec2:RevokeSecurityGroupEgress", is_egress=True)


def _allowed_group(call: Call, services: Services, params: Params, action: str) -> SecurityGroupView:
    """Asks leave for the group as it is named, then finds it: who may not ask learns nothing."""
    resources = [group_resource(call, services, params)]
    new_rule = resource_arn(call, "security-group-rule", "*")
    if tag_keys(params):  # rules have no ARN before they are made, and are asked for by their tags alone
        resources.append(Resource(arn=new_rule, keys=tag_keys(params)))
    authorize(call, action, resources, region_key(call))
    authorize_tagging(call, params, new_rule)
    return required_group(call, services, params)


def _specs(
    call: Call, services: Services, params: Params, group: SecurityGroupView, *, is_egress: bool
) -> list[RuleSpec]:
    finder = partial(find_peer, call, services, group)
    return specs_from(params, is_egress=is_egress, account=call.account, find_group=finder)


async def _authorize(call: Call, services: Services, params: Params, action: str, *, is_egress: bool) -> Answer:
    group = _allowed_group(call, services, params, action)
    specs = _specs(call, services, params, group, is_egress=is_egress)
    tags = tags_from(params, "security-group-rule")
    stop_if_dry_run(params)
    added = await services.network.authorize(call.account, group.group_id, specs, tags)
    status = statuses(services.network.shelf(call.account), call.now)
    return {"Return": True, "SecurityGroupRules": [rule_shown(rule, group, _arn(call, rule), status) for rule in added]}


async def _revoke(call: Call, services: Services, params: Params, action: str, *, is_egress: bool) -> Answer:
    group = _allowed_group(call, services, params, action)
    rule_ids = params.get("SecurityGroupRuleIds") or []
    by_meaning = any(params.get(name) for name in ("IpPermissions", "IpProtocol", "CidrIp", "SourceSecurityGroupName"))
    if rule_ids and by_meaning:
        raise InvalidParameterCombination(
            "The parameter securityGroupRuleIds cannot be used with the parameter ipPermissions"
        )
    if not rule_ids and not by_meaning:
        raise MissingParameter("ipPermissions or securityGroupRuleIds")
    revocation: Revocation
    if rule_ids:
        for rule_id in rule_ids:
            check_id(rule_id, "sgr", SecurityGroupRuleIdMalformed)
        stop_if_dry_run(params)
        revocation = await services.network.revoke_by_id(call.account, group.group_id, rule_ids, is_egress=is_egress)
    else:
        specs = _specs(call, services, params, group, is_egress=is_egress)
        stop_if_dry_run(params)
        revocation = await services.network.revoke(call.account, group.group_id, specs)
    answer = {
        "Return": True,
        "RevokedSecurityGroupRules": [revoked_shown(rule, group.group_id) for rule in revocation.removed],
    }
    if revocation.unknown:
        status = statuses(services.network.shelf(call.account), call.now)
        answer["UnknownIpPermissions"] = specs_shown(revocation.unknown, call.account, status)
    return answer


class _RuleOfGroup(Struct, frozen=True, kw_only=True):
    rule: StoredRule
    group: SecurityGroupView


_FIELDS: dict[str, Field[_RuleOfGroup]] = {
    "group-id": lambda one: (one.group.group_id,),
    "security-group-rule-id": lambda one: (one.rule.rule_id,),
}


def _id(one: _RuleOfGroup) -> str:
    return one.rule.rule_id


def _place(one: _RuleOfGroup) -> str:
    """A group's rules are beside one another, egress first as it is made with the group, and then by their meaning."""
    spec = one.rule.spec
    direction = "egress" if spec.is_egress else "ingress"
    return (
        f"{one.group.group_id} {direction} {spec.protocol} {spec.from_port:06} {spec.to_port:06} {spec.peer} {_id(one)}"
    )


async def describe_security_group_rules(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    everything: Sequence[_RuleOfGroup] = [
        _RuleOfGroup(rule=rule, group=group)
        for group in services.network.security_groups(call.account)
        for rule in group.rules
    ]
    found = named(
        everything,
        params.get("SecurityGroupRuleIds"),
        _id,
        prefix="sgr",
        malformed=SecurityGroupRuleIdMalformed,
        missing=SecurityGroupRuleNotFound,
    )
    _check_group_ids(params.get("Filters") or ())
    found = select(found, params.get("Filters"), _FIELDS, lambda one: one.rule.tags)
    found, token = page(found, params, _place, "SecurityGroupRuleIds")
    status = statuses(services.network.shelf(call.account), call.now)
    shown = [rule_shown(one.rule, one.group, _arn(call, one.rule), status) for one in found]
    return with_token({"SecurityGroupRules": shown}, token)


def _check_group_ids(filters: Sequence[Mapping[str, Any]]) -> None:
    """EC2 looks at the ids in this one filter."""
    for one in filters:
        for given in one.get("Values") or () if one.get("Name") == "group-id" else ():
            if not re.fullmatch(r"sg-[0-9a-f]{8,17}|.*[*?].*", given, re.DOTALL):
                raise FilteredIdMalformed(given)


def _arn(call: Call, rule: StoredRule) -> str:
    return resource_arn(call, "security-group-rule", rule.rule_id)

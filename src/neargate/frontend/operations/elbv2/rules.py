"""CreateRule, DescribeRules, ModifyRule, DeleteRule, SetRulePriorities."""

from typing import Any

from ...authorize import authorize
from ...balancing import arns, lookup, rules
from ...balancing.actions import given_actions
from ...balancing.checks import tags_given
from ...balancing.conditions import given_conditions
from ...balancing.errors import InvalidConfigurationRequest, RuleNotFound, ValidationError
from ...balancing.objects import Listener, Rule
from ...balancing.rules import default_rule_arn, shown_default, shown_rule
from ...call import Answer, Call, Params
from ...regional.shelves import Shelf
from ...services import Services
from .asking import ask_for, ask_to_describe, ask_to_make, limits_of, resource
from .load_balancers import new_number
from .paging import page

_ARNS_MAX = 100


async def create_rule(call: Call, services: Services, params: Params) -> Answer:
    listener, tags = params["ListenerArn"], tags_given(params.get("Tags") or [])
    asked = resource(call, services, listener, arns.LISTENER)
    ask_to_make(call, [asked], arns.rule_arn(listener, "*"), tags)
    wanted, number, now = _wanted(params), new_number(services), round(call.now, 3)
    most = limits_of(call, services)
    made = await services.network.change(
        call.account, lambda shelf: rules.create(shelf, listener, wanted, tags, number, now, most)
    )
    return {"Rules": [shown_rule(made)]}


async def modify_rule(call: Call, services: Services, params: Params) -> Answer:
    arn = ask_for(call, services, params["RuleArn"], arns.RULE)
    wanted = _wanted(params, is_new=False)
    most = limits_of(call, services)
    after = await services.network.change(call.account, lambda shelf: rules.modify(shelf, arn, wanted, most))
    return {"Rules": [shown_rule(after)]}


def _wanted(params: Params, *, is_new: bool = True) -> rules.WantedRule:
    """Raises ValidationError, InvalidConfigurationRequest, and what actions raise."""
    if params.get("Transforms"):
        raise InvalidConfigurationRequest("Neargate's load balancers rewrite neither hosts nor paths: no Transforms")
    conditions, actions = params.get("Conditions"), params.get("Actions")
    return rules.WantedRule(
        priority=params.get("Priority"),
        conditions=given_conditions(conditions or []) if is_new or conditions else None,
        actions=given_actions(actions or []) if is_new or actions else None,
    )


async def delete_rule(call: Call, services: Services, params: Params) -> Answer:
    arn = ask_for(call, services, params["RuleArn"], arns.RULE)
    await services.network.change(call.account, lambda shelf: rules.delete(shelf, arn))
    return {}


async def set_rule_priorities(call: Call, services: Services, params: Params) -> Answer:
    most = max(_ARNS_MAX, limits_of(call, services).rules)
    if len(params["RulePriorities"]) > most:
        raise ValidationError(f"Up to '{most}' rule priorities can be specified at a time")
    given = {one["RuleArn"]: one["Priority"] for one in params["RulePriorities"] if one.keys() >= _PAIR}
    if not given or len(given) != len(params["RulePriorities"]):
        raise ValidationError("Each rule must be specified once, with its ARN and a priority")
    asked = [resource(call, services, arn, arns.RULE) for arn in given]
    authorize(call, f"{arns.SERVICE}:SetRulePriorities", asked)
    after = await services.network.change(call.account, lambda shelf: rules.set_priorities(shelf, given))
    return {"Rules": [shown_rule(one) for one in after]}


_PAIR = {"RuleArn", "Priority"}


async def describe_rules(call: Call, services: Services, params: Params) -> Answer:
    """In order of priority, the default rule last."""
    ask_to_describe(call)
    chosen, more = page(call, params, list(enumerate(_meant(call, services, params))), lambda one: one[0], int)
    return {"Rules": [shown for _, shown in chosen], **more}


def _meant(call: Call, services: Services, params: Params) -> list[dict[str, Any]]:
    """Raises ValidationError, ListenerNotFound, RuleNotFound."""
    shelf = services.network.shelf(call.account)
    listener, asked = params.get("ListenerArn"), params.get("RuleArns") or []
    if bool(listener) == bool(asked):
        raise ValidationError("You must specify either listener rule ARNs or a listener ARN")
    if listener:
        found = lookup.required_listener(shelf, arns.checked(listener, arns.LISTENER))
        return [*map(shown_rule, lookup.rules_of(shelf, found.arn)), shown_default(found)]
    if len(asked) > _ARNS_MAX:
        raise ValidationError(f"At most {_ARNS_MAX} rule ARNs can be specified")
    return [_named(shelf, arn) for arn in dict.fromkeys(asked)]


def _named(shelf: Shelf, arn: str) -> dict[str, Any]:
    rule = shelf.find(Rule, arns.checked(arn, arns.RULE))
    if rule is not None:
        return shown_rule(rule)
    listener = shelf.find(Listener, arns.listener_of(arn))
    if listener is None or arn != default_rule_arn(listener.arn):
        raise RuleNotFound
    return shown_default(listener)

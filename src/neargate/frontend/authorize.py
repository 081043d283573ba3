"""The place where every operation asks leave: the reviewed table says what may be asked, policies decide.

An operation calls `authorize` after it has loaded what the decision needs and before it changes anything, once for each
action; the front end answers for no operation that never asked. Must not know an operation. Invariants: every resource
of a call must be allowed; what the table does not name for the operation is a bug, and is never decided.
"""

import time
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from ..iam.evaluate import decide, passes
from ..iam.policy import Attached, Policy
from ..iam.request import Caller, Keys, Request
from ..iam.words import denial
from ..model.errors import AccessDenied
from .actions.reviewed import REVIEWED
from .actions.rules import Rule
from .call import Call

Values = str | Sequence[str]
Tags = Mapping[str, str]


class Unreviewed(Exception):
    """An operation asked for what its row of the table does not name. A bug: answered as one, decided never."""


class Resource(Struct, frozen=True, kw_only=True):
    """One resource of a call with what only it has.

    `tags`: of the resource as it is. `keys`: condition keys by AWS's names. `shown`: what a refusal names instead of
    the ARN, where the caller named the resource otherwise and must not learn its ARN from being refused.
    """

    arn: str
    tags: Tags = field(default_factory=dict)
    keys: Mapping[str, Values] = field(default_factory=dict)
    shown: str | None = None


def authorize(
    call: Call,
    action: str,
    resources: Sequence[str | Resource],
    context: Mapping[str, Values] | None = None,
    *,
    resource_policy: Policy | None = None,
) -> None:
    """Raises AccessDenied in AWS's words for the first resource that is not allowed.

    `action` is IAM's (`ecs:RunTask`), `resources` are ARNs (or `*`), at least one. `context`: condition keys by AWS's
    names with one value or several; an empty list is an absent key.
    """
    rule = _rule(call, action)
    given = _checked(rule, context or {})
    asked = [one if isinstance(one, Resource) else Resource(arn=one) for one in resources]
    if not asked:
        raise Unreviewed(f"{action} was asked for on no resource")
    principal = call.principal
    # The administrator of the account is limited by resource policies only: without one nothing reads the keys.
    read = principal.grants is not None or resource_policy is not None or call.via is not None
    common = {**global_keys(call), **given, **principal.keys} if read else {}
    call.authorised_actions.append(action)
    call.authorised_resources += [resource.arn for resource in asked]
    for resource in asked:
        keys = _with_resource(rule, common, resource, call.account) if read else common
        _check_form(rule, resource)
        request = Request(action=action, resource=resource.arn, keys=keys)
        decision = decide(request, principal.caller, principal.grants, resource_policy)
        if decision.allowed and call.via is not None:
            decision = passes(request, principal.caller, principal.grants, call.via.policy)
        if not decision.allowed:
            raise AccessDenied(denial(principal.arn, action, resource.shown or resource.arn, decision))


def needs_no_leave(call: Call) -> None:
    """Instead of `authorize`, by the operations that AWS lets every signed caller call."""
    if _rules(call):
        raise Unreviewed(f"{call.service}:{call.operation} needs leave")
    action = f"{call.service}:{call.operation}"
    call.authorised_actions.append(action)
    if call.via is not None:
        check_way(call, action, "*", {**global_keys(call), **call.principal.keys}, call.principal.caller)


def check_way(call: Call, action: str, resource: str, keys: Keys, caller: Caller) -> None:
    """By the policy of the VPC endpoint that the call came through; `authorize` asks it itself. Raises AccessDenied."""
    if call.via is None:
        return
    request = Request(action=action, resource=resource, keys=keys)
    decision = passes(request, caller, call.principal.grants, call.via.policy)
    if not decision.allowed:
        raise AccessDenied(denial(caller.arn, action, resource, decision))


def confirm_asked(call: Call) -> None:
    """Of an operation that is about to answer: that it asked, and for nothing but what its row names.

    Also holds operations to the table that decide by another policy than their caller's, as roles' trust.
    """
    named = {rule.action for rule in _rules(call)} or {f"{call.service}:{call.operation}"}
    if not call.authorised_actions or not named.issuperset(call.authorised_actions):
        asked = ", ".join(call.authorised_actions) or "nothing"
        raise Unreviewed(f"{call.service}:{call.operation} asked for {asked}")


def reads_resource_tags(call: Call) -> bool:
    """Whether a policy that limits the call asks for tags of resources: only then are they worth loading."""
    return any("resourcetag/" in key.lower() for key in _asked_keys(call))


def reads_key(call: Call, name: str) -> bool:
    """Whether a policy that limits the call asks for this condition key: only then is it worth loading it."""
    return any(key.lower() == name for key in _asked_keys(call))


def request_tags(tags: Mapping[str, str]) -> dict[str, Values]:
    """The condition keys of tags that a request brings."""
    return {**{f"aws:RequestTag/{key}": value for key, value in tags.items()}, "aws:TagKeys": list(tags)}


def _asked_keys(call: Call) -> list[str]:
    grants = call.principal.grants
    attached: list[Attached] = [] if grants is None else [*grants.identity, *(grants.session or ())]
    if grants is not None and grants.boundary is not None:
        attached.append(grants.boundary)
    asked = [key for one in attached for key in one.policy.context_keys]
    return asked if call.via is None else [*asked, *call.via.policy.context_keys]


def _rules(call: Call) -> tuple[Rule, ...]:
    rules = REVIEWED.get(call.service, {}).get(call.operation)
    if rules is None:
        raise Unreviewed(f"{call.service}:{call.operation} is in no reviewed table")
    return rules


def _rule(call: Call, action: str) -> Rule:
    for rule in _rules(call):
        if rule.action == action:
            return rule
    raise Unreviewed(f"{call.service}:{call.operation} may not ask for {action}")


def _checked(rule: Rule, given: Mapping[str, Values]) -> dict[str, tuple[str, ...]]:
    """By lower-case name, as policies ask for them.

    AWS matches a tag's key in a policy whatever its case, but not where two tags differ by nothing else: then neither
    is told, so that what must be present or must not differ refuses.
    """
    found: dict[str, tuple[str, ...]] = {}
    ambiguous = []
    for name, value in given.items():
        lower = name.lower()
        if not rule.knows_key(lower):
            raise Unreviewed(f"{rule.action} has no condition key {name}")
        if lower in found:
            ambiguous.append(lower)
        found[lower] = (value,) if isinstance(value, str) else tuple(value)
    for lower in ambiguous:
        found.pop(lower, None)
    return found


def _check_form(rule: Rule, resource: Resource) -> None:
    if not rule.knows_resource(resource.arn):
        raise Unreviewed(f"{rule.action} is not asked for on {resource.arn[:200]!r}")


def global_keys(call: Call) -> Keys:
    """What is known of every request, whoever makes it. By lower-case name."""
    keys = {
        "aws:currenttime": (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(call.now)),),
        "aws:epochtime": (str(int(call.now)),),
        "aws:requestedregion": (call.region,),
        "aws:securetransport": ("true" if call.secure else "false",),
        "aws:viaawsservice": ("false",),
    }
    if call.via is not None:  # AWS tells no aws:SourceIp then: who has which private address depends on the VPC
        keys["aws:sourcevpce"] = (call.via.endpoint_id,)
        keys["aws:sourcevpc"] = (call.via.vpc_id,)
        keys["aws:vpcsourceip"] = (call.source_ip,)
    elif call.source_ip:
        keys["aws:sourceip"] = (call.source_ip,)
    if call.user_agent:
        keys["aws:useragent"] = (call.user_agent,)
    return keys


def _with_resource(rule: Rule, common: Keys, resource: Resource, account: str) -> Keys:
    keys = dict(common)
    parts = resource.arn.split(":", 5)
    keys["aws:resourceaccount"] = (parts[4] if len(parts) == 6 and parts[4] else account,)
    if resource.keys:
        keys.update(_checked(rule, resource.keys))
    if resource.tags:
        families = rule.tag_families
        keys.update(
            _checked(rule, {f"{family}{key}": value for key, value in resource.tags.items() for family in families})
        )
    return keys

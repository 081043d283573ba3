"""The decision on one request, as AWS documents it: a Deny anywhere wins, then something must allow.

In the caller's own account, resource policies and identity policies add up; boundary and session policies only limit,
and a grant to the user or session itself is not limited by what they leave out. In another account both sides must
allow. A trust policy, and a key's, must allow by itself in any account. Nothing here knows an operation or a service.
"""

from collections.abc import Iterator

from .policy import Attached, Grants, Policy, PolicyKind, Statement
from .principals import Reach
from .request import Caller, Decision, Layer, Request

_NOTHING = Grants()


def decide(request: Request, caller: Caller, grants: Grants | None, resource_policy: Policy | None = None) -> Decision:
    """`grants` None: the administrator of the caller's account, whom only resource policies limit.

    `resource_policy` is the policy of the resource itself, or the role's trust policy for sts:AssumeRole*.
    """
    action = request.action.lower()
    own = grants if grants is not None else _NOTHING
    refused = _denied(request, action, caller, own, resource_policy)
    if refused is not None:
        return refused
    reach, statement = Reach.NONE, None
    if resource_policy is not None:
        reach, statement = _granted(request, action, caller, resource_policy)
    trusting = resource_policy is not None and resource_policy.kind in (PolicyKind.TRUST, PolicyKind.KEY)
    is_trust = resource_policy is not None and resource_policy.kind is PolicyKind.TRUST
    layer = Layer.TRUST if is_trust else Layer.RESOURCE
    if caller.service is not None or caller.federated is not None:
        return _by(statement, layer) if reach is Reach.DIRECT else _nothing(layer)
    at_home = _owner(request, caller) == caller.account
    if reach is Reach.NONE and (trusting or not at_home):
        return _nothing(layer)
    if at_home and reach is Reach.DIRECT:
        return _by(statement, layer)
    if grants is None:
        return Decision(allowed=True)
    allowed = _by(statement, layer) if at_home and reach is Reach.ROLE else _allowed(request, action, own.identity)
    if allowed is None:
        return _nothing(Layer.IDENTITY)
    return _limited(request, action, own) or allowed


def passes(request: Request, caller: Caller, grants: Grants | None, policy: Policy) -> Decision:
    """Whether the policy of the VPC endpoint that a request came through lets it pass: one more that only limits."""
    action = request.action.lower()
    for statement in policy.denying(action, request.resource, request.keys):
        if _concerns(statement, caller, grants if grants is not None else _NOTHING):
            return Decision(allowed=False, explicit=True, layer=Layer.ENDPOINT, statement=statement.sid)
    reach, found = _granted(request, action, caller, policy)
    return _nothing(Layer.ENDPOINT) if reach is Reach.NONE else _by(found, Layer.ENDPOINT)


def _denied(
    request: Request, action: str, caller: Caller, grants: Grants, resource_policy: Policy | None
) -> Decision | None:
    if resource_policy is not None:
        for statement in resource_policy.denying(action, request.resource, request.keys):
            if _concerns(statement, caller, grants):
                layer = Layer.TRUST if resource_policy.kind is PolicyKind.TRUST else Layer.RESOURCE
                return Decision(allowed=False, explicit=True, layer=layer, statement=statement.sid)
    for layer, attached in _layers(grants):
        # Most policies deny nothing: the statements are looked at only where there are any.
        for statement in attached.policy.relevant(action).denies:
            if statement.holds(request.resource, request.keys):
                return Decision(
                    allowed=False, explicit=True, layer=layer, policy=attached.name, statement=statement.sid
                )
    return None


def _layers(grants: Grants) -> Iterator[tuple[Layer, Attached]]:
    for attached in grants.identity:
        yield Layer.IDENTITY, attached
    if grants.boundary is not None:
        yield Layer.BOUNDARY, grants.boundary
    for attached in grants.session or ():
        yield Layer.SESSION, attached


def _concerns(statement: Statement, caller: Caller, grants: Grants) -> bool:
    if statement.principals is None:
        return True
    if statement.not_principal:
        return not statement.principals.spares(caller, bounded=grants.boundary is not None)
    return statement.principals.concerns(caller)


def _granted(request: Request, action: str, caller: Caller, policy: Policy) -> tuple[Reach, Statement | None]:
    """How far the resource's policy goes for this caller, and the statement that goes furthest."""
    furthest, found = Reach.NONE, None
    for statement in policy.relevant(action).allows:
        if statement.principals is None:
            continue
        reach = statement.principals.reach(caller)
        if reach > furthest and statement.holds(request.resource, request.keys):
            furthest, found = reach, statement
    return furthest, found


def _allowed(request: Request, action: str, policies: tuple[Attached, ...]) -> Decision | None:
    resource, keys = request.resource, request.keys
    for attached in policies:
        for statement in attached.policy.relevant(action).allows:
            if statement.holds(resource, keys):
                return Decision(allowed=True, policy=attached.name, statement=statement.sid)
    return None


def _limited(request: Request, action: str, grants: Grants) -> Decision | None:
    """The refusal of a boundary or of the session's policies that do not allow, too."""
    if grants.boundary is not None and _allowed(request, action, (grants.boundary,)) is None:
        return _nothing(Layer.BOUNDARY)
    if grants.session is not None and _allowed(request, action, grants.session) is None:
        return _nothing(Layer.SESSION)
    return None


def _owner(request: Request, caller: Caller) -> str:
    """The account of the resource; the caller's for ARNs that name none, or AWS itself: they name nobody else's."""
    if request.resource_account is not None:
        return request.resource_account
    parts = request.resource.split(":", 5)
    named = parts[4] if len(parts) == 6 and parts[0] == "arn" else ""
    return named if len(named) == 12 and named.isascii() and named.isdigit() else caller.account


def _by(statement: Statement | None, layer: Layer) -> Decision:
    return Decision(allowed=True, layer=layer, statement=statement.sid if statement is not None else None)


def _nothing(layer: Layer) -> Decision:
    return Decision(allowed=False, layer=layer)

"""The policy simulator: what the same evaluator that guards every call would say. Changes nothing.

Owns the reading of a simulation's inputs and the shape of its results; who may do what is decided by `iam.evaluate`.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from ....iam.document import MalformedPolicy, PolicyKind, compile_policy
from ....iam.evaluate import decide
from ....iam.policy import Attached, Grants, Policy, Statement
from ....iam.principals import caller_keys
from ....iam.request import Caller, Decision, Request
from ....model.arn import Arn
from ...call import Answer, Call, Params
from ...identity.book import AccountBook
from ...identity.errors import InvalidInput, NoSuchEntity
from ...identity.policies import find_policy
from ...identity.records import Group, Holder, Role, User
from ...services import Services
from .asking import ask, ask_for_account, book_of
from .paging import page_in_order
from .shapes import Shape
from .statement_positions import Span, positions

Spans = Mapping[Statement, Span]

PAIRS_MAX = 10_000  # of action and resource
RESULTS_MAX = 100  # on one page
MATCHED_MAX = 100  # statements of one result
_NOT_SIMULATED = ("OrderedOrganizationPolicyInputList", "PolicyExclusionList", "ResourceHandlingOption")


class Source(Struct, frozen=True, kw_only=True):
    """A policy of a simulation as results name it."""

    name: str
    document: str
    policy: Policy


class Simulation(Struct, frozen=True, kw_only=True):
    """All that results follow from, apart from action and resource."""

    sources: tuple[Source, ...]
    boundary: Source | None
    resource_policy: Policy | None
    caller: Caller
    resource_account: str | None
    keys: dict[str, tuple[str, ...]]


async def simulate_custom_policy(call: Call, services: Services, params: Params) -> Answer:
    ask_for_account(call)
    caller = _caller(call, params.get("CallerArn"))
    return await _answer(call, services, params, _input_sources(params), None, caller)


async def simulate_principal_policy(call: Call, services: Services, params: Params) -> Answer:
    book, arn = book_of(call, services), params["PolicySourceArn"]
    holder = _ask_for_holder(call, book, arn)
    sources = _holder_sources(book, holder)
    given = params.get("CallerArn")
    caller = _caller(call, given) if given is not None or isinstance(holder, Group) else _as_caller(holder)
    return await _answer(call, services, params, (*sources, *_input_sources(params)), _boundary(book, holder), caller)


async def get_context_keys_for_custom_policy(call: Call, services: Services, params: Params) -> Answer:
    del services
    ask_for_account(call)
    return _context_keys(_input_sources(params))


async def get_context_keys_for_principal_policy(call: Call, services: Services, params: Params) -> Answer:
    book = book_of(call, services)
    holder = _ask_for_holder(call, book, params["PolicySourceArn"])
    return _context_keys((*_holder_sources(book, holder), *_input_sources(params)))


def _context_keys(sources: Sequence[Source]) -> Answer:
    return {"ContextKeyNames": sorted({key for source in sources for key in source.policy.context_keys})}


def _ask_for_holder(call: Call, book: AccountBook, arn: str) -> Holder:
    """Raises AccessDenied, InvalidInput, NoSuchEntity."""
    kinds: dict[str, type[User] | type[Group] | type[Role]] = {one.kind: one for one in (User, Group, Role)}
    parsed = Arn.parse(arn)
    kind = None if parsed is None else kinds.get(parsed.resource.partition("/")[0])
    is_holder = parsed is not None and kind is not None and parsed.service == "iam" and parsed.account == call.account
    found = book.find(kind, arn.rpartition("/")[2]) if kind is not None and is_holder else None
    ask(
        call,
        arn if is_holder else f"arn:aws:iam::{call.account}:user/{arn}",
        tags=getattr(found, "tags", ()),
    )
    if not is_holder:
        raise InvalidInput(f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")
    if found is None or found.arn != arn:
        raise NoSuchEntity(f"The entity with ARN {arn} cannot be found.")
    return found


def _input_sources(params: Params) -> tuple[Source, ...]:
    return _sources(params, "PolicyInputList")


def _sources(params: Params, member: str) -> tuple[Source, ...]:
    return tuple(
        Source(name=f"{member}.{number}", document=text, policy=_given(text, PolicyKind.IDENTITY))
        for number, text in enumerate(params.get(member) or (), 1)
    )


def _given(text: str, kind: PolicyKind) -> Policy:
    """A policy of the request. These operations have no MalformedPolicyDocument: it is a wrong input as any other."""
    try:
        return compile_policy(text, kind=kind)
    except MalformedPolicy as error:
        raise InvalidInput(error.message) from None


def _holder_sources(book: AccountBook, holder: Holder) -> tuple[Source, ...]:
    holders = [holder, *(book.groups_of(holder) if isinstance(holder, User) else ())]
    found = []
    for one in holders:
        found += [
            Source(
                name=f"{one.kind}_{one.name}_{name}",
                document=document,
                policy=compile_policy(document, kind=PolicyKind.IDENTITY),
            )
            for name, document in one.inline
        ]
        found += [_managed(book, arn) for arn in one.attached]
    return tuple(found)


def _managed(book: AccountBook, arn: str) -> Source:
    policy = find_policy(book, arn)
    return Source(name=policy.name, document=policy.document, policy=book.managed(arn))


def _boundary(book: AccountBook, holder: Holder) -> Source | None:
    arn = holder.boundary if isinstance(holder, User | Role) else None
    return None if arn is None else _managed(book, arn)


def _as_caller(holder: Holder) -> Caller:
    role_arn = holder.arn if isinstance(holder, Role) else None
    return Caller(account=holder.account, arn=holder.arn, user_id=holder.uid, role_arn=role_arn)


def _caller(call: Call, arn: str | None) -> Caller:
    parsed = None if arn is None else Arn.parse(arn)
    if arn is not None and (parsed is None or not parsed.resource.startswith("user/")):
        raise InvalidInput("CallerArn must be the ARN of an IAM user.")
    account = call.account if parsed is None else parsed.account
    return Caller(account=account, arn=arn or f"arn:aws:iam::{account}:user/simulated", user_id="")


async def _answer(
    call: Call,
    services: Services,
    params: Params,
    sources: tuple[Source, ...],
    boundary: Source | None,
    caller: Caller,
) -> Answer:
    for member in _NOT_SIMULATED:
        if params.get(member):
            raise InvalidInput(f"{member} is not supported.")
    given = _sources(params, "PermissionsBoundaryPolicyInputList")
    resource_policy = params.get("ResourcePolicy")
    if resource_policy is not None and params.get("CallerArn") is None and caller.user_id == "":
        raise InvalidInput("CallerArn is required when a ResourcePolicy is given.")
    simulation = Simulation(
        sources=sources,
        boundary=given[0] if given else boundary,
        resource_policy=None if resource_policy is None else _given(resource_policy, PolicyKind.RESOURCE),
        caller=caller,
        resource_account=_owner(params.get("ResourceOwner")),
        keys=dict(caller_keys(caller)) | _entries(params),
    )
    chosen, more = page_in_order(call, params, _pairs(params), at_most=RESULTS_MAX)
    # Large policies on many resources take a while; other calls go on meanwhile.
    results = await services.world.offload("iam-simulation", _results, simulation, chosen)
    return {"EvaluationResults": results, **more}


def _pairs(params: Params) -> list[tuple[str, str]]:
    actions, resources = params["ActionNames"], params.get("ResourceArns") or ["*"]
    if len(actions) * len(resources) > PAIRS_MAX:
        raise InvalidInput(f"A simulation may have at most {PAIRS_MAX} combinations of action and resource.")
    for action in actions:
        if ":" not in action:
            raise InvalidInput(f"Invalid action: {action}")
    return [(action, resource) for action in actions for resource in resources]


def _entries(params: Params) -> dict[str, tuple[str, ...]]:
    return {
        entry["ContextKeyName"].lower(): tuple(entry.get("ContextKeyValues") or ())
        for entry in params.get("ContextEntries") or ()
        if entry.get("ContextKeyName")
    }


def _owner(given: str | None) -> str | None:
    """An account's root ARN."""
    parsed = None if given is None else Arn.parse(given)
    if given is not None and parsed is None:
        raise InvalidInput(f"Invalid ResourceOwner: {given}")
    return None if parsed is None else parsed.account


def _results(simulation: Simulation, pairs: Sequence[tuple[str, str]]) -> list[Shape]:
    spans = {
        statement: span
        for source in _considered(simulation)
        for statement, span in zip(source.policy.statements, positions(source.document), strict=True)
    }
    return [_result(simulation, spans, action, resource) for action, resource in pairs]


def _considered(simulation: Simulation) -> tuple[Source, ...]:
    return simulation.sources if simulation.boundary is None else (*simulation.sources, simulation.boundary)


def _result(simulation: Simulation, spans: Spans, action: str, resource: str) -> Shape:
    bounding = simulation.boundary
    grants = Grants(
        identity=tuple(Attached(name=one.name, policy=one.policy) for one in simulation.sources),
        boundary=None if bounding is None else Attached(name=bounding.name, policy=bounding.policy),
    )
    request = Request(
        action=action, resource=resource, keys=simulation.keys, resource_account=simulation.resource_account
    )
    decision = decide(request, simulation.caller, grants, simulation.resource_policy)
    result: Shape = {
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": _word(decision),
        "MatchedStatements": _matched(simulation, spans, request, decision),
        "MissingContextValues": _missing(simulation, request),
    }
    if bounding is not None:
        alone = Grants(identity=(Attached(name=bounding.name, policy=bounding.policy),))
        allowed = decide(request, simulation.caller, alone).allowed
        result["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": allowed}
    return result


def _word(decision: Decision) -> str:
    if decision.allowed:
        return "allowed"
    return "explicitDeny" if decision.explicit else "implicitDeny"


def _matched(simulation: Simulation, spans: Spans, request: Request, decision: Decision) -> list[Shape]:
    """The statements that make the result: those that deny, or else those that allow."""
    if not decision.allowed and not decision.explicit:
        return []
    found: list[Shape] = []
    for source in _considered(simulation):
        relevant = source.policy.relevant(request.action.lower())
        for statement in relevant.allows if decision.allowed else relevant.denies:
            if len(found) < MATCHED_MAX and statement.holds(request.resource, request.keys):
                start, end = spans[statement]
                found.append(
                    {
                        "SourcePolicyId": source.name,
                        "SourcePolicyType": "IAM Policy",
                        "StartPosition": start,
                        "EndPosition": end,
                    }
                )
    return found


def _missing(simulation: Simulation, request: Request) -> list[str]:
    """Condition keys that policies with a say in the action ask for and the simulation does not give."""
    action, missing = request.action.lower(), set()
    for source in simulation.sources:
        relevant = source.policy.relevant(action)
        if relevant.allows or relevant.denies:
            missing |= {key for key in source.policy.context_keys if key.lower() not in request.keys}
    return sorted(missing)

"""From a policy document to a compiled policy, or to the sentence with which IAM refuses it.

The checks come in IAM's own order (which error is told first is observable): syntax, version, values, Sids, actions,
resources, what the kind of policy forbids. Documents are hostile: size is bounded before they are parsed, nothing is
walked deeper than the grammar goes, and no member that is not known is passed over.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from msgspec import Struct

from ..model.errors import AwsError
from .conditions import Condition, UnknownOperator, condition, cost, is_operator
from .formats import action_fault, legacy_fault, resource_fault
from .patterns import Test, glob_action, resources
from .policy import Policy, PolicyKind, Statement
from .principals import InvalidPrincipal, Principals, compile_principals
from .variables import names

__all__ = ("MalformedPolicy", "Policy", "PolicyKind", "compile_policy")

_CHARACTERS_MAX = 131_072  # of any policy document parameter of IAM
_OLD, _NEW = "2008-10-17", "2012-10-17"
_SYNTAX = "Syntax errors in policy."
_LEGACY = "The policy failed legacy parsing"
_MEMBERS = {
    "Sid",
    "Effect",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Principal",
    "NotPrincipal",
    "Condition",
}
_TRUST_ACTIONS = {
    f"sts:{name}".lower()
    for name in (
        "AssumeRole",
        "AssumeRoleWithSAML",
        "AssumeRoleWithWebIdentity",
        "TagSession",
        "SetSourceIdentity",
        "SetContext",
    )
}
_OF_PRINCIPALS = (PolicyKind.IDENTITY, PolicyKind.SESSION, PolicyKind.BOUNDARY)


class MalformedPolicy(AwsError):
    """IAM's and STS's error; services with resource policies tell the message under a code of their own."""

    code: ClassVar[str] = "MalformedPolicyDocument"


class _Parts(Struct, frozen=True, kw_only=True):
    """A statement whose members are of the right JSON types. None: not there."""

    sid: str | None
    effect: str
    actions: tuple[str, ...] | None
    not_action: bool
    resources: tuple[str, ...] | None
    not_resource: bool
    principal: Mapping[str, tuple[str, ...]] | None
    not_principal: bool
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...]


def compile_policy(text: str | bytes | Mapping[str, Any], *, kind: PolicyKind) -> Policy:
    """Raises MalformedPolicy with AWS's sentence. The quotas on `Policy.size` are the caller's."""
    document, size = _parsed(text)
    if not document.keys() <= {"Version", "Id", "Statement"} or not isinstance(document.get("Id", ""), str):
        raise MalformedPolicy(_SYNTAX)
    version = document.get("Version", _OLD)
    if version not in (_OLD, _NEW):
        raise MalformedPolicy(_SYNTAX)
    listed = document.get("Statement")
    statements = [listed] if isinstance(listed, dict) else listed
    if not isinstance(statements, list) or not statements:
        raise MalformedPolicy(_SYNTAX)
    parts = [_parts(statement) for statement in statements]
    if version != _NEW and kind in _OF_PRINCIPALS:
        raise MalformedPolicy("Policy document must be version 2012-10-17 or greater.")
    variables = version == _NEW
    conditions = [_conditions(part, variables) for part in parts]
    _check_values(parts, kind)
    for part in parts:
        _check_kind(part, kind)
    return Policy(
        kind=kind,
        version=version,
        statements=tuple(_statement(*pair, variables) for pair in zip(parts, conditions, strict=True)),
        size=size,
        context_keys=_context_keys(parts, variables),
        id=document.get("Id"),
    )


def _parsed(text: str | bytes | Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """The document and its size. Mappings take the same way, so that nothing enters that JSON cannot say."""
    try:
        plain = json.dumps(text) if isinstance(text, Mapping) else text
        if len(plain) > _CHARACTERS_MAX:
            raise MalformedPolicy(_SYNTAX)
        if isinstance(plain, bytes):
            plain = plain.decode()
        document = json.loads(plain, object_pairs_hook=_unique, parse_constant=_refused)
    except (ValueError, TypeError, RecursionError) as refused:
        raise MalformedPolicy(_SYNTAX) from refused
    if not isinstance(document, dict):
        raise MalformedPolicy(_SYNTAX)
    return document, len("".join(plain.split()))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two members of the same name one would be silently lost: which one, parsers disagree on."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice")
    return members


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _parts(statement: Any) -> _Parts:
    if not isinstance(statement, dict) or not statement.keys() <= _MEMBERS:
        raise MalformedPolicy(_SYNTAX)
    for name in ("Action", "Resource", "Principal"):
        if name in statement and f"Not{name}" in statement:
            raise MalformedPolicy(_SYNTAX)
    effect, sid = statement.get("Effect"), statement.get("Sid")
    if not isinstance(effect, str) or effect.lower() not in ("allow", "deny"):
        raise MalformedPolicy(_SYNTAX)
    if "Sid" in statement and not isinstance(sid, str):
        raise MalformedPolicy(_SYNTAX)
    return _Parts(
        sid=sid or None,
        effect=effect,
        actions=_texts(statement.get("Action", statement.get("NotAction"))),
        not_action="NotAction" in statement,
        resources=_texts(statement.get("Resource", statement.get("NotResource"))),
        not_resource="NotResource" in statement,
        principal=_principal(statement.get("Principal", statement.get("NotPrincipal"))),
        not_principal="NotPrincipal" in statement,
        conditions=_raw_conditions(statement.get("Condition", {})),
    )


def _texts(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise MalformedPolicy(_SYNTAX)
    return tuple(values)


def _principal(value: Any) -> Mapping[str, tuple[str, ...]] | None:
    if value is None:
        return None
    if isinstance(value, str):
        if value != "*":
            raise MalformedPolicy(_SYNTAX)
        return {"AWS": ("*",)}
    if not isinstance(value, dict) or not value:
        raise MalformedPolicy(_SYNTAX)
    return {kind: _texts(names) or () for kind, names in value.items()}


def _raw_conditions(value: Any) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """(operator, key, values). An operator without keys says nothing, whatever its name."""
    if not isinstance(value, dict) or not all(isinstance(keys, dict) for keys in value.values()):
        raise MalformedPolicy(_SYNTAX)
    found = []
    for operator, keys in value.items():
        if keys and not is_operator(operator):
            raise MalformedPolicy(_SYNTAX)
        found += [(operator, key, _condition_values(values)) for key, values in keys.items()]
    return tuple(found)


def _condition_values(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    texts = []
    for one in values:
        if isinstance(one, bool):
            texts.append("true" if one else "false")
        elif isinstance(one, str | int | float):
            texts.append(str(one))
        else:
            raise MalformedPolicy(_SYNTAX)
    return tuple(texts)


def _conditions(part: _Parts, variables: bool) -> tuple[Condition, ...]:
    if part.effect not in ("Allow", "Deny"):
        raise MalformedPolicy(_LEGACY)
    try:
        ordered = sorted(part.conditions, key=lambda one: cost(one[0], one[2]))
        return tuple(condition(operator, key, values, variables=variables) for operator, key, values in ordered)
    except UnknownOperator as refused:
        raise MalformedPolicy(_SYNTAX) from refused
    except ValueError as refused:
        raise MalformedPolicy(_LEGACY) from refused


def _check_values(parts: Sequence[_Parts], kind: PolicyKind) -> None:
    named = [resource for part in parts for resource in part.resources or ()]
    faults = [fault for fault in map(resource_fault, named) if fault is not None]
    # What is no ARN at all is told before what only the older parser refuses, and after Sids and missing actions.
    if not faults and any(map(legacy_fault, named)):
        raise MalformedPolicy(_LEGACY)
    sids = [part.sid for part in parts if part.sid is not None]
    if kind not in (PolicyKind.RESOURCE, PolicyKind.KEY) and not all(sid.isascii() and sid.isalnum() for sid in sids):
        raise MalformedPolicy(
            "Statement IDs (SID) must be alpha-numeric."
            " Check that your input satisfies the regular expression [0-9A-Za-z]*"
        )
    if len(set(sids)) != len(sids):
        raise MalformedPolicy("Statement IDs (SID) in a single policy must be unique.")
    if not all(part.actions for part in parts):
        raise MalformedPolicy("Policy statement must contain actions.")
    faults += [fault for part in parts for fault in map(action_fault, part.actions or ()) if fault is not None]
    if faults:
        raise MalformedPolicy(faults[0])


def _check_kind(part: _Parts, kind: PolicyKind) -> None:
    if kind in _OF_PRINCIPALS:
        if part.principal is not None:
            raise MalformedPolicy("Policy document should not specify a principal.")
        if not part.resources:
            raise MalformedPolicy("Policy statement must contain resources.")
        return
    if part.principal is None or (part.not_principal and kind is PolicyKind.TRUST):
        raise MalformedPolicy(
            "Has prohibited field NotPrincipal" if part.not_principal else "Missing required field Principal"
        )
    if part.not_principal and part.effect == "Allow":
        raise MalformedPolicy("Allow with NotPrincipal is not allowed.")
    if kind is not PolicyKind.TRUST:
        if part.resources == ():
            raise MalformedPolicy("Policy statement must contain resources.")
        return
    if part.not_action or not all(action.lower() in _TRUST_ACTIONS for action in part.actions or ()):
        # Two spaces: AWS's.
        raise MalformedPolicy(
            "Trust Policy statement actions can only be sts:AssumeRole,"
            " sts:AssumeRoleWithSAML,  and sts:AssumeRoleWithWebIdentity"
        )
    if part.resources is not None:
        raise MalformedPolicy("Has prohibited field Resource")


def _context_keys(parts: Sequence[_Parts], variables: bool) -> tuple[str, ...]:
    """What a request has to tell for the policy to be decided; of two spellings of a key, one."""
    found: dict[str, str] = {}
    for part in parts:
        texts = list(part.resources or ())
        for _, key, values in part.conditions:
            found.setdefault(key.lower(), key)
            texts += values
        for text in texts if variables else ():
            for name in names(text):
                found.setdefault(name.lower(), name)
    return tuple(sorted(found.values()))


def _statement(part: _Parts, conditions: tuple[Condition, ...], variables: bool) -> Statement:
    try:
        return Statement(
            allow=part.effect == "Allow",
            action=glob_action(part.actions or (), negated=part.not_action),
            resource=_resource(part, variables),
            sid=part.sid,
            principals=_principals(part),
            not_principal=part.not_principal,
            conditions=conditions,
        )
    except InvalidPrincipal as refused:
        raise MalformedPolicy(str(refused)) from refused
    except ValueError as refused:
        raise MalformedPolicy(_LEGACY) from refused


def _resource(part: _Parts, variables: bool) -> Test | None:
    if part.resources is None or ("*" in part.resources and not part.not_resource):
        return None
    return resources(part.resources, negated=part.not_resource, allow=part.effect == "Allow", variables=variables)


def _principals(part: _Parts) -> Principals | None:
    return None if part.principal is None else compile_principals(part.principal)

"""What users, groups and roles have in common: inline policies, attached managed policies, boundaries. Pure decisions.

Each takes the kind of the holder; names of quotas and sentences follow from it.
"""

import re
from typing import TypeVar

from msgspec.structs import replace

from ...iam.managed import MANAGED_POLICIES
from .book import AccountBook
from .errors import InvalidInput, NoSuchEntity, PolicyNotAttachable
from .records import Group, Role, User
from .registry import Change
from .rules import (
    changeable,
    check_boundary,
    check_count,
    check_document,
    check_inline_size,
    is_attachable,
    required,
)

H = TypeVar("H", User, Group, Role)
B = TypeVar("B", User, Role)
_POLICY_ARN = re.compile(r"arn:aws:iam::(?:aws|[0-9]{12}):policy/[!-~]+", re.ASCII)


def _changeable(book: AccountBook, kind: type[H], name: str) -> H:
    holder: H = required(book, kind, name)
    if isinstance(holder, Role):
        changeable(holder)
    return holder


def put_inline(book: AccountBook, kind: type[H], name: str, policy: str, document: str) -> Change[None]:
    """Raises NoSuchEntity, MalformedPolicy, LimitExceeded, UnmodifiableEntity."""
    holder: H = _changeable(book, kind, name)
    check_document(document)
    inline = dict(holder.inline) | {policy: document}
    check_inline_size(book, holder, inline.values())
    return Change(result=None, put=(replace(holder, inline=tuple(sorted(inline.items()))),))


def delete_inline(book: AccountBook, kind: type[H], name: str, policy: str) -> Change[None]:
    holder: H = _changeable(book, kind, name)
    inline_document(holder, policy)
    kept = tuple(pair for pair in holder.inline if pair[0] != policy)
    return Change(result=None, put=(replace(holder, inline=kept),))


def inline_document(holder: User | Group | Role, policy: str) -> str:
    found = dict(holder.inline).get(policy)
    if found is None:
        raise NoSuchEntity(f"The {holder.kind} policy with name {policy} cannot be found.")
    return found


def attach(book: AccountBook, kind: type[H], name: str, arn: str) -> Change[None]:
    """Repeating it changes nothing.

    Raises InvalidInput, NoSuchEntity, LimitExceeded, PolicyNotAttachable, UnmodifiableEntity.
    """
    holder: H = _changeable(book, kind, name)
    if arn in MANAGED_POLICIES and not MANAGED_POLICIES[arn].attachable:
        raise PolicyNotAttachable("Cannot attach a Service Role Policy to a Customer Role.")
    if not is_attachable(book, arn):
        if _POLICY_ARN.fullmatch(arn) is None:
            raise InvalidInput(f"ARN {arn} is not valid.")
        raise NoSuchEntity(f"Policy {arn} does not exist or is not attachable.")
    if arn in holder.attached:
        return Change(result=None)
    check_count(book, f"PoliciesPer{kind.kind.capitalize()}", len(holder.attached))
    return Change(result=None, put=(replace(holder, attached=(*holder.attached, arn)),))


def detach(book: AccountBook, kind: type[H], name: str, arn: str) -> Change[None]:
    holder: H = _changeable(book, kind, name)
    if arn not in holder.attached:
        raise NoSuchEntity(f"Policy {arn} was not found.")
    kept = tuple(one for one in holder.attached if one != arn)
    return Change(result=None, put=(replace(holder, attached=kept),))


def set_boundary(book: AccountBook, kind: type[B], name: str, arn: str | None) -> Change[None]:
    """None takes it away. Raises NoSuchEntity, UnmodifiableEntity."""
    holder = required(book, kind, name)
    if isinstance(holder, Role):
        changeable(holder)
    if arn is None and holder.boundary is None:
        raise NoSuchEntity(f"{kind.kind.capitalize()} {name} does not have a permissions boundary.")
    return Change(result=None, put=(replace(holder, boundary=check_boundary(book, arn)),))

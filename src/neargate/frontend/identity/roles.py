"""Roles: decisions. Pure. Trust policies come in pinned (`pinning.py`): principals of this region by unique id."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ...iam.document import PolicyKind, compile_policy
from ...model.ids import Bits
from . import unique_ids
from .book import AccountBook
from .errors import DeleteConflict, InvalidInput, LimitExceeded
from .records import InstanceProfile, Role
from .registry import Change
from .rules import changeable, check_boundary, check_new, check_path, exceeds, required, tags_of
from .service_linked import ECS, ECS_DESCRIPTION, LINKED_SERVICES, linked_role


def create_role(
    book: AccountBook,
    name: str,
    *,
    path: str,
    trust: str,
    description: str | None,
    max_session_s: int | None,
    boundary: str | None,
    tags: Sequence[Mapping[str, str]] | None,
    now: int,
    bits: Bits,
) -> Change[Role]:
    """Raises EntityAlreadyExists, LimitExceeded, MalformedPolicy, NoSuchEntity, InvalidInput."""
    check_new(book, Role, name)
    role = Role(
        account=book.account.number,
        name=name,
        uid=unique_ids.unique_id(unique_ids.ROLE, bits),
        created=now,
        path=check_path(path),
        trust=trust,
        description=description,
        max_session_s=3600 if max_session_s is None else max_session_s,
        boundary=check_boundary(book, boundary),
        tags=tags_of(Role, tags),
    )
    return Change(result=role, put=(role,))


def update_role(book: AccountBook, name: str, *, description: str | None, max_session_s: int | None) -> Change[Role]:
    """What is None stays. Of a service-linked role the description alone is its account's to change."""
    role = required(book, Role, name)
    if max_session_s is not None:
        changeable(role)
    changed = replace(
        role,
        description=role.description if description is None else description,
        max_session_s=role.max_session_s if max_session_s is None else max_session_s,
    )
    return Change(result=changed, put=(changed,))


def set_trust(book: AccountBook, name: str, trust: str) -> Change[None]:
    role = changeable(required(book, Role, name))
    return Change(result=None, put=(replace(role, trust=trust),))


def delete_role(book: AccountBook, name: str) -> Change[None]:
    """Raises NoSuchEntity, DeleteConflict, UnmodifiableEntity."""
    role = changeable(required(book, Role, name))
    if any(role.uid in profile.roles for profile in book.all(InstanceProfile)):
        raise DeleteConflict("Cannot delete entity, must remove roles from instance profile first.")
    if role.attached:
        raise DeleteConflict("Cannot delete entity, must detach all policies first.")
    if role.inline:
        raise DeleteConflict("Cannot delete entity, must delete policies first.")
    return Change(result=None, drop=(role,))


def create_linked_role(
    book: AccountBook, service: str, *, suffix: str | None, description: str | None, now: int, bits: Bits
) -> Change[Role]:
    """The role of an AWS service. Raises InvalidInput, also when it is there, as IAM does."""
    if service not in LINKED_SERVICES:
        raise InvalidInput(f"Service {service} is not supported for service-linked roles.")
    if suffix is not None:
        raise InvalidInput(f"Custom suffix is not allowed for {service}")
    role = linked_role(book.account.number, service, now, bits, description)
    if book.holds(Role, role.name):
        raise InvalidInput(
            f"Service role name {role.name} has been taken in this account, please try a different suffix."
        )
    return Change(result=role, put=(role,))


def ensure_ecs_role(book: AccountBook, *, now: int, bits: Bits) -> Change[None]:
    """The role that ECS makes for itself with an account's first cluster, unless it is there."""
    role = linked_role(book.account.number, ECS, now, bits, ECS_DESCRIPTION)
    return Change(result=None, put=() if book.holds(Role, role.name) else (role,))


def check_trust(book: AccountBook, trust: str) -> None:
    """Of a document as the caller wrote it, before it is pinned. Raises MalformedPolicy, LimitExceeded."""
    limit = book.limit("ACLSizePerRole")
    compile_policy(trust, kind=PolicyKind.TRUST)
    if exceeds([trust], limit):
        raise LimitExceeded.of("ACLSizePerRole", limit)

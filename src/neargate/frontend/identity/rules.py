"""The checks that all kinds of entities share, with IAM's sentences. Pure.

Quotas are those of the account's book (`AccountBook.limit`). What a shape's own constraints refuse never comes here.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from ...iam.document import PolicyKind, compile_policy
from ...iam.managed import MANAGED_POLICIES
from .book import AccountBook
from .errors import (
    EntityAlreadyExists,
    InvalidInput,
    InvalidRequest,
    LimitExceeded,
    NoSuchEntity,
    UnmodifiableEntity,
)
from .records import Group, Holder, InstanceProfile, ManagedPolicy, Pathed, Record, Role, Tags, User

H = TypeVar("H", User, Group, Role, InstanceProfile)

COUNTED: Mapping[type[Record], str] = {
    User: "UsersPerAccount",
    Group: "GroupsPerAccount",
    Role: "RolesPerAccount",
    ManagedPolicy: "PoliciesPerAccount",
    InstanceProfile: "InstanceProfilesPerAccount",
}
INLINE_SIZE: Mapping[type[Record], str] = {
    User: "PolicySizePerUser",
    Group: "PolicySizePerGroup",
    Role: "PolicySizePerRole",
}
TAGS_MAX = 50
# Kinds whose tags never differ by case alone: policies compare them as attributes of who calls. Others' may, as on AWS.
_CASE_FOLDED = frozenset({User, Role})
# White space does not count in quotas, but it is stored: this many times what counts is room for any indentation.
STORED_FACTOR = 8
# The administrator that each account has from the start is named so in its ARN; no user may take its place.
ADMINISTRATOR = "administrator"


def required(book: AccountBook, kind: type[H], name: str) -> H:
    found = book.find(kind, name)
    if found is None:
        if kind is InstanceProfile:
            raise NoSuchEntity(f"Instance Profile {name} cannot be found.")
        raise NoSuchEntity(f"The {kind.kind} with name {name} cannot be found.")
    return found


def changeable(role: Role) -> Role:
    """Raises UnmodifiableEntity for a role that belongs to a service."""
    if role.is_service_linked:
        raise UnmodifiableEntity(
            f"Cannot perform the operation on the protected role '{role.name}' - this role is only modifiable by AWS"
        )
    return role


def check_new(book: AccountBook, kind: type[Pathed], name: str) -> None:
    if book.holds(kind, name) or (kind is User and name.lower() == ADMINISTRATOR):
        if kind is ManagedPolicy:
            raise EntityAlreadyExists(f"A policy called {name} already exists. Duplicate names are not allowed.")
        word = "Instance Profile" if kind is InstanceProfile else f"{kind.kind.capitalize()} with name"
        raise EntityAlreadyExists(f"{word} {name} already exists.")
    check_count(book, COUNTED[kind], book.count(kind))


def check_count(book: AccountBook, quota: str, there: int) -> None:
    """Before one more is added to those that are there. Raises LimitExceeded."""
    limit = book.limit(quota)
    if there >= limit:
        raise LimitExceeded.of(quota, limit)


def check_path(path: str) -> str:
    """Paths of service-linked roles are the services' own."""
    if path.startswith("/aws-service-role/") or "//" in path:
        raise InvalidRequest(
            "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric"
            " characters and/or / characters."
        )
    return path


def check_boundary(book: AccountBook, arn: str | None) -> str | None:
    if arn is not None and not is_attachable(book, arn):
        raise NoSuchEntity(f"Scope ARN: {arn} does not exist or is not attachable.")
    return arn


def is_attachable(book: AccountBook, arn: str) -> bool:
    known = MANAGED_POLICIES.get(arn)
    return known.attachable if known is not None else book.policy(arn) is not None


def check_document(document: str) -> None:
    """Of an identity policy. Raises MalformedPolicy."""
    compile_policy(document, kind=PolicyKind.IDENTITY)


def exceeds(documents: Sequence[str], limit: int) -> bool:
    """Whether documents are larger in all than a quota of characters allows."""
    counted = sum(len("".join(document.split())) for document in documents)
    return counted > limit or sum(map(len, documents)) > STORED_FACTOR * limit


def check_inline_size(book: AccountBook, holder: Holder, documents: Iterable[str]) -> None:
    limit = book.limit(INLINE_SIZE[type(holder)])
    if exceeds(list(documents), limit):
        raise LimitExceeded(f"Maximum policy size of {limit} bytes exceeded for {holder.kind} {holder.name}")


def tags_of(kind: type[Record], given: Sequence[Mapping[str, str]] | None) -> Tags:
    """From a request's list. No key stands twice."""
    tags = tuple((tag["Key"], tag["Value"]) for tag in given or ())
    if len({_same(kind, key) for key, _ in tags}) != len(tags):
        note = " Please note that Tag keys are case insensitive." if kind in _CASE_FOLDED else ""
        raise InvalidInput(f"Duplicate tag keys found.{note}")
    _refuse_reserved(key for key, _ in tags)
    return tags


def with_tags(kind: type[Record], old: Tags, given: Sequence[Mapping[str, str]]) -> Tags:
    """A user's or role's key that is there in another case keeps its place and takes the new case."""
    merged = {_same(kind, key): (key, value) for key, value in old}
    for key, value in tags_of(kind, given):
        merged[_same(kind, key)] = (key, value)
    if len(merged) > TAGS_MAX:
        raise LimitExceeded(f"The number of tags has reached the maximum limit: {TAGS_MAX}")
    return tuple(merged.values())


def without_tags(kind: type[Record], old: Tags, keys: Sequence[str]) -> Tags:
    gone = {_same(kind, key) for key in keys}
    return tuple((key, value) for key, value in old if _same(kind, key) not in gone)


def _same(kind: type[Record], key: str) -> str:
    """What two keys have in common that name one tag."""
    return key.lower() if kind in _CASE_FOLDED else key


def _refuse_reserved(keys: Iterable[str]) -> None:
    if any(key.lower().startswith("aws:") for key in keys):
        raise InvalidInput("Tag keys that start with aws: are reserved for internal use by AWS.")

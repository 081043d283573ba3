"""What each change makes of an account's parameters: decisions. Pure.

A value is checked here and sealed by its caller, who then hands it in; a decision never holds one.
"""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ...model.concealed import Concealed
from . import rules
from .book import ParameterBook
from .errors import (
    InvalidRequest,
    InvalidResourceId,
    ParameterAlreadyExists,
    ParameterMaxVersionLimitExceeded,
    ParameterNotFound,
    ParameterVersionLabelLimitExceeded,
    ParameterVersionNotFound,
)
from .names import check_new
from .records import SECURE_STRING, STANDARD, Parameter, StoredVersion, Tags, Version
from .registry import Change

DEFAULT_KEY = "alias/aws/ssm"
_LABEL = re.compile(r"(?!aws|ssm)[a-z_.\-][a-z0-9_.\-]*", re.IGNORECASE)


class Wanted(Concealed, frozen=True, kw_only=True):
    """A PutParameter request; None where it says nothing."""

    name: str
    value: str
    overwrite: bool
    user: str  # ARN of who asks
    type: str | None = None
    tier: str | None = None
    data_type: str | None = None
    key_id: str | None = None
    description: str | None = None
    allowed_pattern: str | None = None
    tags: Tags = ()


class Labelled(Struct, frozen=True, kw_only=True):
    number: int
    done: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()


def next_version(book: ParameterBook, wanted: Wanted, now: float) -> Version:
    """The version that a request makes. What it leaves out stays as it was.

    Raises InvalidRequest, AccessDenied, ParameterAlreadyExists, ParameterLimitExceeded and what the rules raise.
    """
    check_new(wanted.name)
    rules.check_value(wanted.value)
    found = book.find(wanted.name)
    old = None if found is None else found.current
    if found is not None and not wanted.overwrite:
        raise ParameterAlreadyExists(
            "The parameter already exists. To overwrite this value, set the overwrite option in the request to true."
        )
    kind = wanted.type or (old.type if old else None)
    if kind is None:
        raise InvalidRequest("A parameter type is required when you create a parameter.")
    if wanted.key_id is not None and kind != SECURE_STRING:
        raise InvalidRequest("KeyId is required for SecureString type parameter only.")
    tier = rules.tier_of(
        wanted.tier,
        old.tier if old else None,
        len(wanted.value),
        standard_is_full=old is None and book.count(STANDARD) >= rules.COUNT_MAX[STANDARD],
    )
    if old is None or old.tier != tier:
        rules.check_room(tier, book.count(tier))
    data_type = wanted.data_type or (old.data_type if old else rules.TEXT)
    rules.check_data_type(data_type)
    pattern = wanted.allowed_pattern if wanted.allowed_pattern is not None or old is None else old.allowed_pattern
    rules.check_pattern(pattern, wanted.value)
    return Version(
        number=1 if old is None else old.number + 1,
        type=kind,
        tier=tier,
        data_type=data_type,
        modified=round(now, 3),
        user=wanted.user,
        key_id=(wanted.key_id or (old.key_id if old else None) or DEFAULT_KEY) if kind == SECURE_STRING else None,
        description=wanted.description if wanted.description is not None or old is None else old.description,
        allowed_pattern=pattern or None,
    )


def put(book: ParameterBook, wanted: Wanted, version: Version, sealed: bytes) -> Change[Version]:
    """`version`: of `next_version` on this book. Raises ParameterMaxVersionLimitExceeded."""
    stored = StoredVersion(version=version, sealed=sealed)
    found = book.find(wanted.name)
    if found is None:
        new = Parameter(account=book.account, name=wanted.name, current=version, tags=wanted.tags)
        return Change(result=version, put=new, version=stored)
    oldest = max(found.oldest, version.number - rules.VERSIONS_MAX + 1)
    if oldest > found.oldest and found.labels_of(found.oldest):
        raise ParameterMaxVersionLimitExceeded(
            f"You attempted to create a new version of {found.name} by calling the PutParameter API with the overwrite "
            f"flag. Version {found.oldest}, the oldest version, can't be deleted because it has a label associated "
            "with it. Move the label to another version of the parameter, and try again."
        )
    return Change(result=version, put=replace(found, current=version, oldest=oldest), version=stored)


def delete(book: ParameterBook, names: Sequence[str]) -> Change[list[str]]:
    """The names, as given, of those that were there."""
    found = {name: one for name in names if (one := book.find(name)) is not None}
    dropped = {one.key: one for one in found.values()}
    return Change(result=list(found), drop=tuple(dropped.values()))


def label(book: ParameterBook, name: str, number: int | None, labels: Sequence[str]) -> Change[Labelled]:
    """A label that another version has moves. Raises ParameterNotFound and others."""
    found, number = _version(book, name, number)
    good = [one for one in dict.fromkeys(labels) if _LABEL.fullmatch(one) is not None]
    bad = tuple(one for one in dict.fromkeys(labels) if one not in good)
    kept = tuple((one, version) for one, version in found.labels if one not in good or version == number)
    there = {one for one, version in kept if version == number}
    added = tuple((one, number) for one in good if one not in there)
    if len(there) + len(added) > rules.LABELS_MAX:
        raise ParameterVersionLabelLimitExceeded(
            "A parameter version can have maximum 10 labels. Move one or more labels to another version and try again."
        )
    changed = replace(found, labels=(*kept, *added))
    result = Labelled(number=number, done=tuple(good), invalid=bad)
    return Change(result=result, put=changed if changed != found else None)


def unlabel(book: ParameterBook, name: str, number: int, labels: Sequence[str]) -> Change[Labelled]:
    found, number = _version(book, name, number)
    there = set(found.labels_of(number))
    asked = dict.fromkeys(labels)
    done = tuple(one for one in asked if one in there)
    kept = tuple((one, version) for one, version in found.labels if version != number or one not in done)
    result = Labelled(number=number, done=done, invalid=tuple(one for one in asked if one not in there))
    return Change(result=result, put=replace(found, labels=kept) if done else None)


def tag(book: ParameterBook, name: str, given: Sequence[Mapping[str, str]]) -> Change[None]:
    """Raises InvalidResourceId, InvalidRequest, TooManyTags."""
    found = tagged(book, name)
    return _retagged(found, rules.with_tags(found.tags, given))


def untag(book: ParameterBook, name: str, keys: Sequence[str]) -> Change[None]:
    found = tagged(book, name)
    return _retagged(found, rules.without_tags(found.tags, keys))


def tagged(book: ParameterBook, name: str) -> Parameter:
    found = book.find(name)
    if found is None:
        raise InvalidResourceId
    return found


def _retagged(found: Parameter, tags: Tags) -> Change[None]:
    return Change(result=None, put=replace(found, tags=tags) if tags != found.tags else None)


def _version(book: ParameterBook, name: str, number: int | None) -> tuple[Parameter, int]:
    """None: the current one."""
    found = book.find(name)
    if found is None:
        raise ParameterNotFound.of(name)
    if number is None:
        number = found.current.number
    if not found.oldest <= number <= found.current.number:
        raise ParameterVersionNotFound.of(name, number)
    return found, number

"""Tags of whatever has them: decisions. Pure."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from .book import AccountBook
from .records import InstanceProfile, ManagedPolicy, OidcProvider, Role, User
from .registry import Change
from .rules import with_tags, without_tags

Tagged = User | Role | ManagedPolicy | OidcProvider | InstanceProfile
Given = Sequence[Mapping[str, str]]


def tag(found: Tagged, given: Given) -> Change[None]:
    """`found` is of the book that the decision is made on; a service-linked role's tags are its account's.

    Raises InvalidInput, LimitExceeded.
    """
    return _set(found, with_tags(type(found), found.tags, given))


def untag(found: Tagged, keys: Sequence[str]) -> Change[None]:
    return _set(found, without_tags(type(found), found.tags, keys))


def _set(found: Tagged, tags: tuple[tuple[str, str], ...]) -> Change[None]:
    return Change(result=None) if tags == found.tags else Change(result=None, put=(replace(found, tags=tags),))


def set_alias(book: AccountBook, alias: str | None) -> Change[None]:
    """The account's alias; None takes it away."""
    return Change(result=None, alias=(alias,) if alias != book.account.alias else None)

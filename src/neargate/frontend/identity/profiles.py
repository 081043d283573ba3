"""Instance profiles: decisions. Pure. Kept as data, for tools that make them beside a role; no instance has one."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ...model.ids import Bits
from . import unique_ids
from .book import AccountBook
from .errors import DeleteConflict, LimitExceeded, NoSuchEntity
from .records import InstanceProfile, Role
from .registry import Change
from .rules import changeable, check_new, check_path, required, tags_of

_ROLES_MAX = 1


def create_profile(
    book: AccountBook, name: str, *, path: str, tags: Sequence[Mapping[str, str]] | None, now: int, bits: Bits
) -> Change[InstanceProfile]:
    check_new(book, InstanceProfile, name)
    profile = InstanceProfile(
        account=book.account.number,
        name=name,
        uid=unique_ids.unique_id(unique_ids.PROFILE, bits),
        created=now,
        path=check_path(path),
        tags=tags_of(InstanceProfile, tags),
    )
    return Change(result=profile, put=(profile,))


def delete_profile(book: AccountBook, name: str) -> Change[None]:
    profile = required(book, InstanceProfile, name)
    if profile.roles:
        raise DeleteConflict("Cannot delete entity, must remove roles from instance profile first.")
    return Change(result=None, drop=(profile,))


def add_role(book: AccountBook, name: str, role_name: str) -> Change[None]:
    profile, role = required(book, InstanceProfile, name), changeable(required(book, Role, role_name))
    if len(profile.roles) >= _ROLES_MAX:
        raise LimitExceeded.of("InstanceSessionsPerInstanceProfile", _ROLES_MAX)
    return Change(result=None, put=(replace(profile, roles=(role.uid,)),))


def remove_role(book: AccountBook, name: str, role_name: str) -> Change[None]:
    profile, role = required(book, InstanceProfile, name), required(book, Role, role_name)
    if role.uid not in profile.roles:
        raise NoSuchEntity(f"The role with name {role_name} cannot be found.")
    return Change(result=None, put=(replace(profile, roles=()),))

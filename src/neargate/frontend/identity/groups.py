"""Groups and who is in them: decisions. Pure."""

from msgspec.structs import replace

from ...model.ids import Bits
from . import unique_ids
from .book import AccountBook
from .errors import DeleteConflict, NoSuchEntity
from .records import Group, User
from .registry import Change
from .rules import check_count, check_new, check_path, required


def create_group(book: AccountBook, name: str, *, path: str, now: int, bits: Bits) -> Change[Group]:
    check_new(book, Group, name)
    group = Group(
        account=book.account.number,
        name=name,
        uid=unique_ids.unique_id(unique_ids.GROUP, bits),
        created=now,
        path=check_path(path),
    )
    return Change(result=group, put=(group,))


def update_group(book: AccountBook, name: str, *, new_name: str | None, new_path: str | None) -> Change[None]:
    group = required(book, Group, name)
    if new_name is not None and new_name.lower() != name.lower():
        check_new(book, Group, new_name)
    path = group.path if new_path is None else check_path(new_path)
    return Change(result=None, put=(replace(group, name=new_name or group.name, path=path),))


def delete_group(book: AccountBook, name: str) -> Change[None]:
    """Raises NoSuchEntity, DeleteConflict."""
    group = required(book, Group, name)
    if book.members(group):
        raise DeleteConflict("Cannot delete entity, must remove users from group first.")
    if group.attached:
        raise DeleteConflict("Cannot delete entity, must detach all policies first.")
    if group.inline:
        raise DeleteConflict("Cannot delete entity, must delete policies first.")
    return Change(result=None, drop=(group,))


def add_user(book: AccountBook, group_name: str, user_name: str) -> Change[None]:
    """Repeating it changes nothing."""
    group, user = required(book, Group, group_name), required(book, User, user_name)
    if group.uid in user.groups:
        return Change(result=None)
    check_count(book, "GroupsPerUser", len(user.groups))
    return Change(result=None, put=(replace(user, groups=(*user.groups, group.uid)),))


def remove_user(book: AccountBook, group_name: str, user_name: str) -> Change[None]:
    group, user = required(book, Group, group_name), required(book, User, user_name)
    if group.uid not in user.groups:
        raise NoSuchEntity(f"User {user_name} not in group {group_name}")
    kept = tuple(uid for uid in user.groups if uid != group.uid)
    return Change(result=None, put=(replace(user, groups=kept),))

"""Users and their access keys: decisions. Pure."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ...model.ids import Bits
from . import unique_ids
from .book import AccountBook
from .errors import DeleteConflict, EntityAlreadyExists, NoSuchEntity
from .records import AccessKey, User
from .registry import Change
from .rules import check_boundary, check_count, check_new, check_path, required, tags_of


def create_user(
    book: AccountBook,
    name: str,
    *,
    path: str,
    boundary: str | None,
    tags: Sequence[Mapping[str, str]] | None,
    now: int,
    bits: Bits,
) -> Change[User]:
    """Raises EntityAlreadyExists, LimitExceeded, NoSuchEntity, InvalidInput."""
    check_new(book, User, name)
    user = User(
        account=book.account.number,
        name=name,
        uid=unique_ids.unique_id(unique_ids.USER, bits),
        created=now,
        path=check_path(path),
        boundary=check_boundary(book, boundary),
        tags=tags_of(User, tags),
    )
    return Change(result=user, put=(user,))


def update_user(book: AccountBook, name: str, *, new_name: str | None, new_path: str | None) -> Change[User]:
    user = required(book, User, name)
    if new_name is not None and new_name.lower() != name.lower():
        check_new(book, User, new_name)
    changed = replace(user, name=new_name or user.name, path=user.path if new_path is None else check_path(new_path))
    return Change(result=changed, put=(changed,))


def delete_user(book: AccountBook, name: str) -> Change[None]:
    """Raises NoSuchEntity, DeleteConflict."""
    user = required(book, User, name)
    if book.keys_of(user.uid):
        raise DeleteConflict("Cannot delete entity, must delete access keys first.")
    if user.inline:
        raise DeleteConflict("Cannot delete entity, must delete policies first.")
    if user.attached:
        raise DeleteConflict("Cannot delete entity, must detach all policies first.")
    if user.groups:
        raise DeleteConflict("Cannot delete entity, must remove users from group first.")
    return Change(result=None, drop=(user,))


def create_key(book: AccountBook, user_name: str | None, *, key_id: str, sealed: bytes, now: int) -> Change[AccessKey]:
    """`user_name` None: a key of the account's administrator. Raises NoSuchEntity, LimitExceeded."""
    user = None if user_name is None else required(book, User, user_name).uid
    if book.by_uid(key_id) is not None:
        raise EntityAlreadyExists(f"The access key {key_id} already exists.")
    check_count(book, "AccessKeysPerUser", len(book.keys_of(user)))
    key = AccessKey(
        account=book.account.number,
        name=key_id,
        uid=key_id,
        created=now,
        user=user,
        is_active=True,
        sealed=sealed,
    )
    return Change(result=key, put=(key,))


def set_key_active(book: AccountBook, user_name: str | None, key_id: str, *, is_active: bool) -> Change[None]:
    changed = replace(_key(book, user_name, key_id), is_active=is_active)
    return Change(result=None, put=(changed,))


def delete_key(book: AccountBook, user_name: str | None, key_id: str) -> Change[None]:
    return Change(result=None, drop=(_key(book, user_name, key_id),))


def _key(book: AccountBook, user_name: str | None, key_id: str) -> AccessKey:
    user = None if user_name is None else required(book, User, user_name).uid
    key = book.find(AccessKey, key_id)
    if key is None or key.user != user:
        raise NoSuchEntity(f"The Access Key with id {key_id} cannot be found.")
    return key

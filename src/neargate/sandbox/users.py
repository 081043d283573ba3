"""Who a container's process is: `user` as written, looked up in the image's own passwd and group. Pure.

Owns: Docker's forms (name, uid, name:group, uid:gid, :group) and sentences. The files' bytes come from a hostile image:
lines that make no sense are skipped. Invariant: every id is between 0 and 2^31 - 1.
"""

from collections.abc import Iterator

from msgspec import Struct

_ID_MAX = 2**31 - 1
_GROUPS_MAX = 256


class UnknownUser(Exception):
    """The image has no such user or group. The message is the sentence Docker gives."""


class ResolvedUser(Struct, frozen=True, kw_only=True):
    uid: int
    gid: int
    additional_gids: tuple[int, ...] = ()
    home: str = "/"


class _PasswdEntry(Struct, frozen=True, kw_only=True):
    name: str
    uid: int
    gid: int
    home: str


class _GroupEntry(Struct, frozen=True, kw_only=True):
    name: str
    gid: int
    members: tuple[str, ...]


def resolve_user(user: str, passwd: bytes, group: bytes) -> ResolvedUser:
    """Raises UnknownUser. An explicit group replaces the user's own groups, as with `docker run --user`."""
    wanted_user, colon, wanted_group = user.partition(":")
    wanted_user = wanted_user or "0"
    found = next((entry for entry in _passwd(passwd) if _is(wanted_user, entry.name, entry.uid)), None)
    if found is None and _number(wanted_user) is None:
        raise UnknownUser(f"unable to find user {wanted_user[:128]}: no matching entries in passwd file")
    uid = found.uid if found else _number(wanted_user) or 0
    gid = found.gid if found else 0
    additional: tuple[int, ...] = ()
    if colon and wanted_group:
        named = next((entry for entry in _group(group) if _is(wanted_group, entry.name, entry.gid)), None)
        if named is None and _number(wanted_group) is None:
            raise UnknownUser(f"unable to find group {wanted_group[:128]}: no matching entries in group file")
        gid = named.gid if named else _number(wanted_group) or 0
    elif found is not None:
        additional = tuple(sorted({entry.gid for entry in _group(group) if found.name in entry.members}))
    home = found.home if found and found.home.startswith("/") else "/"
    return ResolvedUser(uid=uid, gid=gid, additional_gids=additional[:_GROUPS_MAX], home=home)


def _is(wanted: str, name: str, number: int) -> bool:
    return name == wanted or _number(wanted) == number


def _number(text: str) -> int | None:
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        return None
    value = int(text)
    return value if value <= _ID_MAX else None


def _passwd(document: bytes) -> Iterator[_PasswdEntry]:
    for fields in _lines(document):
        uid, gid = (_number(fields[2]), _number(fields[3])) if len(fields) >= 6 else (None, None)
        if uid is not None and gid is not None and fields[0]:
            yield _PasswdEntry(name=fields[0], uid=uid, gid=gid, home=fields[5])


def _group(document: bytes) -> Iterator[_GroupEntry]:
    for fields in _lines(document):
        gid = _number(fields[2]) if len(fields) >= 4 else None
        if gid is not None and fields[0]:
            yield _GroupEntry(name=fields[0], gid=gid, members=tuple(fields[3].split(",")))


def _lines(document: bytes) -> Iterator[list[str]]:
    for line in document.decode(errors="replace").split("\n"):
        if line and not line.startswith("#"):
            yield line.strip().split(":")

"""What a call makes of customers' managed prefix lists: shelf in, change out. Pure; `bits` is for new ids.

Owns their versions and who refers to them. Must not know requests. Invariants: an entry is in a list once; a list never
has more entries than it was made for; one that something refers to stays, and no group or table gets beyond its quota
by a list that grows.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ....model import ids
from ...regional.shelves import Change, Shelf
from ..errors.common import InvalidParameterValue, PrefixListNotFound
from ..errors.prefix_lists import MaxEntriesExceeded, ModificationInvalid, PrefixListLimitExceeded, VersionMismatch
from ..errors.routing import IdempotentMismatch
from ..records.aws_prefix_lists import aws_prefix_lists
from ..records.objects import PrefixList, PrefixListEntry, RouteTable, Tags
from ..records.security_groups import SecurityGroupView, Weight, Weights, direction_counts

Bits = Callable[[int], int]
LISTS_MAX = 100
ENTRIES_MAX = 1000
VERSIONS_MAX = 1000
# AWS keeps a thousand versions; here fewer where they are large, since all of a list is one record.
KEPT_ENTRIES_MAX = 10_000
FAILED_SHOWN_MAX = 10
CREATED, MODIFIED, RESTORED = "create-complete", "modify-complete", "restore-complete"
MODIFY_FAILED, DELETE_FAILED, DELETED = "modify-failed", "delete-failed", "delete-complete"


class Wish(Struct, frozen=True, kw_only=True):
    """What ModifyManagedPrefixList asks for; None: left as it is."""

    current_version: int | None = None
    list_name: str | None = None
    entries_max: int | None = None
    add: tuple[PrefixListEntry, ...] = ()
    remove: tuple[str, ...] = ()


class Limits(Struct, frozen=True, kw_only=True):
    """What refers to a list may have in all."""

    rules_of_group: float
    routes_of_table: float


def required_list(shelf: Shelf, list_id: str) -> PrefixList:
    """Raises PrefixListNotFound."""
    found = shelf.find(PrefixList, list_id)
    if found is None:
        raise PrefixListNotFound(f"The prefix list ID '{list_id}' does not exist")
    return found


def weights(shelf: Shelf, region: str) -> Weights:
    """What a rule of each list counts as: the entries it may have, of its family. Those of AWS count as one."""
    of_aws: dict[str, Weight] = {one.list_id: (1, 0) for one in aws_prefix_lists(region)}
    return of_aws | {one.name: weight(one) for one in shelf.all(PrefixList)}


def weight(one: PrefixList) -> Weight:
    return (one.entries_max, 0) if one.family == "IPv4" else (0, one.entries_max)


def referring_groups(shelf: Shelf, list_id: str) -> list[SecurityGroupView]:
    groups = shelf.all(SecurityGroupView)
    return [group for group in groups if any(rule.spec.prefix_list == list_id for rule in group.rules)]


def referring_tables(shelf: Shelf, list_id: str) -> list[RouteTable]:
    return [table for table in shelf.all(RouteTable) if any(one.destination == list_id for one in table.routes)]


def references(shelf: Shelf, list_id: str) -> list[str]:
    """Ids of what refers to the list, in order."""
    return sorted(one.name for one in (*referring_groups(shelf, list_id), *referring_tables(shelf, list_id)))


def create_list(
    shelf: Shelf,
    list_name: str,
    family: str,
    entries_max: int,
    entries: Sequence[PrefixListEntry],
    tags: Tags,
    client_token: str | None,
    bits: Bits,
) -> Change[PrefixList]:
    """Raises PrefixListLimitExceeded, MaxEntriesExceeded, InvalidParameterValue, IdempotentMismatch."""
    made = PrefixList(
        account=shelf.account,
        name=ids.ec2_id("pl", bits),
        list_name=list_name,
        family=family,
        entries_max=entries_max,
        versions=(_sorted(_joined((), entries)),),
        tags=tags,
        client_token=client_token,
    )
    if client_token is not None:
        before = next((one for one in shelf.all(PrefixList) if one.client_token == client_token), None)
        if before is not None:
            if (before.list_name, before.family) != (list_name, family):
                raise IdempotentMismatch(client_token)
            return Change(result=before)
    if shelf.count(PrefixList) >= LISTS_MAX:
        raise PrefixListLimitExceeded
    _check_size(made.entries, entries_max)
    return Change(result=made, put=(made,))


def modify_list(shelf: Shelf, list_id: str, wish: Wish, limits: Limits, region: str) -> Change[PrefixList]:
    """A new version where entries change; a new size that its references cannot bear fails as a state, as on AWS.

    Raises PrefixListNotFound, VersionMismatch, ModificationInvalid, MaxEntriesExceeded, InvalidParameterValue.
    """
    before = required_list(shelf, list_id)
    if wish.current_version is not None and wish.current_version != before.version:
        raise VersionMismatch
    after = replace(before, state=MODIFIED, state_message=None)
    if wish.list_name is not None:
        after = replace(after, list_name=wish.list_name)
    if wish.add or wish.remove:
        entries = _joined(_without(before.entries, wish), wish.add)
        _check_size(entries, before.entries_max)
        after = _with_version(after, _sorted(entries))
    if wish.entries_max is not None and wish.entries_max != before.entries_max:
        if wish.entries_max < len(before.entries):
            raise InvalidParameterValue("The maximum number of entries cannot be less than the number of entries.")
        after = replace(after, entries_max=wish.entries_max)
        failed = _overfull(shelf, before, after, limits, region)
        if failed:
            shown = ", ".join(failed[:FAILED_SHOWN_MAX])
            message = f"The following resources do not support the new maximum size of the prefix list: {shown}"
            after = replace(before, state=MODIFY_FAILED, state_message=message)
    return Change(result=after, put=(after,) if after != before else ())


def restore_list(shelf: Shelf, list_id: str, previous: int, current: int) -> Change[PrefixList]:
    """Raises PrefixListNotFound, VersionMismatch, InvalidParameterValue, MaxEntriesExceeded."""
    before = required_list(shelf, list_id)
    if current != before.version:
        raise VersionMismatch
    entries = entries_of_version(before, previous)
    if previous == current:
        raise InvalidParameterValue(f"The version {previous} of the prefix list {list_id} is the current version.")
    _check_size(entries, before.entries_max)
    after = replace(_with_version(before, entries), state=RESTORED, state_message=None)
    return Change(result=after, put=(after,))


def delete_list(shelf: Shelf, list_id: str) -> Change[PrefixList]:
    """One that something refers to stays, and says so by its state: EC2 finds that out after it has answered.

    Raises PrefixListNotFound.
    """
    before = required_list(shelf, list_id)
    found = references(shelf, list_id)
    if found:
        message = f"The prefix list is referenced by: {', '.join(found[:FAILED_SHOWN_MAX])}"
        failed = replace(before, state=DELETE_FAILED, state_message=message)
        return Change(result=failed, put=(failed,) if failed != before else ())
    return Change(result=replace(before, state=DELETED, state_message=None), drop=(before,))


def entries_of_version(one: PrefixList, version: int) -> tuple[PrefixListEntry, ...]:
    """Raises InvalidParameterValue for one that never was, or is not kept any more."""
    place = version - one.first_version
    if not 0 <= place < len(one.versions):
        raise InvalidParameterValue(
            f"The specified value for version is not valid. The version {version} of {one.name} does not exist."
        )
    return one.versions[place]


def _with_version(one: PrefixList, entries: tuple[PrefixListEntry, ...]) -> PrefixList:
    versions = (*one.versions, entries)
    dropped = max(0, len(versions) - VERSIONS_MAX)
    while dropped < len(versions) - 1 and sum(map(len, versions[dropped:])) > KEPT_ENTRIES_MAX:
        dropped += 1
    return replace(one, versions=versions[dropped:], first_version=one.first_version + dropped)


def _without(entries: Sequence[PrefixListEntry], wish: Wish) -> list[PrefixListEntry]:
    removed = set(wish.remove)
    for entry in wish.add:
        if entry.cidr in removed:
            raise InvalidParameterValue(
                f"Request cannot contain Cidr {entry.cidr} in both AddPrefixListEntries and RemovePrefixListEntries"
            )
    known = {entry.cidr for entry in entries}
    for cidr in wish.remove:
        if cidr not in known:
            raise ModificationInvalid(f"The CIDR {cidr} does not exist.")
    return [entry for entry in entries if entry.cidr not in removed]


def _joined(entries: Sequence[PrefixListEntry], added: Sequence[PrefixListEntry]) -> list[PrefixListEntry]:
    known = {entry.cidr for entry in entries}
    for entry in added:
        if entry.cidr in known:
            raise ModificationInvalid(f"The CIDR {entry.cidr} already exists.")
        known.add(entry.cidr)
    return [*entries, *added]


def _sorted(entries: Sequence[PrefixListEntry]) -> tuple[PrefixListEntry, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.cidr))


def _check_size(entries: Sequence[PrefixListEntry], entries_max: int) -> None:
    if len(entries) > entries_max:
        raise MaxEntriesExceeded


def _overfull(shelf: Shelf, before: PrefixList, after: PrefixList, limits: Limits, region: str) -> list[str]:
    """Ids of the groups and tables that would have more than they may with the list's new size."""
    if after.entries_max <= before.entries_max:
        return []
    heavier: Mapping[str, Weight] = {**weights(shelf, region), after.name: weight(after)}
    found = [
        group.name
        for group in referring_groups(shelf, after.name)
        if any(max(direction_counts(group.rules, way, heavier)) > limits.rules_of_group for way in (False, True))
    ]
    place = 0 if after.family == "IPv4" else 1
    for table in referring_tables(shelf, after.name):
        counted = sum(
            heavier[route.destination][place] if route.destination in heavier else _plain(route.destination)[place]
            for route in table.routes
        )
        if counted > limits.routes_of_table:
            found.append(table.name)
    return sorted(found)


def _plain(destination: str) -> Weight:
    return (0, 1) if ":" in destination else (1, 0)

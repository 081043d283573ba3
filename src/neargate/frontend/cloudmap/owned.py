"""Which instances are tasks of which services of ECS: an index of what the registry holds.

Owns nothing but the index; the mark is in the record.
"""

from collections.abc import Sequence

from ...interfaces.discovery import Owner
from .records import Instance


class OwnedInstances:
    def __init__(self) -> None:
        self._of_owner: dict[Owner, dict[str, Instance]] = {}  # by owner, by name
        self._names: dict[str, set[str]] = {}  # by id

    def of(self, owner: Owner) -> Sequence[Instance]:
        """In order of names."""
        found = self._of_owner.get(owner, {})
        return [found[name] for name in sorted(found)]

    def owners(self) -> tuple[Owner, ...]:
        return tuple(sorted(self._of_owner))

    def has(self, instance_id: str) -> bool:
        return instance_id in self._names

    def note(self, record: Instance) -> None:
        if record.owner:
            self._of_owner.setdefault(owner_of(record), {})[record.name] = record
            self._names.setdefault(record.id, set()).add(record.name)

    def forget(self, record: Instance) -> None:
        if not record.owner:
            return
        owner, names = owner_of(record), self._names.get(record.id, set())
        beside = self._of_owner.get(owner, {})
        beside.pop(record.name, None)
        if not beside:
            self._of_owner.pop(owner, None)
        names.discard(record.name)
        if not names:
            self._names.pop(record.id, None)


def owner_of(record: Instance) -> Owner:
    cluster, _, service = record.owner.partition("/")
    return Owner(account=record.account, cluster=cluster, service=service)


def mark(owner: Owner) -> str:
    return f"{owner.cluster}/{owner.service}"

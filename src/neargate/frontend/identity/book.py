"""One account's identities in memory, and what follows from them: grants, counts, who is in a group.

Holds only what is durable; changed by the registry alone, after the write. Everything derived is forgotten with each
change, so that what was deleted or denied counts from the next decision on. Decisions read it and change nothing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from ...iam.managed import MANAGED_POLICIES
from ...iam.policy import Attached, Grants, Policy
from ...model.quotas import IAM_QUOTAS, DefaultQuotas, QuotaValues
from .compiled import CompiledPolicies
from .records import (
    KINDS,
    AccessKey,
    AccountRecord,
    Group,
    Holder,
    ManagedPolicy,
    R,
    Record,
    Role,
    User,
)


class AccountBook:
    def __init__(self, account: AccountRecord, policies: CompiledPolicies, quotas: QuotaValues | None = None) -> None:
        """`quotas`: what the operator allows; AWS's values without it."""
        self._quotas = quotas or DefaultQuotas()
        self.account = account
        self._policies = policies
        self._by_key: dict[type[Record], dict[str, Record]] = {kind: {} for kind in KINDS}
        self._by_uid: dict[str, Record] = {}
        self._grants: dict[str, Grants] = {}
        self._uses: tuple[Counter[str], Counter[str]] | None = None
        self._keys: dict[str | None, list[AccessKey]] | None = None

    # -- entities

    def find(self, kind: type[R], name: str) -> R | None:
        """By exactly this name."""
        found = self._by_key[kind].get(name)
        if found is None:
            found = self._by_key[kind].get(name.lower())
        return found if isinstance(found, kind) and found.name == name else None

    def holds(self, kind: type[Record], name: str) -> bool:
        """Whether the name is taken, in whatever case."""
        return name.lower() in self._by_key[kind] or name in self._by_key[kind]

    def by_uid(self, uid: str) -> Record | None:
        return self._by_uid.get(uid)

    def all(self, kind: type[R]) -> list[R]:
        """In order of names, upper and lower case alike."""
        table = self._by_key[kind]
        return [one for _, one in sorted(table.items()) if isinstance(one, kind)]

    def count(self, kind: type[Record]) -> int:
        return len(self._by_key[kind])

    def policy(self, arn: str) -> ManagedPolicy | None:
        """The account's own managed policy of this ARN."""
        found = self.find(ManagedPolicy, arn.rpartition("/")[2])
        return found if found is not None and found.arn == arn else None

    def keys_of(self, user: str | None) -> list[AccessKey]:
        """By the user's unique id; None: the administrator's. Oldest first."""
        if self._keys is None:
            self._keys = {}
            for key in sorted(self.all(AccessKey), key=lambda one: (one.created, one.name)):
                self._keys.setdefault(key.user, []).append(key)
        return self._keys.get(user, [])

    def members(self, group: Group) -> list[User]:
        return [user for user in self.all(User) if group.uid in user.groups]

    def groups_of(self, user: User) -> list[Group]:
        found = (self._by_uid.get(uid) for uid in user.groups)
        return sorted((one for one in found if isinstance(one, Group)), key=lambda one: one.key)

    def holders(self) -> Iterator[Holder]:
        yield from self.all(User)
        yield from self.all(Group)
        yield from self.all(Role)

    def uses(self, arn: str) -> tuple[int, int]:
        """How many principals have a managed policy attached, and how many as their boundary."""
        if self._uses is None:
            holders = list(self.holders())
            boundaries = Counter(
                one.boundary for one in holders if isinstance(one, User | Role) and one.boundary is not None
            )
            self._uses = Counter(arn for one in holders for arn in one.attached), boundaries
        attached, boundaries = self._uses
        return attached[arn], boundaries[arn]

    def limit(self, quota: str) -> int:
        """How many, or how large, by the quota's name in IAM's refusal."""
        return int(self._quotas.value(self.account.number, IAM_QUOTAS[quota]) or 0)

    # -- grants

    def grants(self, principal: User | Role) -> Grants:
        """Of all its identity policies and its boundary, without a session's."""
        found = self._grants.get(principal.uid)
        if found is None:
            holders: list[Holder] = [principal]
            if isinstance(principal, User):
                holders += self.groups_of(principal)
            boundary = principal.boundary
            found = self._grants[principal.uid] = Grants(
                identity=tuple(attached for holder in holders for attached in self._attached(holder)),
                boundary=None if boundary is None else Attached(name=boundary, policy=self.managed(boundary)),
            )
        return found

    def _attached(self, holder: Holder) -> Iterator[Attached]:
        for name, document in holder.inline:
            yield Attached(name=name, policy=self._policies.policy(document))
        for arn in holder.attached:
            yield Attached(name=arn, policy=self.managed(arn))

    def managed(self, arn: str) -> Policy:
        """The compiled default version. Raises KeyError for a policy that nobody may have attached."""
        if arn in MANAGED_POLICIES:
            return self._policies.of_aws(arn)
        own = self.policy(arn)
        if own is None:
            raise KeyError(arn)
        return self._policies.policy(own.document)

    # -- changes, by the registry

    def apply(self, puts: Iterable[Record], drops: Iterable[Record], account: AccountRecord | None = None) -> None:
        for record in drops:
            self._remove(record)
        for record in puts:
            previous = self._by_uid.get(record.uid)
            if previous is not None:
                self._remove(previous)
            self._by_uid[record.uid] = record
            self._by_key[type(record)][record.key] = record
        if account is not None:
            self.account = account
        self._grants.clear()
        self._uses = self._keys = None

    def _remove(self, record: Record) -> None:
        self._by_uid.pop(record.uid, None)
        self._by_key[type(record)].pop(record.key, None)

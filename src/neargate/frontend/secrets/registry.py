"""The region's secrets: durable records, found by name or ARN, and their values opened when asked for.

Must not know operations, nor who may read: an operation asks that first, for the secret and for its KMS key.
Invariants: a value rests sealed under its KMS key; what a change returned is durable; a secret whose recovery window is
over is gone, whether its rows were swept up or not.
"""

from collections.abc import Callable, Sequence

from ...iam.document import PolicyKind
from ...iam.policy import Policy
from ...interfaces.store import Store
from ...model.arn import Arn
from ...model.knobs import DEFAULT_KNOBS
from ...world import World
from ..identity.compiled import CompiledPolicies
from ..keys.errors import InvalidCiphertext, InvalidState, KeyDisabled
from ..keys.records import KmsKey
from ..keys.registry import KeyRegistry
from ..regional.shelves import Change, Kept, OnShelves, Shelf, Shelves, migration
from .errors import DecryptionFailed, EncryptionFailed, MarkedDeleted, SecretLimit, SecretNotFound
from .records import SUFFIX_LENGTH, Opened, Secret, SecretValue, Version, context_of, value_name

MIGRATIONS = (migration("secrets"),)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


async def open_secrets(world: World, store: Store, keys: KeyRegistry, *, region: str) -> "SecretRegistry":
    """`store` is the region shard, opened with migrations that include MIGRATIONS."""
    registry = SecretRegistry(world, store, keys, region=region)
    await registry.load()
    return registry


class SecretRegistry(OnShelves):
    """Reads are from memory and never wait; what a change returned is durable."""

    def __init__(self, world: World, store: Store, keys: KeyRegistry, *, region: str) -> None:
        self._world = world
        self._keys = keys
        self._policies = CompiledPolicies()
        self.region = region
        self._accessed: dict[str, float] = {}  # by ARN; not kept: the record of calls has every access
        super().__init__(Shelves(world, store, "secrets", (Secret, SecretValue)))

    # -- finding

    def find(self, account: str, named: str) -> Secret | None:
        """By name, ARN, or ARN without the six characters at its end; also one that is marked for deletion."""
        owner, name = self.meant(account, named)
        if owner is None:
            return None
        shelf = self._shelves.shelf(owner)
        found = shelf.find(Secret, name)
        if named.startswith("arn:"):
            bare, suffix = name[: -SUFFIX_LENGTH - 1], name[-SUFFIX_LENGTH:]
            whole = shelf.find(Secret, bare)
            if whole is not None and whole.suffix == suffix and name == f"{bare}-{suffix}":
                found = whole
        return None if found is None or found.is_gone(self._world.now()) else found

    def meant(self, account: str, named: str) -> tuple[str | None, str]:
        """Whose secret a request means, and what follows `secret:` or the name. None: nobody's in this region."""
        if not named.startswith("arn:"):
            return account, named
        arn = Arn.parse(named)
        name = "" if arn is None else arn.resource.removeprefix("secret:")
        if arn is None or arn.service != "secretsmanager" or arn.region != self.region or name == arn.resource:
            return None, named
        return arn.account or None, name

    def policy(self, secret: Secret) -> Policy | None:
        """Its resource policy."""
        return None if secret.policy is None else self._policies.policy(secret.policy, PolicyKind.RESOURCE)

    def secrets(self, account: str) -> list[Secret]:
        """In order of names; those marked for deletion, too."""
        now = self._world.now()
        return [secret for secret in self._shelves.shelf(account).all(Secret) if not secret.is_gone(now)]

    # -- values

    def sealed(self, secret: Secret, version_id: str, value: Opened, key: KmsKey) -> SecretValue:
        """Raises EncryptionFailed."""
        try:
            blob = self._keys.seal(key, value.secret, context_of(secret.arn, version_id))
        except (KeyDisabled, InvalidState):
            raise EncryptionFailed from None
        return SecretValue(
            account=secret.account,
            name=value_name(secret.name, secret.suffix, version_id),
            sealed=blob,
            is_binary=value.is_binary,
        )

    def kept_value(self, secret: Secret, version_id: str) -> SecretValue | None:
        return self._shelves.shelf(secret.account).find(SecretValue, value_name(secret.name, secret.suffix, version_id))

    def opened(self, secret: Secret, version: Version) -> Opened:
        """Raises DecryptionFailed."""
        kept = self.kept_value(secret, version.id)
        if kept is None:
            raise DecryptionFailed
        return self.opened_value(secret, version.id, kept)

    def opened_value(self, secret: Secret, version_id: str, kept: SecretValue) -> Opened:
        try:
            key = self._keys.opening_key(kept.sealed)
            plain = self._keys.open(key, kept.sealed, context_of(secret.arn, version_id))
        except (KeyDisabled, InvalidState, InvalidCiphertext):
            raise DecryptionFailed from None
        return Opened(secret=plain, is_binary=kept.is_binary)

    def note_access(self, secret: Secret) -> None:
        """By the day, as AWS shows it."""
        if len(self._accessed) >= DEFAULT_KNOBS.secrets_accessed_max and secret.arn not in self._accessed:
            self._accessed.pop(next(iter(self._accessed)))
        self._accessed[secret.arn] = float(int(self._world.now()) // 86_400 * 86_400)

    def accessed(self, secret: Secret) -> float | None:
        return self._accessed.get(secret.arn)

    # -- changes

    async def change_secret(
        self,
        secret: Secret,
        changed: Callable[[Secret], Secret],
        values: Sequence[SecretValue] = (),
        *,
        also_deleted: bool = False,
    ) -> Secret:
        """`changed` is pure and sees the secret as it is now; `values` are of versions that it adds or seals anew.

        Values of versions that are no longer listed go with the same change. Raises SecretNotFound, MarkedDeleted,
        SecretLimit.
        """

        def decide(shelf: Shelf) -> Change[Secret]:
            found = shelf.find(Secret, secret.name)
            if found is None or found.suffix != secret.suffix or found.is_gone(self._world.now()):
                raise SecretNotFound
            if found.deletion is not None and not also_deleted:
                raise MarkedDeleted
            after = changed(found)
            if after == found:
                return Change(result=found)
            check_room(shelf, after, found)
            listed = {value_name(after.name, after.suffix, one.id) for one in after.versions}
            sealed = {(one.id, one.key) for one in found.versions}
            fresh = {
                value_name(after.name, after.suffix, one.id)
                for one in after.versions
                if (one.id, one.key) not in sealed
            }
            put = tuple(value for value in values if value.name in fresh)
            return Change(result=after, put=(after, *put), drop=_values(shelf, found, listed))

        return await self.change(secret.account, decide)

    def new_suffix(self) -> str:
        return "".join(self._world.random.choice(_LETTERS) for _ in range(SUFFIX_LENGTH))


def gone_with(shelf: Shelf, secret: Secret) -> tuple[Kept, ...]:
    """A secret's own record and its values."""
    return (secret, *_values(shelf, secret, set()))


def check_room(shelf: Shelf, after: Secret, before: Secret | None = None, *, leaving: Sequence[Secret] = ()) -> None:
    """Raises SecretLimit: memory holds all sealed values, and one account may not fill it.

    `leaving`: what goes with the same change.
    """
    if before is None and shelf.count(Secret) - len(leaving) >= DEFAULT_KNOBS.secrets_max:
        raise SecretLimit(f"You have reached the maximum of {DEFAULT_KNOBS.secrets_max} secrets in this account.")
    grown = after.size - (0 if before is None else before.size) - sum(one.size for one in leaving)
    if grown > 0 and sum(one.size for one in shelf.all(Secret)) + grown > DEFAULT_KNOBS.secrets_max_bytes:
        raise SecretLimit(f"The secrets of this account have more than {DEFAULT_KNOBS.secrets_max_bytes} bytes.")


def _values(shelf: Shelf, secret: Secret, but: set[str]) -> tuple[SecretValue, ...]:
    names = [value_name(secret.name, secret.suffix, one.id) for one in secret.versions]
    found = (shelf.find(SecretValue, name) for name in names if name not in but)
    return tuple(value for value in found if value is not None)

"""The region's KMS keys: durable records, and the in-process way to seal and open values under a key.

Owns keys, aliases and their material. Must not know operations, nor whether a caller may use a key: whoever calls
asks that first (`leave.py`). Invariants: material rests sealed with the region's master key and never leaves here;
a disabled key, and one that waits for its deletion, neither seals nor opens; nothing is sealed before its key is
durable.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ...iam.document import PolicyKind
from ...iam.policy import Policy
from ...interfaces.store import Store
from ...model.arn import Arn
from ...model.ids import uuid4
from ...world import World
from ..identity.compiled import CompiledPolicies
from ..identity.registry import Sealer
from ..regional.shelves import Change, Kept, OnShelves, Shelf, Shelves, migration
from . import ciphertext
from .errors import InvalidArn, InvalidCiphertext, InvalidState, KeyDisabled, NotFound
from .key_policies import service_policy
from .records import AWS_SERVICES, KeyAlias, KeyState, KmsKey, alias_arn, key_arn

MIGRATIONS = (migration("kms"),)
_PREFIX, _AWS_PREFIX = "alias/", "alias/aws/"


async def open_keys(world: World, store: Store, sealer: Sealer, *, region: str) -> "KeyRegistry":
    """`store` is the region shard, opened with migrations that include MIGRATIONS."""
    registry = KeyRegistry(world, store, sealer, region=region)
    await registry.load()
    return registry


class KeyRegistry(OnShelves):
    """For other services: `sealing_key` → (leave) → `seal`, and `opening_key` → (leave) → `open`.

    Reads are from memory and never wait; what a change returned is durable.
    """

    def __init__(self, world: World, store: Store, sealer: Sealer, *, region: str) -> None:
        self._world = world
        self._sealer = sealer
        self.region = region
        self._policies = CompiledPolicies()
        self._accounts: dict[str, str] = {}  # key id -> account
        self._aliased: dict[tuple[str, str], str] = {}  # account, alias -> key id
        self._names: dict[str, set[str]] = {}  # key id -> its aliases
        super().__init__(Shelves(world, store, "kms", (KmsKey, KeyAlias), self._changed))

    # -- values under keys, for other services

    async def sealing_key(self, account: str, named: str | None, service: str) -> KmsKey:
        """The key under which a service is to keep a value of this account.

        `named`: a key id, key ARN, alias name or alias ARN; None: the account's default key of `service` (one of
        AWS_SERVICES), which is made on first use. Raises NotFound, InvalidArn, KeyDisabled, InvalidState.
        """
        key = await self.default_key(account, service) if named is None else await self.named_key(account, named)
        self.check_usable(key)
        return key

    def opening_key(self, blob: bytes) -> KmsKey:
        """The key that a value was sealed under. Raises InvalidCiphertext, KeyDisabled, InvalidState."""
        key = self.key_of(blob)
        if key is None:
            raise InvalidCiphertext
        self.check_usable(key)
        return key

    def key_of(self, blob: bytes) -> KmsKey | None:
        """In whatever state, of any account; None when it is gone. Raises InvalidCiphertext."""
        return self.by_id(ciphertext.key_id_of(blob))

    def seal(self, key: KmsKey, plaintext: bytes, context: Mapping[str, str]) -> bytes:
        """The ciphertext carries the key's id and is 64 bytes longer. `context` must be given again to open it."""
        self.check_usable(key)
        return ciphertext.seal(
            self._material(key), key.name, plaintext, context, random_bits=self._world.random.getrandbits
        )

    def open(self, key: KmsKey, blob: bytes, context: Mapping[str, str]) -> bytes:
        """The plaintext. `key` is the blob's (`opening_key`). Raises InvalidCiphertext, KeyDisabled, InvalidState."""
        self.check_usable(key)
        return ciphertext.unseal(self._material(key), blob, context)

    async def default_key(self, account: str, service: str) -> KmsKey:
        """`alias/aws/SERVICE` of the account, made when it is not there."""
        return await self.change(account, partial(self._default_key, service=service))

    # -- finding

    async def named_key(self, account: str, named: str) -> KmsKey:
        """As `find`, but AWS's own aliases make their key when they are first named."""
        arn = Arn.parse(named)
        name = named if arn is None else arn.resource
        owner = account if arn is None else arn.account
        service = name.removeprefix(_AWS_PREFIX)
        is_default = name.startswith(_AWS_PREFIX) and service in AWS_SERVICES and owner == account
        if is_default and named in (name, alias_arn(self.region, account, name)):
            return await self.default_key(account, service)
        return self.find(account, named)

    def find(self, account: str, named: str) -> KmsKey:
        """By key id, key ARN, alias name or alias ARN; names without an account are the caller's own.

        Raises NotFound in AWS's words (with the ARN that was meant), InvalidArn for another region.
        """
        name, owner = self._meant(account, named)
        if name.startswith(_PREFIX):
            alias = self._shelves.shelf(owner).find(KeyAlias, name)
            if alias is None:
                raise NotFound(f"Alias {alias_arn(self.region, owner, name)} is not found.")
            name = alias.key
        key = self.by_id(name)
        if key is None or key.account != owner:
            if not _is_key_id(name):
                raise NotFound(f"Invalid keyId '{name}'")
            raise NotFound(f"Key '{key_arn(self.region, owner, name)}' does not exist")
        return key

    def by_id(self, key_id: str) -> KmsKey | None:
        """In any account. A key whose waiting time is over is gone, whether it was swept up or not."""
        account = self._accounts.get(key_id)
        key = None if account is None else self._shelves.shelf(account).find(KmsKey, key_id)
        return None if key is None or key.is_due(self._world.now()) else key

    def aliases(self, key: KmsKey) -> list[str]:
        """Their names, in order."""
        return sorted(self._names.get(key.name, ()))

    def policy(self, key: KmsKey) -> Policy:
        return self._policies.policy(key.policy, PolicyKind.KEY)

    def check_usable(self, key: KmsKey) -> None:
        """Raises KeyDisabled, InvalidState."""
        if key.state is KeyState.DISABLED:
            raise KeyDisabled(key.arn)
        if key.state is KeyState.PENDING_DELETION:
            raise InvalidState(f"{key.arn} is pending deletion.")

    # -- changes

    async def change_key(self, key: KmsKey, changed: Callable[[KmsKey], KmsKey]) -> KmsKey:
        """`changed` is pure and sees the key as it is now. Raises what it raises, NotFound when the key is gone."""

        def decide(shelf: Shelf) -> Change[KmsKey]:
            found = shelf.find(KmsKey, key.name)
            if found is None or found.is_due(self._world.now()):
                raise NotFound(f"Key '{key.arn}' does not exist")
            after = changed(found)
            return Change(result=after, put=() if after == found else (after,))

        return await self.change(key.account, decide)

    def new_key(self, account: str, *, policy: str, service: str | None = None, description: str = "") -> KmsKey:
        """A record with material of its own, not kept yet."""
        key_id = uuid4(self._world.random.getrandbits)
        material = self._world.random.getrandbits(8 * ciphertext.MATERIAL_BYTES)
        return KmsKey(
            account=account,
            name=key_id,
            region=self.region,
            created=round(self._world.now(), 3),
            sealed=self._sealer.seal(
                material.to_bytes(ciphertext.MATERIAL_BYTES, "big"), context=_place(account, key_id)
            ),
            policy=policy,
            service=service,
            description=description,
        )

    def _default_key(self, shelf: Shelf, *, service: str) -> Change[KmsKey]:
        name = f"{_AWS_PREFIX}{service}"
        alias = shelf.find(KeyAlias, name)
        found = None if alias is None else shelf.find(KmsKey, alias.key)
        if found is not None:
            return Change(result=found)
        key = self.new_key(
            shelf.account,
            policy=service_policy(service, self.region, shelf.account),
            service=service,
            description=_DESCRIPTIONS[service],
        )
        alias = KeyAlias(
            account=shelf.account,
            name=name,
            region=self.region,
            key=key.name,
            created=key.created,
            updated=key.created,
        )
        return Change(result=key, put=(key, alias))

    def _meant(self, account: str, named: str) -> tuple[str, str]:
        """The id or alias name, and the account whose it is."""
        if not named.startswith("arn:"):
            return named, account
        arn = Arn.parse(named)
        if arn is None or arn.service != "kms" or not arn.account:
            raise InvalidArn(f"Invalid arn {named}")
        if arn.region != self.region:
            raise InvalidArn(f"Invalid arn {arn.region}")
        name = arn.resource.removeprefix("key/")
        if name == arn.resource and not name.startswith(_PREFIX):
            raise InvalidArn(f"Invalid arn {named}")
        return name, arn.account

    def _material(self, key: KmsKey) -> bytes:
        return self._sealer.open(key.sealed, context=_place(key.account, key.name))

    def _changed(self, shelf: Shelf, put: Sequence[Kept], drop: Sequence[Kept]) -> None:
        for record in drop:
            if isinstance(record, KmsKey):
                self._accounts.pop(record.name, None)
            elif isinstance(record, KeyAlias):
                self._forget(record)
        for record in put:
            if isinstance(record, KmsKey):
                self._accounts[record.name] = shelf.account
            elif isinstance(record, KeyAlias):
                self._forget(record)
                self._aliased[record.account, record.name] = record.key
                self._names.setdefault(record.key, set()).add(record.name)

    def _forget(self, alias: KeyAlias) -> None:
        """Whichever key it was of."""
        key = self._aliased.pop((alias.account, alias.name), None)
        if key is not None:
            names = self._names[key]
            names.discard(alias.name)
            if not names:
                del self._names[key]


_DESCRIPTIONS = {
    "secretsmanager": ("Default key that protects my Secrets Manager data when no other key is defined"),
    "ssm": "Default key that protects my SSM parameters when no other key is defined",
}


def _is_key_id(name: str) -> bool:
    return len(name) == 36 and all(
        len(part) == size for part, size in zip(name.split("-"), (8, 4, 4, 4, 12), strict=False)
    )


def _place(account: str, key_id: str) -> bytes:
    """Binds sealed material to its place: copied to another row, it does not open."""
    return f"kms-key/{account}/{key_id}".encode()

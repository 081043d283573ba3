"""What is kept of each key and alias: frozen records, stored as JSON documents. Times are epoch seconds.

A key's material is sealed with the region's master key and bound to the key's account and id; it is opened for one
operation at a time and shown to nobody.
"""

from enum import Enum

from ...model.arn import Arn
from ..regional.shelves import Kept

AWS_SERVICES = ("secretsmanager", "ssm")  # of which accounts have default keys, made on first use


class KeyState(Enum):
    ENABLED = "Enabled"
    DISABLED = "Disabled"
    PENDING_DELETION = "PendingDeletion"


class KmsKey(Kept, frozen=True, kw_only=True):
    """A symmetric key. `name` is its id. `policy` names this region's principals by unique id.

    `service`: whose default key it is (`ssm`), which callers may use through that service only; None: a customer's.
    """

    kind = "key"
    region: str
    created: float
    sealed: bytes
    policy: str
    state: KeyState = KeyState.ENABLED
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    service: str | None = None
    deletion: float | None = None

    @property
    def arn(self) -> str:
        return key_arn(self.region, self.account, self.name)

    def is_due(self, now: float) -> bool:
        """Its waiting time is over: it is as good as gone."""
        return self.state is KeyState.PENDING_DELETION and self.deletion is not None and self.deletion <= now


class KeyAlias(Kept, frozen=True, kw_only=True):
    """`name` with its `alias/`; `key` is the id of a key of the same account."""

    kind = "alias"
    region: str
    key: str
    created: float
    updated: float

    @property
    def arn(self) -> str:
        return alias_arn(self.region, self.account, self.name)


def key_arn(region: str, account: str, key_id: str) -> str:
    return str(Arn(service="kms", region=region, account=account, resource=f"key/{key_id}"))


def alias_arn(region: str, account: str, name: str) -> str:
    """`name` with its `alias/`."""
    return str(Arn(service="kms", region=region, account=account, resource=name))

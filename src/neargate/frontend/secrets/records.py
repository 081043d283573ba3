"""What is kept of each secret: its description with its versions' labels, and apart from it each version's value.

Frozen records, stored as JSON documents; times are epoch seconds. A value is sealed under the secret's KMS key, with
the secret's ARN and the version's id as encryption context, and so opens nowhere else.
"""

from msgspec import Struct

from ...model.arn import Arn
from ...model.concealed import Concealed
from ..regional.shelves import Kept

CURRENT, PREVIOUS, PENDING = "AWSCURRENT", "AWSPREVIOUS", "AWSPENDING"
SUFFIX_LENGTH = 6


class Version(Struct, frozen=True, kw_only=True):
    """Without `stages` it is deprecated: it can still be named by its id, until newer versions take its room."""

    id: str
    created: float
    stages: tuple[str, ...]
    key: str  # ARN of the KMS key that its value is sealed under
    size: int  # of the value, bytes


class Secret(Kept, frozen=True, kw_only=True):
    """`kms_key`: as its owner named it, None for the account's default key. `policy` names principals by unique id.

    `deletion`: when its recovery window ends, for a secret that is marked for deletion.
    """

    kind = "secret"
    region: str
    suffix: str
    created: float
    changed: float
    description: str | None = None
    kms_key: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    policy: str | None = None
    deletion: float | None = None
    versions: tuple[Version, ...] = ()  # oldest first
    size: int = 0  # of all values, bytes

    @property
    def arn(self) -> str:
        return secret_arn(self.region, self.account, f"{self.name}-{self.suffix}")

    def version(self, version_id: str) -> Version | None:
        return next((one for one in self.versions if one.id == version_id), None)

    def staged(self, stage: str) -> Version | None:
        return next((one for one in self.versions if stage in one.stages), None)

    def is_gone(self, now: float) -> bool:
        return self.deletion is not None and self.deletion <= now


class SecretValue(Kept, frozen=True, kw_only=True):
    """`name`: `value_name` of its secret and version."""

    kind = "value"
    sealed: bytes
    is_binary: bool


class Opened(Concealed, frozen=True, kw_only=True):
    """A value as its owner gave it."""

    secret: bytes
    is_binary: bool


def secret_arn(region: str, account: str, name: str) -> str:
    return str(Arn(service="secretsmanager", region=region, account=account, resource=f"secret:{name}"))


def value_name(secret: str, suffix: str, version_id: str) -> str:
    """No name of a secret has a space."""
    return f"{secret}-{suffix} {version_id}"


def context_of(arn: str, version_id: str) -> dict[str, str]:
    """The encryption context, as on AWS."""
    return {"SecretARN": arn, "SecretVersionId": version_id}

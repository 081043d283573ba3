"""What is kept of each parameter: frozen records, stored as JSON documents. Times are epoch seconds.

A parameter's record holds its newest version but no value; values are in rows of their own, and rest sealed.
"""

from msgspec import Struct

from ...model.arn import Arn
from ...model.concealed import Concealed

Tags = tuple[tuple[str, str], ...]
Labels = tuple[tuple[str, int], ...]  # (label, number of the version that has it), in the order they came

STRING, STRING_LIST, SECURE_STRING = "String", "StringList", "SecureString"
STANDARD, ADVANCED, INTELLIGENT = "Standard", "Advanced", "Intelligent-Tiering"


class Version(Struct, frozen=True, kw_only=True):
    """A version but for its value and labels. `user`: ARN of who made it. `key_id`: as given, of SecureStrings only."""

    number: int
    type: str
    tier: str  # STANDARD or ADVANCED
    data_type: str
    modified: float
    user: str
    key_id: str | None = None
    description: str | None = None
    allowed_pattern: str | None = None


class Parameter(Struct, frozen=True, kw_only=True):
    """Versions from `oldest` to the current one are there, without gaps."""

    account: str
    name: str
    current: Version
    oldest: int = 1
    labels: Labels = ()
    tags: Tags = ()

    @property
    def key(self) -> str:
        """Unique in the account: `a` and `/a` have one ARN, and are one parameter."""
        return rooted(self.name)

    def arn(self, region: str) -> str:
        return parameter_arn(region, self.account, self.name)

    def labels_of(self, number: int) -> list[str]:
        return [label for label, version in self.labels if version == number]


class StoredVersion(Concealed, frozen=True, kw_only=True):
    """`sealed`: the value, by the region's envelope or by a KMS key."""

    version: Version
    sealed: bytes


class ParameterValue(Concealed, frozen=True, kw_only=True):
    """A version with its value as it is shown: of a SecureString perhaps the ciphertext."""

    version: Version
    value: str


def rooted(name: str) -> str:
    return name if name.startswith("/") else f"/{name}"


def parameter_arn(region: str, account: str, name: str) -> str:
    return str(Arn(service="ssm", region=region, account=account, resource=f"parameter{rooted(name)}"))

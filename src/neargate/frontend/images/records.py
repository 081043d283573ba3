"""What is kept of repositories, images and an account's registry: frozen records, stored as JSON documents.

No bytes of images: those rest in the backend, under the repository's `uid`, so that a repository made again under an
old name begins empty. Times are epoch seconds.
"""

from msgspec import Struct

Tags = tuple[tuple[str, str], ...]

MUTABLE, IMMUTABLE = "MUTABLE", "IMMUTABLE"
MUTABLE_BUT, IMMUTABLE_BUT = "MUTABLE_WITH_EXCLUSION", "IMMUTABLE_WITH_EXCLUSION"


class Image(Struct, frozen=True, kw_only=True):
    """One manifest. `size`: of what it names, compressed, as DescribeImages shows it; `manifest_size`: its own."""

    digest: str
    media_type: str
    size: int
    manifest_size: int
    pushed_at: float
    tags: tuple[str, ...] = ()
    artifact_type: str | None = None
    children: tuple[str, ...] = ()  # digests, of a list of manifests
    checked: tuple[tuple[str, float], ...] = ()  # tags that an upstream registry gave it, and when that was so last


class Repository(Struct, frozen=True, kw_only=True):
    """`policy` names principals of this region by unique id; it is shown with their ARNs. `lifecycle`: as it came."""

    account: str
    name: str
    uid: str
    created: float
    mutability: str = MUTABLE
    exclusions: tuple[str, ...] = ()  # filters of tags to which the opposite of `mutability` applies
    scan_on_push: bool = False
    kms_key: str | None = None
    encryption: str = "AES256"
    policy: str | None = None
    lifecycle: str | None = None
    lifecycle_evaluated: float | None = None
    tags: Tags = ()

    @property
    def backend_name(self) -> str:
        return f"{self.account}/{self.uid}"


class CacheRule(Struct, frozen=True, kw_only=True):
    """Names below `prefix` are another registry's. `kind`: AWS's name of it, empty for one that the operator named.

    `credential`: the ARN of a secret. A pull reads it when it needs it.
    """

    prefix: str
    host: str
    kind: str
    created: float
    updated: float
    credential: str | None = None


class RegistrySettings(Struct, frozen=True, kw_only=True):
    """Of one account."""

    account: str
    policy: str | None = None
    scan_type: str = "BASIC"
    scan_rules: str = "[]"  # JSON, as they came
    cache_rules: tuple[CacheRule, ...] = ()  # in order of prefixes

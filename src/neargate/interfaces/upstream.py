"""What a registry that caches other registries' images needs of them: manifests and blobs, read only.

Implemented over HTTP by `sandbox/pull/upstream.py`, whose rules of addresses, redirects and times hold here too.
Nothing from there is believed: a manifest has the digest that was asked for, a blob is compared where it is stored.
"""

from collections.abc import AsyncGenerator
from typing import Protocol

from msgspec import Struct

from ..model.concealed import Concealed


class UpstreamFailed(Exception):
    """`reason` is a printable sentence. `missing`: there is no such image; `denied`: the credentials are not enough."""

    def __init__(self, reason: str, *, missing: bool = False, denied: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.missing, self.denied = reason, missing, denied


class Login(Concealed, frozen=True, kw_only=True):
    username: str
    password: str


class UpstreamManifest(Struct, frozen=True, kw_only=True):
    """`body` has the digest."""

    media_type: str
    digest: str
    body: bytes


class UpstreamSession(Protocol):
    """One repository there. Every method raises UpstreamFailed."""

    async def resolve(self, target: str) -> str:
        """The digest that a tag names now."""

    async def manifest(self, target: str) -> UpstreamManifest:
        """By tag or digest."""

    def blob(self, digest: str, size: int) -> AsyncGenerator[bytes, None]:
        """In chunks, `size` bytes altogether and never more; not compared with the digest. To be closed."""

    async def check(self) -> None:
        """That the registry answers and takes the credentials."""

    def close(self) -> None: ...


class Upstream(Protocol):
    def is_named(self, host: str) -> bool:
        """Whether the operator named this registry (`host` or `host:port`) as one of their own."""

    async def open(self, host: str, repository: str, login: Login | None) -> UpstreamSession:
        """Nothing is asked yet."""

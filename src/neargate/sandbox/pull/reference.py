"""Image references as users write them, and where they lead. Pure.

Owns: the grammar (registry, repository, tag, digest), its bounds and Docker's defaults (docker.io, library/, latest).
Invariant: a parsed reference contains no character that could leave its place in a URL or a header.
"""

import re

from msgspec import Struct

from ...interfaces.sandbox import SandboxError

_LENGTH_MAX = 512
_HOST = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
)
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Reference(Struct, frozen=True, kw_only=True):
    """`registry` is a host with optional port. Exactly what is pulled is `digest` if given, else what `tag` names."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    def __str__(self) -> str:
        text = f"{self.registry}/{self.repository}"
        if self.tag is not None:
            text += f":{self.tag}"
        if self.digest is not None:
            text += f"@{self.digest}"
        return text

    @property
    def name(self) -> str:
        """Registry and repository: what an authorisation is for."""
        return f"{self.registry}/{self.repository}"

    @property
    def target(self) -> str:
        """What stands in the URL of the manifest."""
        return self.digest or self.tag or "latest"

    @property
    def api_host(self) -> str:
        """Docker Hub serves its API under another name than its references say."""
        return "registry-1.docker.io" if self.registry == "docker.io" else self.registry


def parse_reference(text: str) -> Reference:
    """Raises SandboxError with containerd's sentence for what is no reference."""
    name, _, digest = text.partition("@")
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, path = first, rest
    else:
        registry, path = "docker.io", name
    if registry == "index.docker.io":
        registry = "docker.io"
    repository, colon, tag = path.partition(":")
    if registry == "docker.io" and "/" not in repository:
        repository = f"library/{repository}"
    good = (
        len(text) <= _LENGTH_MAX
        and _HOST.fullmatch(registry)
        and _REPOSITORY.fullmatch(repository)
        and (not colon or _TAG.fullmatch(tag))
        and ("@" not in text or _DIGEST.fullmatch(digest))
    )
    if not good:
        raise SandboxError(
            f'CannotPullContainerError: failed to normalize image reference "{text[:_LENGTH_MAX]}": '
            "invalid reference format"
        )
    resolved_tag = tag if colon else (None if digest else "latest")
    return Reference(registry=registry, repository=repository, tag=resolved_tag, digest=digest or None)


def is_digest(text: object) -> bool:
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def is_plain_http(registry: str, insecure_registries: tuple[str, ...]) -> bool:
    """Plain HTTP is for this machine's own registries and for those the operator named (`host` or `host:port`)."""
    host = registry.rsplit(":", 1)[0] if re.search(r":[0-9]+$", registry) else registry
    if host == "localhost" or host == "[::1]" or re.fullmatch(r"127(?:\.[0-9]{1,3}){3}", host):
        return True
    return registry in insecure_registries or host in insecure_registries

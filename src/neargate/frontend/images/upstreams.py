"""Which other registries may be cached, and which rule a repository's name falls under. Pure."""

import re
from collections.abc import Sequence

from msgspec import Struct

from .records import CacheRule

ROOT = "ROOT"  # a prefix: every name that no other rule has
_AZURE = re.compile(r"[a-z0-9]{5,50}\.azurecr\.io", re.ASCII)


class Known(Struct, frozen=True, kw_only=True):
    """`kind`: AWS's name of the registry."""

    kind: str
    needs_login: bool = False


_KNOWN = {
    "public.ecr.aws": Known(kind="ecr-public"),
    "registry.k8s.io": Known(kind="k8s"),
    "quay.io": Known(kind="quay"),
    "registry-1.docker.io": Known(kind="docker-hub", needs_login=True),
    "ghcr.io": Known(kind="github-container-registry", needs_login=True),
    "registry.gitlab.com": Known(kind="gitlab-container-registry", needs_login=True),
    "cgr.dev": Known(kind="chainguard", needs_login=True),
}


def known(host: str) -> Known | None:
    if _AZURE.fullmatch(host):
        return Known(kind="azure-container-registry", needs_login=True)
    return _KNOWN.get(host)


def rule_for(rules: Sequence[CacheRule], name: str) -> tuple[CacheRule, str] | None:
    """The rule with the longest prefix that fits, and the repository's name in the other registry."""
    fitting = [rule for rule in rules if name.startswith(f"{rule.prefix}/")]
    if fitting:
        rule = max(fitting, key=lambda rule: len(rule.prefix))
        return rule, name[len(rule.prefix) + 1 :]
    whole = next((rule for rule in rules if rule.prefix == ROOT), None)
    return None if whole is None else (whole, name)

"""How the reviewed tables say what an operation asks leave for. Pure data; `authorize.py` holds operations to it.

A rule is one IAM action of one operation, the forms of the ARNs it is asked on and the condition keys it tells.
Invariant: a form stands for whole ARNs of one kind; what a caller may name freely is always its last parts.
"""

import functools
import re
from collections.abc import Mapping
from enum import Enum

from msgspec import Struct


class Level(Enum):
    """What an action lets somebody do, in the words of AWS's Service Authorization Reference."""

    LIST = "List"
    READ = "Read"
    WRITE = "Write"
    TAGGING = "Tagging"
    PERMISSIONS = "Permissions management"


class Rule(Struct, frozen=True, kw_only=True):
    """`forms`: as written in the table. `keys`: lower case; one that ends in `/` or `:` stands for a family (of tags).

    `when`: in which requests it is asked; empty for an action that every request of the operation needs.
    """

    action: str
    level: Level
    forms: tuple[str, ...]
    keys: frozenset[str]
    tag_families: tuple[str, ...]  # of the resource: aws:resourcetag/ and the service's own
    when: str = ""

    def knows_resource(self, resource: str) -> bool:
        return _pattern(self.forms).fullmatch(resource) is not None

    def knows_key(self, key: str) -> bool:
        """`key` in lower case."""
        family, slash, _ = key.partition("/")
        if key in self.keys or (slash == "/" and f"{family}/" in self.keys):
            return True
        return any(key.startswith(known) for known in self.keys if known.endswith(":"))


# Operation -> what it asks for. An empty tuple: everybody who can sign may call it, as on AWS.
Actions = Mapping[str, tuple[Rule, ...]]

REQUEST_TAGS = ("aws:RequestTag/", "aws:TagKeys")
_RESOURCE_TAG = "resourcetag/"
# Callers may name ARNs of any partition, region and account: whose they are, policies decide, not the form.
_PARTS = dict.fromkeys(("{partition}", "{region}", "{account}"), "[^:]*")


def rule(action: str, level: Level, *forms: str, keys: tuple[str, ...] = (), when: str = "") -> Rule:
    """`forms`: `*`, a whole ARN, or what follows the account in the ARNs of the action's service."""
    whole = tuple(_whole(action.partition(":")[0], form) for form in forms)
    lower = frozenset(key.lower() for key in keys)
    return Rule(
        action=action,
        level=level,
        forms=whole,
        keys=lower,
        tag_families=tuple(sorted(key for key in lower if key.endswith(_RESOURCE_TAG))),
        when=when,
    )


def _whole(service: str, form: str) -> str:
    if form == "*" or form.startswith("arn:"):
        return form
    return f"arn:{{partition}}:{service}:{{region}}:{{account}}:{form}"


@functools.cache
def _pattern(forms: tuple[str, ...]) -> re.Pattern[str]:
    """Made when a rule is first asked: most rules of a process never are."""
    return re.compile("|".join(_expression(form) for form in forms), re.ASCII | re.DOTALL)


def _expression(form: str) -> str:
    pieces = re.split(r"(\{[a-z]+\})", form)
    return "".join(_PARTS.get(piece, ".*") if piece.startswith("{") else re.escape(piece) for piece in pieces)

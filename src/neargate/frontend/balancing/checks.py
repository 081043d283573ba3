"""Names and tags as ELBv2 takes them, for every kind of thing. Pure."""

import re
from collections.abc import Mapping, Sequence

from ..network.records.objects import Tags
from .errors import DuplicateTagKeys, TooManyTags, ValidationError
from .limits import TAGS_MAX

NAME_MAX_CHARS = 32
_NAME = re.compile(r"[A-Za-z0-9-]+", re.ASCII)
_HYPHENS = re.compile(r"--|^-|-$")
_TAG = re.compile(r"[\w .:/=+@-]*")


def check_group_name(name: str) -> None:
    """Raises ValidationError."""
    check_characters("Target group", name)
    if _HYPHENS.search(name) is not None:
        raise ValidationError(
            f"1 validation error detected: Value '{name}' at 'targetGroup.targetGroupArn.targetGroupName' failed to "
            "satisfy constraint: Member must satisfy regular expression pattern: "
            "(?!.*--)(?!^-)(?!.*-$)^[A-Za-z0-9-]+$"
        )


def check_balancer_name(name: str) -> None:
    """Raises ValidationError."""
    check_characters("Load balancer", name)
    if name[0] == "-" or name[-1] == "-":
        raise ValidationError(f"Load balancer name '{name}' cannot begin or end with a hyphen(-)")
    if name.startswith("internal-"):
        raise ValidationError(f"Load balancer name '{name}' cannot begin with 'internal-'")


def check_characters(kind: str, name: str) -> None:
    """`kind`: as sentences begin. Raises ValidationError."""
    shown = f"{kind} name '{name[:255]}'"
    if not name:
        raise ValidationError(f"{kind} name cannot be empty")
    if len(name) > NAME_MAX_CHARS:
        raise ValidationError(f"{shown} cannot be longer than '{NAME_MAX_CHARS}' characters")
    if _NAME.fullmatch(name) is None:
        raise ValidationError(f"{shown} can only contain characters that are alphanumeric characters or hyphens(-)")


def tags_given(given: Sequence[Mapping[str, str]]) -> Tags:
    """In their order. Raises DuplicateTagKeys, TooManyTags, ValidationError."""
    tags: dict[str, str] = {}
    for one in given:
        key, value = one["Key"], one.get("Value") or ""
        if key in tags:
            raise DuplicateTagKeys
        if key.lower().startswith("aws:"):
            raise ValidationError("Tag keys that begin with 'aws:' are reserved for internal use")
        if not key or _TAG.fullmatch(key) is None or _TAG.fullmatch(value) is None:
            raise ValidationError(f"The tag '{key[:128]}' has characters that tags cannot have")
        tags[key] = value
    return checked_tags(tags)


def tagged(have: Tags, given: Tags) -> Tags:
    """Raises TooManyTags."""
    return checked_tags(dict(have) | dict(given))


def checked_tags(tags: Mapping[str, str]) -> Tags:
    """Raises TooManyTags."""
    if len(tags) > TAGS_MAX:
        raise TooManyTags
    return tuple(tags.items())

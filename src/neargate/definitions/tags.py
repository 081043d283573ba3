"""Tags of ECS resources.

Owns their limits and words. Invariant: what passes are at most fifty pairs with distinct keys.
"""

from collections.abc import Sequence
from typing import Any

from ..model.errors import InvalidParameter
from .reading import Document

TAGS_MAX = 50
KEY_MAX_CHARS = 128
VALUE_MAX_CHARS = 256

Tags = tuple[tuple[str, str], ...]


def checked_tags(tags: Sequence[Document] | None) -> Tags:
    """Raises InvalidParameterException. The pairs in the order given."""
    pairs: dict[str, str] = {}
    for tag in tags or ():
        key, value = tag.get("key"), tag.get("value") or ""
        if not key:
            raise InvalidParameter("Tag key should not be null or empty.")
        if len(key) > KEY_MAX_CHARS or len(value) > VALUE_MAX_CHARS:
            raise InvalidParameter(
                f"Tag keys have at most {KEY_MAX_CHARS} and tag values at most {VALUE_MAX_CHARS} characters."
            )
        if key.lower().startswith("aws:") or value.lower().startswith("aws:"):
            raise InvalidParameter("Tag keys and values cannot start with 'aws:'. It is reserved for AWS use.")
        if key in pairs:
            raise InvalidParameter(f"Duplicate tag key '{key}'.")
        pairs[key] = value
    if len(pairs) > TAGS_MAX:
        raise InvalidParameter(f"The number of tags exceeds the limit of {TAGS_MAX}.")
    return tuple(pairs.items())


def wire_tags(tags: Tags) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in tags]

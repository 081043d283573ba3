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
        if is_reserved(key) or is_reserved(value):
            raise InvalidParameter("Tag keys and values cannot start with 'aws:'. It is reserved for AWS use.")
        if key in pairs:
            raise InvalidParameter(f"Duplicate tag key '{key}'.")
        pairs[key] = value
    check_count(tuple(pairs))
    return tuple(pairs.items())


def merged_tags(present: Tags, given: Tags) -> Tags:
    """`given` over `present`, each key in the place it had. Raises InvalidParameterException beyond the limit."""
    merged = tuple({**dict(present), **dict(given)}.items())
    check_count(tuple(key for key, _ in merged))
    return merged


def without_tags(present: Tags, keys: Sequence[str]) -> Tags:
    """Raises InvalidParameterException for AWS's own. A key that is not there is no error."""
    if any(is_reserved(key) for key in keys):
        raise InvalidParameter("Tag keys and values cannot start with 'aws:'. It is reserved for AWS use.")
    return tuple(pair for pair in present if pair[0] not in keys)


def check_count(keys: Sequence[str]) -> None:
    """AWS's own tags do not count."""
    if sum(not is_reserved(key) for key in keys) > TAGS_MAX:
        raise InvalidParameter(f"The number of tags exceeds the limit of {TAGS_MAX}.")


def is_reserved(text: str) -> bool:
    return text.lower().startswith("aws:")


def wire_tags(tags: Tags) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in tags]

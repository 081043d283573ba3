"""Which secrets a list's filters choose: every filter must match, one of its values is enough, `!` turns one round.

Values match beginnings: of names and tags as they are written, of words of descriptions in any case. Pure.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ...secrets.errors import SecretInvalid
from ...secrets.records import Secret

_REGION = "primary-region"


def matching(secrets: Sequence[Secret], filters: Sequence[dict[str, Any]]) -> list[Secret]:
    """Raises SecretInvalid for a filter without key or values."""
    tests = [_test(one) for one in filters]
    return [secret for secret in secrets if all(test(secret) for test in tests)]


def _test(given: dict[str, Any]) -> Callable[[Secret], bool]:
    key, values = given.get("Key"), given.get("Values")
    if not key or not values:
        raise SecretInvalid("A filter needs a key and values.")
    wanted = [value for value in values if not value.startswith("!")]
    unwanted = [value[1:] for value in values if value.startswith("!")]

    def holds(secret: Secret) -> bool:
        if any(_matches(secret, key, value) for value in unwanted):
            return False
        return not wanted or any(_matches(secret, key, value) for value in wanted)

    return holds


def _matches(secret: Secret, key: str, value: str) -> bool:
    if key == "all":
        words = value.lower().split() or [value.lower()]
        texts = [text.lower() for text in _texts(secret)]
        return any(_begins(text, word) for word in words for text in texts)
    if key == "name":
        return secret.name.startswith(value)
    if key == "description":
        return _begins((secret.description or "").lower(), value.lower())
    if key == "tag-key":
        return any(name.startswith(value) for name, _ in secret.tags)
    if key == "tag-value":
        return any(text.startswith(value) for _, text in secret.tags)
    return key == _REGION and secret.region.startswith(value)  # no secret here is owned by a service


def _texts(secret: Secret) -> Iterator[str]:
    yield secret.name
    yield secret.description or ""
    for name, value in secret.tags:
        yield name
        yield value


def _begins(text: str, start: str) -> bool:
    """The text, or a word in it."""
    return text.startswith(start) or f" {start}" in text

"""Small helpers shared by the rules: reading optional members of wire documents and wording common refusals.

Knows no rule. Invariant: an absent member, null and an empty collection mean the same, as they do on AWS.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..model.errors import ClientError

Document = Mapping[str, Any]

NAME = re.compile(r"\A[A-Za-z0-9_-]{1,255}\Z")


def members(document: Document, name: str) -> Sequence[Document]:
    """A list of structures; empty when it is absent."""
    return document.get(name) or ()


def words(document: Document, name: str) -> Sequence[str]:
    """A list of strings; empty when it is absent."""
    return document.get(name) or ()


def structure(document: Document, name: str) -> Document:
    return document.get(name) or {}


def check_between(container: str, setting: str, value: int | None, low: int, high: int) -> None:
    """Raises ClientException in AWS's words for a number out of its bounds; absent is right."""
    if value is not None and not low <= value <= high:
        raise ClientError(f"the '{setting}' setting for container '{container}' must be between {low} and {high}")


def invalid_setting(container: str, setting: str) -> ClientError:
    return ClientError(f"Invalid '{setting}' setting for container '{container}'.")


def not_yet(what: str) -> ClientError:
    """For what AWS accepts and Neargate does not have: an honest refusal instead of a silent success."""
    return ClientError(f"Neargate does not support {what} yet.")


def is_absolute_path(text: str) -> bool:
    """A path inside a container: absolute, not the root itself, without `..`."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    return text.startswith("/") and bool(parts) and ".." not in parts and len(text) <= 4096


def has_null_character(value: Any) -> bool:
    """Anywhere in it: neither the kernel's strings nor a log line can carry one, so it could not take effect."""
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, Mapping):
        return any(has_null_character(key) or has_null_character(item) for key, item in value.items())
    if isinstance(value, Sequence):
        return any(has_null_character(item) for item in value)
    return False

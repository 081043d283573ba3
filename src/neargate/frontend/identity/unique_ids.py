"""Identifiers and secrets of IAM's form: a prefix that says what it is, then upper-case letters and digits. Pure."""

from ...model.ids import Bits

USER, ROLE, GROUP, POLICY, PROFILE, KEY = "AIDA", "AROA", "AGPA", "ANPA", "AIPA", "AKIA"

_ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def unique_id(prefix: str, bits: Bits) -> str:
    """21 characters; access key ids have 20."""
    length = 16 if prefix == KEY else 17
    value = bits(5 * length)
    return prefix + "".join(_ID_LETTERS[value >> 5 * place & 31] for place in range(length))


def secret_access_key(bits: Bits) -> str:
    """40 characters. The first is a letter or digit: where one types it, it must not look like an option or a path."""
    value = bits(6 * 39)
    return _LETTERS[bits(64) % 62] + "".join(_LETTERS[value >> 6 * place & 63] for place in range(39))

"""Strings of users in HAProxy's configuration. Every one of them is hostile.

Two ways in, and no third: a word in strong quotes, where nothing has a meaning but the quote itself, and which these
functions fill from an alphabet without it; or the content of a file of its own. What is compared becomes a regular
expression in which all but letters and digits is written as its number.
"""

import re

_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&*+.^_`|~-]+")  # RFC 7230's, without the quote that would end the word
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
# Of RFC 3986, without what has a meaning for the configuration or for a header.
_URL = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&()*+,;=:@/?")


def quoted(text: str) -> str:
    """One word. The text is of an alphabet that the caller knows: no quote and no control character can be in it."""
    assert "'" not in text and text.isprintable(), "a word that could end early"
    return f"'{text}'"


def is_plain(text: str) -> bool:
    """Means the same as a string and as a pattern, and is no option."""
    return _PLAIN.fullmatch(text) is not None and not text.startswith("-")


def is_token(text: str) -> bool:
    """A header's or a method's name that can be asked for."""
    return _TOKEN.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """A cookie's name that can be asked for."""
    return _NAME.fullmatch(text) is not None


def matching(pattern: str, *, any_character: str = ".", begin: str = "^", end: str = "$") -> str:
    """The regular expression of a pattern in which `*` and `?` are wild, in linear time.

    Each part between two `*` is taken where it comes first and never looked for again: where parts have a fixed length
    nothing is missed by that, and no path makes the search long. `any_character`: what the wild ones stand for.
    """
    first, *others = ("".join(_piece(letter, any_character) for letter in part) for part in pattern.split("*"))
    if not others:
        return f"{begin}{first}{end}"
    between = "".join(f"(?>{any_character}*?{part})" for part in others[:-1] if part)
    return f"(?s){begin}{first}{between}{any_character}*{others[-1]}{end}"


def _piece(letter: str, any_character: str) -> str:
    if letter == "?":
        return any_character
    if letter.isascii() and letter.isalnum():
        return letter
    return "".join(f"\\x{byte:02x}" for byte in letter.encode(errors="replace"))


def url_part(text: str) -> str:
    """A part of a URL as it goes into a header: what a URL cannot have is written as its number."""
    return "".join(_url_byte(byte) for byte in text.encode(errors="replace"))


def _url_byte(byte: int) -> str:
    return chr(byte) if byte in _URL or byte == 0x25 else f"%{byte:02X}"


def in_format(text: str) -> str:
    """As a part of one of HAProxy's formats, where `%` begins what is filled in."""
    return text.replace("%", "%%")

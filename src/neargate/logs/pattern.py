"""Filter patterns of FilterLogEvents, as far as they are plain terms: a pure parser and matcher.

`a b` both, `"a b"` the phrase, `-a` not, `?a ?b` either (ignored beside other terms, as on AWS). Case counts. Patterns
of JSON, space-delimited fields and regular expressions are refused, never taken for text.
"""

import re

from msgspec import Struct

from ..model.errors import InvalidParameter

_TERM = re.compile(r'\s*([-?]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?=\s|\Z)')


class Pattern(Struct, frozen=True, kw_only=True):
    required: tuple[str, ...] = ()
    either: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    def matches(self, message: str) -> bool:
        if any(term not in message for term in self.required) or any(term in message for term in self.excluded):
            return False
        return not self.either or any(term in message for term in self.either)

    def may_match(self, body: bytes) -> bool:
        """False only when no line of the body can match: spares splitting it."""
        if any(term.encode() not in body for term in self.required):
            return False
        return not self.either or any(term.encode() in body for term in self.either)

    @property
    def matches_all(self) -> bool:
        return not (self.required or self.either or self.excluded)


def parse_pattern(text: str) -> Pattern:
    """Raises InvalidParameter."""
    text = text.strip()
    if text.startswith(("{", "[", "%")):
        raise InvalidParameter(
            f"Invalid filter pattern. Patterns that begin with {text[0]} (JSON, space-delimited, regular expression) "
            "are not supported."
        )
    terms: dict[str, list[str]] = {"": [], "?": [], "-": []}
    at = 0
    while at < len(text):
        found = _TERM.match(text, at)
        if found is None:
            raise InvalidParameter("Invalid filter pattern")
        term = re.sub(r"\\(.)", r"\1", found[2]) if found[2] is not None else found[3]
        if term:
            terms[found[1]].append(term)
        at = found.end()
    either = () if terms[""] or terms["-"] else tuple(terms["?"])
    return Pattern(required=tuple(terms[""]), either=either, excluded=tuple(terms["-"]))

"""Filter patterns of FilterLogEvents and live tails: which of three languages it is, and the one of plain terms.

`a b` both, `"a b"` the phrase, `-a` not, `?a ?b` either (ignored beside other terms, as on AWS), `%re%` a regular
expression. Case counts. `{ ... }` is JSON's (pattern_json.py), `[ ... ]` that of fields (pattern_fields.py). Pure.
Invariant: matching takes time in proportion to the message; what is no pattern is refused, never taken for text.
"""

import re
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from ..model.errors import InvalidParameter
from ..regex.linear import LinearRegex
from .pattern_fields import FieldsPattern, read_fields
from .pattern_json import JsonPattern, read_json
from .pattern_values import BadPattern, Expressions

_TERM = re.compile(r'\s*([-?]?)(?:"((?:[^"\\]|\\.)*)"|%([^%]*)%|((?!%)[^\s"]+))(?=\s|\Z)')
_NO_WORD = re.compile(r"\W")  # what only a term in double quotes may have
TEXT_MAX = 1024


class Matcher(Protocol):
    """May raise TooComplex (regex/linear.py) for an expression that would take too long."""

    @property
    def matches_all(self) -> bool: ...

    def matches(self, message: str) -> bool: ...

    def may_match(self, body: bytes) -> bool:
        """False only when no line of the body can match: spares splitting it."""

    def extracted(self, message: str) -> Mapping[str, str]:
        """Of a message that matches: what the pattern names in it."""


class Pattern(Struct, frozen=True, kw_only=True):
    required: tuple[str, ...] = ()
    either: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    expressions: tuple[LinearRegex, ...] = ()

    def matches(self, message: str) -> bool:
        if any(term not in message for term in self.required) or any(term in message for term in self.excluded):
            return False
        if self.either and not any(term in message for term in self.either):
            return False
        return all(expression.found_in(message) for expression in self.expressions)

    def may_match(self, body: bytes) -> bool:
        if any(term.encode() not in body for term in self.required):
            return False
        return not self.either or any(term.encode() in body for term in self.either)

    @property
    def matches_all(self) -> bool:
        return not (self.required or self.either or self.excluded or self.expressions)

    def extracted(self, message: str) -> Mapping[str, str]:
        del message
        return {}


def parse_pattern(text: str) -> Pattern | JsonPattern | FieldsPattern:
    """Raises InvalidParameter."""
    text = text.strip()
    if len(text) > TEXT_MAX:
        raise InvalidParameter("Invalid filter pattern")
    try:
        if text.startswith("{"):
            return read_json(text)
        if text.startswith("["):
            return read_fields(text)
        return _read_terms(text)
    except BadPattern as bad:
        raise InvalidParameter(f"Invalid filter pattern{bad}") from None


def _read_terms(text: str) -> Pattern:
    terms: dict[str, list[str]] = {"": [], "?": [], "-": []}
    expressions = Expressions()
    found_expressions: list[LinearRegex] = []
    at = 0
    while at < len(text):
        found = _TERM.match(text, at)
        if found is None:
            raise BadPattern
        at = found.end()
        if found[3] is not None:
            if found[1]:
                raise BadPattern
            found_expressions.append(expressions.read(found[3]))
            continue
        if found[4] is not None and _NO_WORD.search(found[4]):
            raise BadPattern(f": Invalid character(s) in term '{found[1]}{found[4]}'")
        term = re.sub(r"\\(.)", r"\1", found[2]) if found[2] is not None else found[4]
        if term:
            terms[found[1]].append(term)
    either = () if terms[""] or terms["-"] or found_expressions else tuple(terms["?"])
    return Pattern(
        required=tuple(terms[""]),
        either=either,
        excluded=tuple(terms["-"]),
        expressions=tuple(found_expressions),
    )

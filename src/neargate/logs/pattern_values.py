"""What the filter patterns of JSON and of fields share: words, values, comparisons, conditions joined by && and ||.

Pure. A value is a number, a text with `*` for anything, or `%a regular expression%`, at most two of which may be in a
pattern as on AWS. Invariant: comparing takes time in proportion to the text.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Struct

from ..regex.linear import LinearRegex
from ..regex.syntax import BadRegex

EXPRESSIONS_MAX = 2
_DEPTH_MAX = 30
_EXPRESSION = re.compile(r"(?:[A-Za-z0-9 _#=@/;,:\-^$?\[\]{}|*+.]|\\[\x20-\x7e])+", re.ASCII)
_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,300}(?:\.[0-9]{0,300})?|\.[0-9]{1,300})(?:[eE][-+]?[0-9]{1,4})?", re.ASCII)
ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


Leaf = TypeVar("Leaf")


class BadPattern(Exception):
    """The text is no filter pattern."""


class Expressions:
    """Makes a pattern's regular expressions, of which there are few."""

    def __init__(self) -> None:
        self._count = 0

    def read(self, text: str) -> LinearRegex:
        self._count += 1
        if self._count > EXPRESSIONS_MAX or not _EXPRESSION.fullmatch(text):
            raise BadPattern
        try:
            return LinearRegex(text)
        except BadRegex as bad:
            raise BadPattern(f": {bad}") from None


class Value(Struct, frozen=True, kw_only=True):
    """`number`: of a word that is one. `parts`: the text cut at its stars."""

    parts: tuple[str, ...] = ()
    number: float | None = None
    expression: LinearRegex | None = None

    def fits(self, text: str) -> bool:
        if self.expression is not None:
            return self.expression.found_in(text)
        return _has_parts(text, self.parts)


def _has_parts(text: str, parts: tuple[str, ...]) -> bool:
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return text == first
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in parts[1:-1]:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def number_of(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


class Joined(Struct, frozen=True, kw_only=True):
    """Conditions of which one (`any_of`) or each must hold. A leaf is whatever the language's own condition is."""

    any_of: bool
    parts: tuple[object, ...]


def holds(condition: object, decide: Callable[[Leaf], bool], leaf: type[Leaf]) -> bool:
    if isinstance(condition, Joined):
        results = (holds(part, decide, leaf) for part in condition.parts)
        return any(results) if condition.any_of else all(results)
    assert isinstance(condition, leaf)
    return decide(condition)


class Words:
    """A pattern's text as words: signs, quoted texts, regular expressions, and what is between them."""

    _WORD = re.compile(
        r'\s*(?:(?P<sign>&&|\|\||!=|<=|>=|[=<>()\[\]{},])|"(?P<quoted>(?:[^"\\]|\\.)*)"|%(?P<expression>[^%]*)%'
        r"|(?P<plain>[^\s&|!=<>(){}\[\],\"%]+(?:\[[^\]]*\][^\s&|!=<>(){}\[\],\"%]*)*))"
    )

    def __init__(self, text: str) -> None:
        self._words: list[tuple[str, str]] = []
        self._at = 0
        at = 0
        text = text.rstrip()
        while at < len(text):
            found = self._WORD.match(text, at)
            if found is None or found.lastgroup is None:
                raise BadPattern
            self._words.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()
        self._expressions = Expressions()

    def peek(self) -> tuple[str, str]:
        return self._words[self._at] if self._at < len(self._words) else ("end", "")

    def take(self) -> tuple[str, str]:
        self._at += 1
        return self._words[self._at - 1] if self._at <= len(self._words) else ("end", "")

    def skip(self, sign: str) -> bool:
        """Whether this sign, or plain word, was next; then it is taken."""
        kind, text = self.peek()
        found = text == sign and kind in ("sign", "plain")
        self._at += found
        return found

    def need(self, sign: str) -> None:
        if not self.skip(sign):
            raise BadPattern

    def value(self) -> Value:
        kind, text = self.take()
        match kind:
            case "expression":
                return Value(expression=self._expressions.read(text))
            case "quoted":
                return Value(parts=tuple(re.sub(r"\\(.)", r"\1", text).split("*")))
            case "plain":
                return Value(parts=tuple(text.split("*")), number=number_of(text))
        raise BadPattern

    def condition(self, leaf: Callable[["Words"], object], depth: int = 0) -> object:
        """`a && b || c`, with parentheses; && binds closer."""
        return self._joined("||", lambda: self._joined("&&", lambda: self._one(leaf, depth)))

    def _joined(self, sign: str, read: Callable[[], object]) -> object:
        parts: list[object] = [read()]
        while self.skip(sign):
            parts.append(read())
        return parts[0] if len(parts) == 1 else Joined(any_of=sign == "||", parts=tuple(parts))

    def _one(self, leaf: Callable[["Words"], object], depth: int) -> object:
        if not self.skip("("):
            return leaf(self)
        if depth >= _DEPTH_MAX:
            raise BadPattern
        found = self.condition(leaf, depth + 1)
        self.need(")")
        return found


def leaves(condition: object, leaf: type[Leaf]) -> Sequence[Leaf]:
    if isinstance(condition, Joined):
        return [found for part in condition.parts for found in leaves(part, leaf)]
    return [condition] if isinstance(condition, leaf) else []

"""Filter patterns of JSON messages: `{ $.a.b = 1 && ($.c[0] = "x*" || $.d IS NULL) }`. Pure.

A message that is no JSON never matches, and a property that is not there fits no comparison, != neither; only
NOT EXISTS asks for its absence. Invariant: one message is read once, however many conditions look into it.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from .pattern_values import ORDERS, BadPattern, Value, Words, holds, leaves

_STEP = re.compile(r"""\.(?:([\w\-@:/]+)|(\*))|\[(?:([0-9]{1,9})|(\*)|'([^']+)'|"([^"]+)")\]""")
_WILD_SELECTORS_MAX = 3  # AWS's: as many in a pattern, with one star each
_FOUND_MAX = 10_000  # values that one star may stand for
_IS = {"TRUE": True, "FALSE": False, "NULL": None}


class Condition(Struct, frozen=True, kw_only=True):
    """`path`: names, indices, and None for a star. `test`: an operator, `IS` or `NOT EXISTS`."""

    selector: str
    path: tuple[str | int | None, ...]
    test: str
    value: Value | None = None
    constant: bool | None = None

    def holds_in(self, document: Any) -> bool:
        found = _reached(document, self.path)
        if self.test == "NOT EXISTS":
            return not found
        return any(self._fits(one) for one in found)

    def _fits(self, found: Any) -> bool:
        if self.test == "IS":
            return found is self.constant
        if self.value is None or isinstance(found, bool | list | dict) or found is None:
            return False
        number = self.value.number
        if self.test in ORDERS:
            return number is not None and not isinstance(found, str) and ORDERS[self.test](found, number)
        if isinstance(found, str):
            equal = self.value.fits(found)
        else:
            equal = found == number if number is not None else self.value.fits(_shown(found))
        return equal if self.test == "=" else not equal


class JsonPattern(Struct, frozen=True, kw_only=True):
    condition: object

    @property
    def matches_all(self) -> bool:
        return False

    def may_match(self, body: bytes) -> bool:
        return b"{" in body or b"[" in body

    def matches(self, message: str) -> bool:
        document = _read(message)
        if document is None:
            return False
        return holds(self.condition, lambda condition: condition.holds_in(document), Condition)

    def extracted(self, message: str) -> Mapping[str, str]:
        document = _read(message)
        found: dict[str, str] = {}
        for condition in leaves(self.condition, Condition):
            for value in _reached(document, condition.path)[:1]:
                found[condition.selector] = _shown(value)
        return found


def read_json(text: str) -> JsonPattern:
    """Raises BadPattern."""
    words = Words(text)
    words.need("{")
    condition = words.condition(_read_condition)
    words.need("}")
    wild = sum(None in one.path for one in leaves(condition, Condition))
    if words.peek()[0] != "end" or wild > _WILD_SELECTORS_MAX:
        raise BadPattern
    return JsonPattern(condition=condition)


def _read_condition(words: Words) -> Condition:
    kind, selector = words.take()
    if kind != "plain" or not selector.startswith("$"):
        raise BadPattern
    path = _read_path(selector)
    if words.skip("IS"):
        kind, constant = words.take()
        if kind != "plain" or constant not in _IS:
            raise BadPattern
        return Condition(selector=selector, path=path, test="IS", constant=_IS[constant])
    if words.skip("NOT"):
        words.need("EXISTS")
        return Condition(selector=selector, path=path, test="NOT EXISTS")
    kind, test = words.take()
    if kind != "sign" or test not in ("=", "!=", *ORDERS):
        raise BadPattern
    value = words.value()
    if test in ORDERS and value.number is None:
        raise BadPattern
    return Condition(selector=selector, path=path, test=test, value=value)


def _read_path(selector: str) -> tuple[str | int | None, ...]:
    path: list[str | int | None] = []
    at = 1
    while at < len(selector):
        found = _STEP.match(selector, at)
        if found is None:
            raise BadPattern
        name = found[1] or found[5] or found[6]
        path.append(int(found[3]) if found[3] else name)
        at = found.end()
    if not path or path.count(None) > 1:
        raise BadPattern
    return tuple(path)


def _reached(document: Any, path: tuple[str | int | None, ...]) -> list[Any]:
    found = [document]
    for step in path:
        onward: list[Any] = []
        for one in found:
            if step is None and isinstance(one, list | dict):
                onward += list(one.values() if isinstance(one, dict) else one)[:_FOUND_MAX]
            elif _has(one, step):
                onward.append(one[step])
        found = onward
    return found


def _has(found: Any, step: str | int | None) -> bool:
    if isinstance(step, int):
        return isinstance(found, list) and step < len(found)
    return isinstance(found, dict) and step in found


def _read(message: str) -> Any:
    """None for what is no JSON object or list."""
    if message.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()

"""Filter patterns of messages whose fields are apart by blanks: `[ip, user, ..., status = 4*, bytes > 1000]`. Pure.

What is in quotes or brackets is one field. Without `...`, which stands for any number of fields, a message must have
as many as the pattern names. Invariant: a message is cut in one pass, whatever quotes and brackets it leaves open.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from .pattern_values import ORDERS, BadPattern, Value, Words, holds, number_of

_NAME = re.compile(r"[A-Za-z0-9_\-]+")
_FIRST = re.compile(r"\S")
_FIELD = re.compile(r"\S+")
_CLOSING = {'"': '"', "[": "]"}


class FieldCondition(Struct, frozen=True, kw_only=True):
    test: str
    value: Value

    def holds_in(self, field: str) -> bool:
        number = self.value.number
        found = number_of(field) if number is not None else None
        if self.test in ORDERS:
            return found is not None and number is not None and ORDERS[self.test](found, number)
        equal = found == number if found is not None else self.value.fits(field)
        return equal if self.test == "=" else not equal


class Field(Struct, frozen=True, kw_only=True):
    name: str
    condition: object = None

    def holds_in(self, text: str) -> bool:
        if self.condition is None:
            return True
        return holds(self.condition, lambda one: one.holds_in(text), FieldCondition)


class FieldsPattern(Struct, frozen=True, kw_only=True):
    """`rest`: where `...` was, as the number of fields before it; None without."""

    fields: tuple[Field, ...]
    rest: int | None

    @property
    def matches_all(self) -> bool:
        return False

    def may_match(self, body: bytes) -> bool:
        del body
        return True

    def matches(self, message: str) -> bool:
        found = self._matched(message)
        return found is not None and all(field.holds_in(text) for field, text in zip(self.fields, found, strict=True))

    def extracted(self, message: str) -> Mapping[str, str]:
        found = self._matched(message) or []
        return {f"${field.name}": text for field, text in zip(self.fields, found, strict=False)}

    def _matched(self, message: str) -> list[str] | None:
        """The message's field of each of the pattern's, when there are as many as there should be."""
        found = _cut(message)
        if self.rest is None:
            return found if len(found) == len(self.fields) else None
        if len(found) < len(self.fields):
            return None
        after = len(self.fields) - self.rest
        return found[: self.rest] + found[len(found) - after :]


def read_fields(text: str) -> FieldsPattern:
    """Raises BadPattern."""
    words = Words(_apart(text))
    fields: list[Field] = []
    rest: int | None = None
    words.need("[")
    while True:
        if words.skip("..."):
            if rest is not None:
                raise BadPattern
            rest = len(fields)
        else:
            fields.append(_read_field(words, len(fields)))
        if not words.skip(","):
            break
    words.need("]")
    if words.peek()[0] != "end":
        raise BadPattern
    return FieldsPattern(fields=tuple(fields), rest=rest)


def _apart(text: str) -> str:
    """The words of the common reader take `a[0]` for one word; here the last bracket ends the pattern."""
    if not text.endswith("]"):
        raise BadPattern
    return f"{text[:-1]} ]"


def _read_field(words: Words, number: int) -> Field:
    """`name`, `name = value`, `name = value || name > value`; a field may have no name."""
    if words.peek() in (("sign", ","), ("sign", "]")):
        return Field(name=f"{number + 1}")
    kind, name = words.peek()
    if kind == "plain":
        words.take()
        if not _NAME.fullmatch(name):
            raise BadPattern
        if words.peek() in (("sign", ","), ("sign", "]")):
            return Field(name=name)
    else:
        name = f"{number + 1}"
    first = [kind == "plain"]

    def read(words: Words) -> FieldCondition:
        if not first[0] and words.peek()[0] == "plain":
            words.take()  # the field's name, again
        first[0] = False
        kind, test = words.take()
        if kind != "sign" or test not in ("=", "!=", *ORDERS):
            raise BadPattern
        value = words.value()
        if test in ORDERS and value.number is None:
            raise BadPattern
        return FieldCondition(test=test, value=value)

    return Field(name=name, condition=words.condition(read))


def _cut(message: str) -> list[str]:
    """A message's fields, without their quotes and brackets."""
    fields: list[str] = []
    unclosed: set[str] = set()
    at = 0
    while (found := _FIRST.search(message, at)) is not None:
        begin, opening = found.start(), found[0]
        closing = _CLOSING.get(opening)
        end = -1
        if closing is not None and opening not in unclosed:
            end = message.find(closing, begin + 1)
            while opening == '"' and end > 0 and message[end - 1] == "\\":
                end = message.find(closing, end + 1)
            if end < 0:
                unclosed.add(opening)
        if end < 0:
            at = _end_of_field(message, begin)
            fields.append(message[begin:at])
        else:
            fields.append(message[begin + 1 : end])
            at = end + 1
    return fields


def _end_of_field(message: str, begin: int) -> int:
    found = _FIELD.match(message, begin)
    return found.end() if found is not None else begin + 1

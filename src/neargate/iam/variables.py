"""Policy variables: `${aws:username}`, with a default `${aws:PrincipalTag/team, 'none'}`, and `${*}`, `${?}`, `${$}`.

Names are case-insensitive. A key with several values has no value here: which one was meant cannot be known.
"""

from collections.abc import Iterator

from msgspec import Struct

from .request import Keys

_ESCAPES = {"*", "?", "$"}


class Variable(Struct, frozen=True, kw_only=True):
    name: str  # lower case
    written: str
    default: str | None

    def value(self, keys: Keys) -> str | None:
        values = keys.get(self.name)
        if not values:
            return self.default
        return values[0] if len(values) == 1 else None


def has_variables(text: str) -> bool:
    return "${" in text


def names(text: str) -> list[str]:
    """The keys that a text refers to, as written. Raises ValueError."""
    return [piece.written for piece, _ in pieces(text) if isinstance(piece, Variable)]


def pieces(text: str) -> Iterator[tuple[str | Variable, bool]]:
    """In order: (piece, whether it stands for itself). Raises ValueError for what is not closed or not named."""
    at = 0
    while (begin := text.find("${", at)) >= 0:
        if begin > at:
            yield text[at:begin], False
        end = _closing(text, begin + 2)
        inner = text[begin + 2 : end]
        if inner in _ESCAPES:
            yield inner, True
        else:
            yield _variable(inner), False
        at = end + 1
    if at < len(text):
        yield text[at:], False


def _closing(text: str, at: int) -> int:
    """Where the brace is closed; one inside a quoted default closes nothing."""
    quoted = False
    for index in range(at, len(text)):
        if text[index] == "'":
            quoted = not quoted
        elif text[index] == "}" and not quoted:
            return index
    raise ValueError(f"variable is not closed: {text[at - 2 :]}")


def _variable(inner: str) -> Variable:
    name, comma, rest = inner.partition(",")
    name, rest = name.strip(), rest.strip()
    if not name or any(char in name for char in " ${}'*?"):
        raise ValueError(f"not a variable: {inner}")
    if not comma:
        return Variable(name=name.lower(), written=name, default=None)
    if len(rest) < 2 or rest[0] != "'" or rest[-1] != "'" or "'" in rest[1:-1]:
        raise ValueError(f"not a default: {inner}")
    return Variable(name=name.lower(), written=name, default=rest[1:-1])

"""An event's place, and the tokens and ids that show it to clients.

A `Position` is (timestamp ms, event number); numbers begin at 1, so `(t, 0)` lies before all events of millisecond t.
Tokens are hostile input: what does not have our form is refused.
"""

import re
from typing import NamedTuple

from ..model.errors import InvalidParameter

_NUMBER_BITS = 64
_TOKEN = re.compile(r"\A([fb])/([0-9]{56})(?:/s)?\Z")
TIMESTAMP_MAX = (1 << 53) - 1


class Position(NamedTuple):
    timestamp: int
    number: int


BEGIN = Position(-1, 0)
END = Position(TIMESTAMP_MAX + 1, 0)


class Token(NamedTuple):
    """Go on strictly after (`forward`) or strictly before the position."""

    forward: bool
    position: Position


def event_id(timestamp: int, number: int) -> str:
    """56 digits, as CloudWatch Logs' ids; equal for the same event in every answer."""
    return f"{(timestamp << _NUMBER_BITS) | number:056d}"


def show_token(forward: bool, position: Position) -> str:
    number = (max(position.timestamp, 0) << _NUMBER_BITS) | max(position.number, 0)
    return f"{'f' if forward else 'b'}/{number:056d}/s"


def read_token(text: str) -> Token:
    """Raises InvalidParameter."""
    found = _TOKEN.match(text)
    value = int(found[2]) if found else -1
    timestamp = value >> _NUMBER_BITS
    if found is None or timestamp > TIMESTAMP_MAX + 1:
        raise InvalidParameter("The specified nextToken is invalid.")
    number = min(value & ((1 << _NUMBER_BITS) - 1), (1 << 62))  # what SQLite can compare
    return Token(found[1] == "f", Position(timestamp, number))

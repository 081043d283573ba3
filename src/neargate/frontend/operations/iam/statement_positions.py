"""Where in a policy's text its statements are, for the simulator's results. Pure; the text is a valid policy."""

import json
import re

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()

Position = dict[str, int]  # Line, Column; both from 1
Span = tuple[Position, Position]


def positions(document: str) -> list[Span]:
    """Of each statement's first character, and of the one behind its last."""
    return [(_position(document, start), _position(document, end)) for start, end in _spans(document)]


def _spans(document: str) -> list[tuple[int, int]]:
    at = _skip(document, document.index("{") + 1)
    while True:
        name, at = _DECODER.raw_decode(document, at)
        at = _skip(document, _skip(document, at) + 1)  # behind the colon
        if name == "Statement":
            return _elements(document, at)
        _, at = _DECODER.raw_decode(document, at)
        at = _skip(document, _skip(document, at) + 1)  # behind the comma


def _elements(document: str, at: int) -> list[tuple[int, int]]:
    if document[at] != "[":
        return [(at, _DECODER.raw_decode(document, at)[1])]
    found = []
    while document[at] != "]":
        at = _skip(document, at + 1)
        _, end = _DECODER.raw_decode(document, at)
        found.append((at, end))
        at = _skip(document, end)
    return found


def _skip(document: str, at: int) -> int:
    match = _SPACE.match(document, at)
    assert match is not None, "white space may be empty"
    return match.end()


def _position(document: str, at: int) -> Position:
    return {"Line": document.count("\n", 0, at) + 1, "Column": at - (document.rfind("\n", 0, at) + 1) + 1}

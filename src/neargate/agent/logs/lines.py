"""Cuts blocks of a container's output into log events without looking at each line. Pure.

Lines are counted and joined by C code over whole blocks; only a line longer than one event costs a step of its own.
"""

from msgspec import Struct


class Block(Struct, frozen=True, kw_only=True):
    """`consumed` bytes of the source give `count` events, joined by newline in `lines`. Blank lines are no events.

    With `sizes` each event has so many bytes of `lines`, newlines included (events.py).
    """

    consumed: int
    count: int
    lines: bytes
    sizes: tuple[int, ...] = ()


def cut_lines(data: bytes, line_max: int, lines_max: int, *, final: bool) -> Block:
    """At most `lines_max` whole lines at the start of `data`; with `final` also the last, unfinished one.

    Those that are cut at `line_max` make a few more events.
    """
    end = len(data) if final else data.rfind(b"\n") + 1
    if data.count(b"\n", 0, end) > lines_max:
        end = len(data) - len(data.split(b"\n", lines_max)[-1])
    if end == 0:
        if len(data) < line_max:
            return Block(consumed=0, count=0, lines=b"")
        end = character_boundary(data, line_max)
    body = data[:end]
    return _block(_split_long(body, line_max), end)


def next_line_start(data: bytes) -> int:
    """Where the first line that begins inside `data` starts; its length when none does."""
    newline = data.find(b"\n")
    return len(data) if newline < 0 else newline + 1


def _block(body: bytes, consumed: int) -> Block:
    while b"\n\n" in body:
        body = body.replace(b"\n\n", b"\n")
    body = body.strip(b"\n")
    return Block(consumed=consumed, count=body.count(b"\n") + 1 if body else 0, lines=body)


def _split_long(body: bytes, line_max: int) -> bytes:
    """Jumps from one far newline to the next: about four steps for a mebibyte."""
    pieces: list[bytes] = []
    begin = 0
    at = 0
    while len(body) - at > line_max:
        newline = body.rfind(b"\n", at, at + line_max + 1)
        if newline >= at:
            at = newline + 1
            continue
        cut = at + character_boundary(body[at : at + line_max + 1], line_max)
        pieces.append(body[begin:cut])
        begin = at = cut
    if not pieces:
        return body
    return b"\n".join([*pieces, body[begin:]])


def character_boundary(data: bytes, limit: int) -> int:
    """At most `limit`, but not inside a UTF-8 character."""
    cut = min(limit, len(data))
    while cut > max(1, limit - 3) and cut < len(data) and data[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut

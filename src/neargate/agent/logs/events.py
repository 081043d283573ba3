"""Cuts blocks of a container's output into events of several lines, for containers that say how an event begins. Pure.

As the Docker driver does it: a line that matches begins an event, lines that do not belong to the event before them,
and an event keeps its newlines. Invariant: the sizes add up to what is consumed, and an event is never larger than
`event_max`, whatever the container writes. Time is in proportion to the bytes: a line costs one pass of the expression.
"""

from collections.abc import Callable

from ...regex.linear import LinearRegex, TooComplex
from .lines import Block, character_boundary


def begins_event(expression: LinearRegex, line: bytes) -> bool:
    try:
        return expression.found_in(line.decode("utf-8", "replace"))
    except TooComplex:
        return False  # made to take long; then it is one more line of the event before


def cut_events(
    data: bytes, begins: Callable[[bytes], bool], event_max: int, events_max: int, *, final: bool, flush: bool = False
) -> Block:
    """The events that are whole; with `flush` also the last, to which lines may still come.

    With `final` nothing comes any more: its last line may lack its newline.
    """
    sizes: list[int] = []
    begin = at = 0  # of the event that is gathered; behind its last line
    while len(sizes) < events_max:
        end = data.find(b"\n", at) + 1 or len(data)
        is_whole = data[end - 1 : end] == b"\n"
        if at == len(data) or (not is_whole and not final and end - at <= event_max):
            break
        if begin < at and (end - begin > event_max or begins(data[at : end - is_whole])):
            sizes.append(at - begin)
            begin = at
            continue  # the line may be too long for an event of its own
        if end - at > event_max:
            end = at + character_boundary(data[at : at + event_max + 1], event_max)
        at = end
    if (final or flush) and begin < at and len(sizes) < events_max:
        sizes.append(at - begin)
        begin = at
    return Block(consumed=begin, count=len(sizes), lines=data[:begin], sizes=tuple(sizes))

"""Regular expressions of strangers on strangers' text, in time that is linear in the text.

An expression becomes a small machine that is in many places at once; sets of places are made into states as they are
met and kept, so that a character costs one look-up. An expression made to have ever new states runs out of credit:
each character earns a little, each place of a new state costs one. Pure. Invariant: `found_in` looks at each
character once, holds at most `_STATES_MAX` states of `_HELD_MAX` numbers, and raises TooComplex rather than do more
work than it has credit. What was learned costs nothing again, so that many short texts are no more than a long one.
"""

from bisect import bisect_right

from .syntax import WORDS, Assertion, Chars, Choice, Node, Repeat, Sequence, read_regex

_STATES_MAX = 2000
_HELD_MAX = 250_000  # numbers in all states together: two MiB, whatever the expression is
_CREDIT_MAX = 300_000  # places looked at: about a tenth of a second
_KNOWN_CHARACTERS_MAX = 10_000
_CLASSES_PER_CREDIT = 64  # of a new state's table
_BEGIN, _WORD, _OTHER, _NEWLINE, _END = range(5)


class TooComplex(Exception):
    """Looking for the expression in this text would take too long."""


class _State:
    __slots__ = ("before", "ends", "follow", "is_match", "places")

    def __init__(self, places: tuple[int, ...], before: int, classes: int) -> None:
        self.places = places
        self.before = before  # what kind of character came before
        self.follow: list[_State | None] = [None] * classes
        self.ends: bool | None = None  # whether all has matched if the text ends here, once that was asked
        self.is_match = False


class LinearRegex:
    """Raises BadRegex for what is no expression. Holds what it has learned; used by one thread at a time."""

    def __init__(self, expression: str) -> None:
        program = _Program()
        node = read_regex(expression)
        program.begin = program.add(node, program.match)
        self._places = program.places
        self._start = program.begin
        self._breaks = _class_breaks(program.sets)
        self._classes: dict[str, int] = {}
        self._kinds = [_kind(low) for low in self._breaks]
        self._sets = [_mask_of(ranges, self._breaks) for ranges in program.sets]
        self._credit = _CREDIT_MAX
        self._states: dict[tuple[tuple[int, ...], int], _State] = {}
        self._held = 0
        self._begin = self._state((self._start,), _BEGIN)

    def found_in(self, text: str) -> bool:
        """Whether the expression matches anywhere in the text. Raises TooComplex."""
        self._credit = min(self._credit + len(text), _CREDIT_MAX)
        state, classes = self._begin, self._classes
        for sign in text:
            number = classes.get(sign)
            if number is None:
                number = self._class(sign)
            following = state.follow[number]
            state = following if following is not None else self._step(state, number)
            if state.is_match:
                return True
        return self._ends(state)

    def _class(self, sign: str) -> int:
        if len(self._classes) >= _KNOWN_CHARACTERS_MAX:
            self._classes.clear()
        number = self._classes[sign] = bisect_right(self._breaks, ord(sign)) - 1
        return number

    def _state(self, places: tuple[int, ...], before: int) -> _State:
        found = self._states.get((places, before))
        if found is None:
            classes = len(self._breaks)
            self._credit -= classes // _CLASSES_PER_CREDIT
            self._held += len(places) + classes
            found = self._states[places, before] = _State(places, before, classes)
        return found

    def _forget(self, kept: _State) -> None:
        """All states but the first and this one. They are cut apart from each other, so that they go at once."""
        for state in (*self._states.values(), self._begin, kept):
            state.follow.clear()
        self._states.clear()
        self._held = 0
        for state in (self._begin, kept):
            state.follow = [None] * len(self._breaks)

    def _step(self, state: _State, number: int) -> _State:
        if self._held > _HELD_MAX or len(self._states) >= _STATES_MAX:
            self._forget(state)
        kind = self._kinds[number]
        reached, is_match = self._reach(state, kind)
        if is_match:
            following = _State((), kind, 0)
            following.is_match = True
        else:
            places, sets = self._places, self._sets
            onward = {place[2] for place in map(places.__getitem__, reached) if sets[place[1]] >> number & 1}
            onward.add(self._start)  # a match may begin at any character
            following = self._state(tuple(sorted(onward)), kind)
        state.follow[number] = following
        return following

    def _ends(self, state: _State) -> bool:
        if state.ends is None:
            state.ends = self._reach(state, _END)[1]
        return state.ends

    def _reach(self, state: _State, kind: int) -> tuple[list[int], bool]:
        """The places that wait for a character, if one of this kind comes next; whether all has matched."""
        todo, seen, waiting, is_match = list(state.places), set(state.places), [], False
        while todo:
            at = todo.pop()
            self._credit -= 1
            operation, first, second = self._places[at]
            if operation == _Program.CHARS:
                waiting.append(at)
                continue
            if operation == _Program.MATCH:
                is_match = True
                continue
            onward: tuple[int, ...] = (first, second)
            if operation == _Program.ASSERT:
                onward = (second,) if _holds(first, state.before, kind) else ()
            for place in onward:
                if place not in seen:
                    seen.add(place)
                    todo.append(place)
        if self._credit < 0:
            raise TooComplex
        return waiting, is_match


_ASSERTIONS = ("begin", "end", "line-begin", "line-end", "word", "no-word")


def _holds(assertion: int, before: int, after: int) -> bool:
    match _ASSERTIONS[assertion]:
        case "begin":
            return before == _BEGIN
        case "end":
            return after == _END
        case "line-begin":
            return before in (_BEGIN, _NEWLINE)
        case "line-end":
            return after in (_END, _NEWLINE)
        case "word":
            return (before == _WORD) != (after == _WORD)
    return (before == _WORD) == (after == _WORD)


class _Program:
    """The machine: places of (operation, operand, next). Choices have two next places, the second as the third part."""

    CHARS, SPLIT, ASSERT, MATCH = range(4)

    def __init__(self) -> None:
        self.places: list[tuple[int, int, int]] = [(self.MATCH, 0, 0)]
        self.sets: list[tuple[tuple[int, int], ...]] = []
        self._numbers: dict[tuple[tuple[int, int], ...], int] = {}
        self.match = 0
        self.begin = 0

    def _put(self, operation: int, first: int, second: int) -> int:
        self.places.append((operation, first, second))
        return len(self.places) - 1

    def add(self, node: Node, onward: int) -> int:
        """The place where the node begins; after it, it goes on at `onward`."""
        match node:
            case Chars(ranges):
                number = self._numbers.setdefault(ranges, len(self.sets))
                if number == len(self.sets):
                    self.sets.append(ranges)
                return self._put(self.CHARS, number, onward)
            case Assertion(kind):
                return self._put(self.ASSERT, _ASSERTIONS.index(kind), onward)
            case Sequence(parts):
                for part in reversed(parts):
                    onward = self.add(part, onward)
                return onward
            case Choice(options):
                begin = self.add(options[-1], onward)
                for option in reversed(options[:-1]):
                    begin = self._put(self.SPLIT, self.add(option, onward), begin)
                return begin
            case Repeat(what, least, most):
                return self._repeat(what, least, most, onward)

    def _repeat(self, what: Node, least: int, most: int | None, onward: int) -> int:
        if most is None:
            split = self._put(self.SPLIT, 0, onward)
            self.places[split] = (self.SPLIT, self.add(what, split), onward)
            onward = split
        else:
            end = onward
            for _ in range(most - least):
                onward = self._put(self.SPLIT, self.add(what, onward), end)
        for _ in range(least):
            onward = self.add(what, onward)
        return onward


def _class_breaks(sets: list[tuple[tuple[int, int], ...]]) -> list[int]:
    """Where characters begin to be told apart, by the expression or by its assertions."""
    breaks = {0, 10, 11}
    for ranges in (*sets, WORDS):
        for low, high in ranges:
            breaks |= {low, high + 1}
    return sorted(breaks)


def _mask_of(ranges: tuple[tuple[int, int], ...], breaks: list[int]) -> int:
    """The numbers of the ranges' classes, as bits: an expression may have a thousand sets of nearly all classes."""
    mask = 0
    for low, high in ranges:
        mask |= (1 << bisect_right(breaks, high)) - (1 << (bisect_right(breaks, low) - 1))
    return mask


def _kind(code: int) -> int:
    if code == 10:
        return _NEWLINE
    return _WORD if any(low <= code <= high for low, high in WORDS) else _OTHER

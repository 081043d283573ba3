"""Regular expressions that callers wrote, on values that callers wrote: whole matches in bounded time. Pure.

Python's own `re` backtracks, so that a hostile pattern would hold up everybody. Here all ways through a pattern are
followed at once, character by character. Invariants: a match costs at most STEPS_MAX steps; what cannot be matched so
(back references, look-around, possessive quantifiers) is refused, never guessed.
"""

from collections.abc import Callable

from msgspec import Struct

STATES_MAX = 4096
STEPS_MAX = 300_000
REPEATS_MAX = 1024
DEPTH_MAX = 32

Test = Callable[[str], bool]


class PatternRefused(Exception):
    """The message says what is wrong with the pattern, or with matching it."""


class Step(Struct, frozen=True):
    """Consume a character that passes `test`, or go on at each of `to` (relative), at `place` of the text only."""

    test: Test | None = None
    to: tuple[int, ...] = ()
    place: str = ""  # ^ or $


Program = tuple[Step, ...]


def matches_whole(pattern: str, text: str) -> bool:
    """Raises PatternRefused."""
    program = _Parser(pattern).whole()
    steps = 0
    here: dict[int, None] = {}
    ways = [0]
    for at in range(len(text) + 1):
        here.clear()
        while ways:
            way = ways.pop()
            if way in here:
                continue
            here[way] = None
            steps += 1
            if way < len(program) and program[way].test is None and _holds(program[way].place, at, len(text)):
                ways += [way + jump for jump in program[way].to]
        if steps > STEPS_MAX:
            raise PatternRefused("matching it against the value takes too long")
        if at == len(text):
            return len(program) in here
        ways = [way + 1 for way in here if way < len(program) and _passes(program[way], text[at])]
    raise AssertionError("the loop returns at the text's end")


def _holds(place: str, at: int, end: int) -> bool:
    return not place or at == (0 if place == "^" else end)


def _passes(step: Step, letter: str) -> bool:
    return step.test is not None and step.test(letter)


# -- parsing


def _digit(letter: str) -> bool:
    return "0" <= letter <= "9"


def _word(letter: str) -> bool:
    return letter == "_" or (letter.isascii() and letter.isalnum())


def _space(letter: str) -> bool:
    return letter in " \t\n\r\x0b\x0c"


def _not(test: Test) -> Test:
    return lambda letter: not test(letter)


def _between(first: str, last: str) -> Test:
    return lambda letter: first <= letter <= last


def _any_of(tests: list[Test]) -> Test:
    return lambda letter: any(test(letter) for test in tests)


def _no_line_end(letter: str) -> bool:
    return letter not in "\n\r\x85\u2028\u2029"


_CLASSES: dict[str, Test] = {
    "d": _digit,
    "D": _not(_digit),
    "w": _word,
    "W": _not(_word),
    "s": _space,
    "S": _not(_space),
}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "a": "\a", "e": "\x1b"}
_HEX = {"x": 2, "u": 4}


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._depth = 0

    def whole(self) -> Program:
        program = self._choice()
        if self._at < len(self._text):
            raise PatternRefused("a closing parenthesis has no opening one")
        return program

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        letter = self._peek()
        if not letter:
            raise PatternRefused("it ends too early")
        self._at += 1
        return letter

    def _skip(self, wanted: str) -> bool:
        if not self._text.startswith(wanted, self._at):
            return False
        self._at += len(wanted)
        return True

    def _choice(self) -> Program:
        program = self._sequence()
        while self._skip("|"):
            other = self._sequence()
            ways = (Step(to=(1, len(program) + 2)), *program, Step(to=(len(other) + 1,)))
            program = _bounded((*ways, *other))
        return program

    def _sequence(self) -> Program:
        program: list[Step] = []
        while self._peek() not in ("", "|", ")"):
            program += self._repeated()
            _bounded(tuple(program))
        return tuple(program)

    def _repeated(self) -> Program:
        one = self._atom()
        while True:
            low, high = self._quantifier()
            if low is None:
                return one
            one = _repeat(one, low, high)

    def _quantifier(self) -> tuple[int | None, int | None]:
        """How often at least and at most; a lower bound of None when there is no quantifier here."""
        letter = self._peek()
        if letter in ("*", "+", "?") and letter:
            self._at += 1
            bounds: tuple[int, int | None] = {"*": (0, None), "+": (1, None), "?": (0, 1)}[letter]
        elif letter == "{":
            self._at += 1
            bounds = self._counts()
        else:
            return None, None
        if self._skip("+"):
            raise PatternRefused("possessive quantifiers are not supported")
        self._skip("?")  # lazy or not makes no difference to whether a whole text matches
        return bounds

    def _counts(self) -> tuple[int, int | None]:
        inside, closed, _ = self._text[self._at :].partition("}")
        low, comma, high = inside.partition(",")
        if not closed or not _is_count(low) or not (high == "" or _is_count(high)):
            raise PatternRefused("a repetition is not written as {n}, {n,} or {n,m}")
        self._at += len(inside) + 1
        least = int(low)
        most = least if not comma else None if high == "" else int(high)
        if most is not None and most < least:
            raise PatternRefused("a repetition ends before it begins")
        if max(least, most or 0) > REPEATS_MAX:
            raise PatternRefused(f"a repetition counts beyond {REPEATS_MAX}")
        return least, most

    def _atom(self) -> Program:
        letter = self._next()
        match letter:
            case "(":
                return self._group()
            case "[":
                return (Step(test=self._class()),)
            case ".":
                return (Step(test=_no_line_end),)
            case "^" | "$":
                return (Step(to=(1,), place=letter),)
            case "*" | "+" | "?" | "{":
                raise PatternRefused("a quantifier has nothing to repeat")
            case "\\":
                if self._peek() in ("A", "z", "Z") and self._peek():
                    return (Step(to=(1,), place="^" if self._next() == "A" else "$"),)
                return (Step(test=self._escape()),)
        return (Step(test=letter.__eq__),)

    def _group(self) -> Program:
        if self._skip("?") and not self._skip(":"):
            raise PatternRefused("of groups that begin with (? only (?: is supported")
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise PatternRefused(f"groups are nested deeper than {DEPTH_MAX}")
        program = self._choice()
        if not self._skip(")"):
            raise PatternRefused("an opening parenthesis has no closing one")
        self._depth -= 1
        return program

    def _escape(self) -> Test:
        """Behind a backslash."""
        if self._peek() in _CLASSES:
            return _CLASSES[self._next()]
        return self._escaped_letter().__eq__

    def _escaped_letter(self) -> str:
        letter = self._next()
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter in _HEX:
            digits = self._text[self._at : self._at + _HEX[letter]]
            if len(digits) < _HEX[letter] or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
                raise PatternRefused(f"\\{letter} needs {_HEX[letter]} hexadecimal digits")
            self._at += len(digits)
            return chr(int(digits, 16))
        if letter.isascii() and letter.isalnum():
            raise PatternRefused(f"\\{letter} is not supported")
        return letter

    def _class(self) -> Test:
        """Behind an opening bracket."""
        negated = self._skip("^")
        tests: list[Test] = []
        while True:
            if self._peek() == "]" and tests:
                self._at += 1
                break
            if self._peek() == "[" or self._text.startswith("&&", self._at):
                raise PatternRefused("classes inside of classes are not supported")
            if self._skip("\\"):
                if self._peek() in _CLASSES:
                    tests.append(_CLASSES[self._next()])
                    continue
                first = self._escaped_letter()
            else:
                first = self._next()
            tests.append(self._range(first))
        found = _any_of(tests)
        return _not(found) if negated else found

    def _range(self, first: str) -> Test:
        if self._peek() != "-" or self._text[self._at + 1 : self._at + 2] in ("]", ""):
            return first.__eq__
        self._at += 1
        last = self._escaped_letter() if self._skip("\\") else self._next()
        if last < first:
            raise PatternRefused("a range in a class ends before it begins")
        return _between(first, last)


def _is_count(text: str) -> bool:
    return 0 < len(text) <= 6 and text.isascii() and text.isdigit()


def _repeat(one: Program, low: int, high: int | None) -> Program:
    copies = max(low, high or 0) + (high is None)
    if copies * (len(one) + 2) > STATES_MAX:
        raise PatternRefused("it is too large")
    if high is None:
        return (*one * low, Step(to=(1, len(one) + 2)), *one, Step(to=(-len(one) - 1,)))
    return (*one * low, *(Step(to=(1, len(one) + 1)), *one) * (high - low))


def _bounded(program: Program) -> Program:
    if len(program) > STATES_MAX:
        raise PatternRefused("it is too large")
    return program

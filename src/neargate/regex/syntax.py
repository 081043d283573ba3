"""Reads a regular expression (Go's RE2 syntax, which has no back references and no look-around) into a small tree.

Owns the syntax alone; matching is `linear.py`'s. Pure. Invariant: whatever the text, reading takes time in
proportion to its length and the tree, counted with its repetitions, has at most `SIZE_MAX` leaves.
"""

from msgspec import Struct

SIZE_MAX = 2000
_DEPTH_MAX = 50
_REPEAT_MAX = 1000  # RE2's
LAST = 0x10FFFF

Ranges = tuple[tuple[int, int], ...]


class BadRegex(Exception):
    """The text is no regular expression, or none that is taken. The message says what is wrong with it."""


class Chars(Struct, frozen=True):
    ranges: Ranges  # ascending, apart from each other


class Assertion(Struct, frozen=True):
    kind: str  # ^ $ of a line: "line-begin", "line-end"; of the text: "begin", "end"; "word", "no-word"


class Sequence(Struct, frozen=True):
    parts: tuple["Node", ...]


class Choice(Struct, frozen=True):
    options: tuple["Node", ...]


class Repeat(Struct, frozen=True):
    what: "Node"
    least: int
    most: int | None


Node = Chars | Assertion | Sequence | Choice | Repeat

DIGITS: Ranges = ((48, 57),)
SPACES: Ranges = ((9, 10), (12, 13), (32, 32))
WORDS: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_CLASSES = {"d": DIGITS, "s": SPACES, "w": WORDS}
_POSIX: dict[str, Ranges] = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)),
    "digit": DIGITS,
    "graph": ((33, 126),),
    "lower": ((97, 122),),
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "upper": ((65, 90),),
    "word": WORDS,
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}
_CONTROLS = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_ASSERTIONS = {"A": "begin", "z": "end", "b": "word", "B": "no-word"}


def read_regex(text: str) -> Node:
    """Raises BadRegex."""
    reader = _Reader(text)
    node = reader.choice(0)
    if reader.at < len(text):
        raise BadRegex("unexpected )")
    if size_of(node) > SIZE_MAX:
        raise BadRegex("expression too large")
    return node


def size_of(node: Node) -> int:
    """Leaves, with repetitions written out; counting stops a little above `SIZE_MAX`."""
    match node:
        case Sequence(parts) | Choice(parts):
            total = 1
            for part in parts:
                total += size_of(part)
                if total > SIZE_MAX:
                    break
            return total
        case Repeat(what, least, most):
            times = max(least if most is None else most, 1)
            return min(times * size_of(what) + 1, SIZE_MAX + 1)
    return 1


def united(ranges: list[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(ranges: Ranges) -> Ranges:
    rest: list[tuple[int, int]] = []
    low = 0
    for first, last in ranges:
        if low < first:
            rest.append((low, first - 1))
        low = last + 1
    if low <= LAST:
        rest.append((low, LAST))
    return tuple(rest)


class _Flags(Struct):
    ignore_case: bool = False
    multi_line: bool = False
    dot_all: bool = False


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self.at = 0
        self._flags = _Flags()

    def _peek(self) -> str:
        return self._text[self.at : self.at + 1]

    def _take(self) -> str:
        if self.at >= len(self._text):
            raise BadRegex("the expression ends too early")
        self.at += 1
        return self._text[self.at - 1]

    def choice(self, depth: int) -> Node:
        if depth > _DEPTH_MAX:
            raise BadRegex("expression nests too deeply")
        options = [self._sequence(depth)]
        while self._peek() == "|":
            self.at += 1
            options.append(self._sequence(depth))
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            atom = self._atom(depth)
            if atom is not None:
                parts.append(self._repeated(atom))
        return Sequence(tuple(parts))

    def _repeated(self, atom: Node) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return atom
        if self._peek() == "?":
            self.at += 1  # lazy: finds the same, elsewhere
        if self._bounds() is not None:
            raise BadRegex("invalid nested repetition operator")
        return Repeat(atom, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        sign = self._peek()
        if sign in simple:
            self.at += 1
            return simple[sign]
        if sign != "{":
            return None
        end = self._text.find("}", self.at, self.at + 12)
        least, comma, most = self._text[self.at + 1 : end].partition(",")
        if end < 0 or not _is_number(least) or (most and not _is_number(most)):
            return None  # then it is a brace
        self.at = end + 1
        low = int(least)
        high = low if not comma else int(most) if most else None
        if low > _REPEAT_MAX or (high is not None and not low <= high <= _REPEAT_MAX):
            raise BadRegex("invalid repeat count")
        return low, high

    def _atom(self, depth: int) -> Node | None:
        """None: only flags were set."""
        sign = self._take()
        match sign:
            case "(":
                return self._group(depth)
            case "[":
                return self._chars(self._bracket())
            case ".":
                return Chars(((0, LAST),) if self._flags.dot_all else complement(((10, 10),)))
            case "^":
                return Assertion("line-begin" if self._flags.multi_line else "begin")
            case "$":
                return Assertion("line-end" if self._flags.multi_line else "end")
            case "*" | "+" | "?":
                raise BadRegex(f"missing argument to repetition operator: {sign}")
            case "\\":
                return self._escape()
        return self._chars(((ord(sign), ord(sign)),))

    def _escape(self) -> Node:
        if self._peek() in _ASSERTIONS and self._peek():
            return Assertion(_ASSERTIONS[self._take()])
        if self._peek() == "Q":
            end = self._text.find("\\E", self.at)
            quoted = self._text[self.at + 1 : end if end >= 0 else None]
            self.at = len(self._text) if end < 0 else end + 2
            return Sequence(tuple(self._chars(((ord(sign), ord(sign)),)) for sign in quoted))
        return self._chars(self._escaped())

    def _escaped(self) -> Ranges:
        """What follows a backslash, in or outside of brackets."""
        sign = self._take()
        if sign.lower() in _CLASSES:
            found = _CLASSES[sign.lower()]
            return found if sign.islower() else complement(found)
        code = _CONTROLS.get(sign)
        if sign == "x":
            code = self._hexadecimal()
        elif sign == "0":
            code = 0
        elif code is None and sign.isascii() and sign.isalnum():
            raise BadRegex(f"invalid escape sequence: \\{sign}")
        code = ord(sign) if code is None else code
        return ((code, code),)

    def _hexadecimal(self) -> int:
        if self._peek() == "{":
            end = self._text.find("}", self.at, self.at + 9)
            digits = self._text[self.at + 1 : end] if end > 0 else ""
            self.at = end + 1
        else:
            digits = self._text[self.at : self.at + 2]
            self.at += 2
            if len(digits) < 2:
                digits = ""
        if not digits or set(digits.lower()) - set("0123456789abcdef") or int(digits, 16) > LAST:
            raise BadRegex("invalid escape sequence: \\x")
        return int(digits, 16)

    def _group(self, depth: int) -> Node | None:
        kept = _Flags(
            ignore_case=self._flags.ignore_case, multi_line=self._flags.multi_line, dot_all=self._flags.dot_all
        )
        if self._peek() == "?":
            self.at += 1
            if self._set_flags():
                return None
        node = self.choice(depth + 1)
        if self._peek() != ")":
            raise BadRegex("missing closing )")
        self.at += 1
        self._flags = kept
        return node

    def _set_flags(self) -> bool:
        """After `(?`: a name, or flags. True when the parenthesis is closed, so that they hold for what follows."""
        if self._text.startswith(("P<", "<"), self.at):
            end = self._text.find(">", self.at)
            name = self._text[self._text.find("<", self.at) + 1 : end]
            if end < 0 or not name.isidentifier():
                raise BadRegex("invalid named capture")
            self.at = end + 1
            return False
        on = True
        while (sign := self._take()) not in ":)":
            match sign:
                case "-":
                    on = False
                case "i":
                    self._flags.ignore_case = on
                case "m":
                    self._flags.multi_line = on
                case "s":
                    self._flags.dot_all = on
                case "U":
                    pass  # which of several matches is found first: all the same here
                case _:
                    raise BadRegex("invalid or unsupported Perl syntax")
        return sign == ")"

    def _bracket(self) -> Ranges:
        negated = self._peek() == "^"
        self.at += negated
        found: list[tuple[int, int]] = []
        first = True
        while first or self._peek() != "]":
            first = False
            if self._text.startswith("[:", self.at):
                found += self._posix()
                continue
            low = self._one_of_bracket()
            if self._peek() == "-" and self._text[self.at + 1 : self.at + 2] not in ("]", "") and _is_single(low):
                self.at += 1
                high = self._one_of_bracket()
                if not _is_single(high) or high[0][0] < low[0][0]:
                    raise BadRegex("invalid character class range")
                low = ((low[0][0], high[0][0]),)
            found += low
        self.at += 1
        ranges = united(found)
        if negated:
            ranges = complement(_both_cases(ranges) if self._flags.ignore_case else ranges)
        return ranges

    def _one_of_bracket(self) -> Ranges:
        sign = self._take()
        return self._escaped() if sign == "\\" else ((ord(sign), ord(sign)),)

    def _posix(self) -> Ranges:
        end = self._text.find(":]", self.at, self.at + 12)
        name = self._text[self.at + 2 : end] if end > 0 else ""
        ranges = _POSIX.get(name.removeprefix("^"))
        if ranges is None:
            raise BadRegex("invalid character class range")
        self.at = end + 2
        return complement(ranges) if name.startswith("^") else ranges

    def _chars(self, ranges: Ranges) -> Chars:
        return Chars(_both_cases(ranges) if self._flags.ignore_case else ranges)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4


def _is_single(ranges: Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]


def _both_cases(ranges: Ranges) -> Ranges:
    """ASCII letters, and single characters of other scripts."""
    found = list(ranges)
    for low, high in ranges:
        for first, other in ((65, 97), (97, 65)):
            begin, end = max(low, first), min(high, first + 25)
            if begin <= end:
                found.append((begin - first + other, end - first + other))
        if low == high and low > 127:
            found += [(ord(form), ord(form)) for form in (chr(low).lower(), chr(low).upper()) if len(form) == 1]
    return united(found)

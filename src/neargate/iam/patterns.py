"""Wildcard patterns of policies: `*`, `?` and policy variables, in linear time.

Patterns are hostile input. Text between two stars is searched for from left to right and never looked at again, so no
pattern can make matching explode; regular expressions are used only for runs with `?`, without any quantifier.
A substituted value is text: a `*` inside it matches only a star.
"""

import re
from collections.abc import Callable, Sequence
from enum import Enum

from .request import Keys
from .variables import Variable, pieces

Match = Callable[[str], bool]
Test = Callable[[str, Keys], bool]


class Wild(Enum):
    ANY = "*"
    ONE = "?"


Item = str | Wild
_WILDS = {wild.value: wild for wild in Wild}
_ARN_PARTS = 6
_REMEMBERED_MAX = 32


def pattern(text: str, *, wildcards: bool = True, variables: bool = False, fold: bool = False) -> Test:
    """A test of a value under the request's keys. A variable without a value makes the pattern match nothing.

    `fold`: upper and lower case are the same. Raises ValueError when a variable is not closed.
    """
    items = _items(text, wildcards, variables)
    constant = _constant(items)
    if constant is not None:
        return _static(glob(_folded(constant) if fold else constant), fold)

    return _dynamic(items, lambda known: glob(_folded(known)) if fold else glob(known), fold)


def arn_pattern(text: str, *, variables: bool = False) -> Test:
    """As the ARN operators compare: each of the six parts by itself. What is no ARN matches nothing."""
    items = _items(text, True, variables)
    constant = _constant(items)
    if constant is not None:
        return _static(_arn_glob(constant), False)

    return _dynamic(items, _arn_glob, False)


def is_constant(text: str) -> bool:
    """Whether a pattern without variables matches exactly its own text."""
    return "*" not in text and "?" not in text


def any_of(tests: Sequence[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def test(value: str, keys: Keys) -> bool:
        for one in tests:  # noqa: SIM110  a generator costs as much as the tests
            if one(value, keys):
                return True
        return False

    return test


def glob(items: Sequence[Item]) -> Match:
    """A test of a whole text."""
    runs: list[list[Item]] = [[]]
    for item in items:
        if item is Wild.ANY:
            runs.append([])
        else:
            runs[-1].append(item)
    if any(Wild.ONE in run for run in runs):
        return _glob_of_expressions([_expression(run) for run in runs], [_length(run) for run in runs])
    return _glob_of_texts(["".join(item for item in run if isinstance(item, str)) for run in runs])


def _glob_of_texts(texts: list[str]) -> Match:
    if len(texts) == 1:
        return texts[0].__eq__
    head, tail = texts[0], texts[-1]
    middle = tuple(text for text in texts[1:-1] if text)
    least = sum(len(text) for text in texts)
    if not least:
        return lambda _value: True
    if not middle and not tail:
        return lambda value: value.startswith(head)

    def match(value: str) -> bool:
        if len(value) < least or not value.startswith(head) or not value.endswith(tail):
            return False
        at, end = len(head), len(value) - len(tail)
        for text in middle:
            at = value.find(text, at, end)
            if at < 0:
                return False
            at += len(text)
        return True

    return match


def _glob_of_expressions(expressions: list[re.Pattern[str]], lengths: list[int]) -> Match:
    if len(expressions) == 1:
        only = expressions[0]
        return lambda value: only.fullmatch(value) is not None
    least = sum(lengths)
    head, tail, middle = expressions[0], expressions[-1], expressions[1:-1]

    def match(value: str) -> bool:
        end = len(value) - lengths[-1]
        if len(value) < least or head.match(value) is None or tail.fullmatch(value, end) is None:
            return False
        at = lengths[0]
        for expression in middle:
            found = expression.search(value, at, end)
            if found is None:
                return False
            at = found.end()
        return True

    return match


def _expression(run: Sequence[Item]) -> re.Pattern[str]:
    return re.compile("".join(re.escape(item) if isinstance(item, str) else "." for item in run), re.DOTALL)


def _length(run: Sequence[Item]) -> int:
    return sum(len(item) if isinstance(item, str) else 1 for item in run)


def _arn_glob(items: Sequence[Item]) -> Match:
    parts: list[list[Item]] = [[]]
    for item in items:
        if not isinstance(item, str):
            parts[-1].append(item)
            continue
        first, *rest = item.split(":", _ARN_PARTS - len(parts))
        parts[-1].append(first)
        parts.extend([text] for text in rest)
    if len(parts) != _ARN_PARTS:
        return lambda _value: False
    tests = [glob(part) for part in parts]

    def match(value: str) -> bool:
        values = value.split(":", _ARN_PARTS - 1)
        return len(values) == _ARN_PARTS and all(test(part) for test, part in zip(tests, values, strict=True))

    return match


def _dynamic(items: Sequence[Item | Variable], build: Callable[[Sequence[Item]], Match], fold: bool) -> Test:
    """A test built anew for each set of values; the last ones are kept, since a caller asks more than once."""
    variables = tuple(item for item in items if isinstance(item, Variable))
    built: dict[tuple[str, ...], Match] = {}

    def test(value: str, keys: Keys) -> bool:
        values = []
        for variable in variables:
            known = variable.value(keys)
            if known is None:
                return False
            values.append(known)
        named = tuple(values)
        match = built.get(named)
        if match is None:
            if len(built) >= _REMEMBERED_MAX:
                built.clear()
            left = iter(named)
            match = built[named] = build([next(left) if isinstance(item, Variable) else item for item in items])
        return match(value.lower() if fold else value)

    return test


def _static(match: Match, fold: bool) -> Test:
    return (lambda value, _keys: match(value.lower())) if fold else (lambda value, _keys: match(value))


def _folded(items: Sequence[Item]) -> tuple[Item, ...]:
    return tuple(item.lower() if isinstance(item, str) else item for item in items)


def _constant(items: Sequence[Item | Variable]) -> tuple[Item, ...] | None:
    known = tuple(item for item in items if not isinstance(item, Variable))
    return known if len(known) == len(items) else None


def _items(text: str, wildcards: bool, variables: bool) -> tuple[Item | Variable, ...]:
    """Pieces that stand for themselves (`${*}`) are not searched for wildcards."""
    items: list[Item | Variable] = []
    for piece, literal in pieces(text) if variables else [(text, False)]:
        if isinstance(piece, Variable) or literal or not wildcards:
            items.append(piece)
        else:
            items.extend(_WILDS.get(part, part) for part in re.split(r"([*?])", piece) if part)
    return tuple(items)


def glob_action(actions: Sequence[str], *, negated: bool) -> Match:
    """A test of a lower-case action name."""
    tests = [glob(_folded(_constant(_items(action, True, False)) or ())) for action in actions]
    if negated:
        return lambda action: not any(test(action) for test in tests)
    return lambda action: any(test(action) for test in tests)


def resources(named: Sequence[str], *, negated: bool, allow: bool, variables: bool) -> Test:
    """A test of a resource. Raises ValueError.

    Where a variable has no value AWS matches nothing with it. NotResource would then reach further than its author
    wrote: such an Allow holds for nothing, while such a Deny does hold.
    """
    inside = any_of([pattern(name, variables=variables) for name in named])
    if not negated:
        return inside
    needed = [item for name in named for item in _items(name, True, variables) if allow and isinstance(item, Variable)]

    def outside(resource: str, keys: Keys) -> bool:
        if any(variable.value(keys) is None for variable in needed):
            return False
        return not inside(resource, keys)

    return outside

"""The condition operators of policies, compiled into tests of a request's keys.

Every operator is a positive comparison with any of the policy's values; the negated ones are its opposite, so that a
key with several values fails StringNotEquals when any of them is named. A key without values counts as absent.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from operator import eq, ge, gt, le, lt
from typing import Any

from .dates import seconds
from .patterns import Test, any_of, arn_pattern, is_constant, pattern
from .request import Keys
from .variables import has_variables

Condition = Callable[[Keys], bool]

_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?", re.ASCII)
_ANY, _ALL = "ForAnyValue:", "ForAllValues:"
_IF_EXISTS = "IfExists"


class UnknownOperator(ValueError):
    """No operator of that name."""


def condition(operator: str, key: str, values: Sequence[str], *, variables: bool) -> Condition:
    """One key of one operator. `variables`: the policy's version knows them.

    Raises UnknownOperator, and ValueError for a value that is not of the operator's type.
    """
    if operator == "Null":
        return _null(key.lower(), values)
    prefix, name, if_exists = _split(operator)
    if name not in _OPERATORS:
        raise UnknownOperator(operator)
    compile_values, negated = _OPERATORS[name]
    return _clause(
        key=key.lower(),
        test=compile_values(values, variables),
        negated=negated,
        quantifier=prefix,
        absent=if_exists or prefix == _ALL or (negated and not prefix),
    )


def cost(operator: str, values: Sequence[str]) -> int:
    """For the order in which conditions are asked: all have to hold, so that the cheap ones may go first."""
    _, name, _ = _split(operator)
    dearer = not name.startswith(("String", "Bool", "Null")) or name.endswith("Like")
    return dearer + 2 * (":" in operator) + 4 * any(map(has_variables, values))


def is_operator(operator: str) -> bool:
    return operator == "Null" or _split(operator)[1] in _OPERATORS


def _split(operator: str) -> tuple[str, str, bool]:
    """Set operator, name, whether IfExists."""
    prefix = next((prefix for prefix in (_ANY, _ALL) if operator.startswith(prefix)), "")
    name = operator[len(prefix) :]
    return prefix, name.removesuffix(_IF_EXISTS), name.endswith(_IF_EXISTS)


def _clause(*, key: str, test: Test, negated: bool, quantifier: str, absent: bool) -> Condition:
    """`absent`: what holds when the request has no value for the key."""

    def plain(keys: Keys) -> bool:
        values = keys.get(key)
        if not values:
            return absent
        if len(values) == 1:
            return test(values[0], keys) is not negated
        return any(test(value, keys) for value in values) is not negated

    def any_value(keys: Keys) -> bool:
        values = keys.get(key)
        if not values:
            return absent
        for value in values:  # noqa: SIM110  a generator costs as much as the tests
            if test(value, keys) is not negated:
                return True
        return False

    def all_values(keys: Keys) -> bool:
        values = keys.get(key)
        # AWS: also true where all there is resolves to nothing, such as an empty string.
        if not values or not any(values):
            return absent
        for value in values:  # noqa: SIM110  a generator costs as much as the tests
            if test(value, keys) is negated:
                return False
        return True

    return {"": plain, _ANY: any_value, _ALL: all_values}[quantifier]


def _null(key: str, values: Sequence[str]) -> Condition:
    wanted = {_boolean(value) for value in values}
    return lambda keys: (not keys.get(key)) in wanted


def _boolean(text: str) -> bool:
    lower = text.lower()
    if lower not in ("true", "false"):
        raise ValueError("not a boolean")
    return lower == "true"


def _texts(values: Sequence[str], variables: bool, *, wildcards: bool, fold: bool = False) -> Test:
    """Constants are one look-up; only the others are compared one by one."""
    fixed: set[str] = set()
    tests: list[Test] = []
    for value in values:
        if (variables and has_variables(value)) or (wildcards and not is_constant(value)):
            tests.append(pattern(value, wildcards=wildcards, variables=variables, fold=fold))
        else:
            fixed.add(value.lower() if fold else value)
    constants = frozenset(fixed)
    if not tests:
        return (lambda value, _keys: value.lower() in constants) if fold else (lambda value, _keys: value in constants)
    several = any_of(tests)
    if fold:
        return lambda value, keys: value.lower() in constants or several(value, keys)
    return lambda value, keys: value in constants or several(value, keys)


def _arns(values: Sequence[str], variables: bool) -> Test:
    return any_of([arn_pattern(value, variables=variables) for value in values])


def _parsed(
    values: Sequence[str], _variables: bool, *, parse: Callable[[str], Any], compare: Callable[[Any, Any], bool]
) -> Test:
    """`compare(request's value, policy's value)`; what the request has and cannot be parsed compares as false."""
    known = tuple(parse(value) for value in values)

    def test(value: str, _keys: Keys) -> bool:
        try:
            asked = parse(value)
        except ValueError:
            return False
        return any(compare(asked, one) for one in known)

    return test


def _number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise ValueError("not a number")
    return Decimal(text)


def _binary(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as refused:
        raise ValueError("not base64") from refused


def _addresses(values: Sequence[str], _variables: bool) -> Test:
    networks = tuple(ipaddress.ip_network(value, strict=False) for value in values)

    def test(value: str, _keys: Keys) -> bool:
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            return False
        # A dual-stack listener shows IPv4 callers as ::ffff:a.b.c.d; they must not escape rules written for a.b.c.d.
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in networks)

    return test


def _booleans(values: Sequence[str], _variables: bool) -> Test:
    wanted = frozenset(value.lower() for value in values)
    return lambda value, _keys: value.lower() in wanted


_Compiler = Callable[[Sequence[str], bool], Test]


def _ordered(kind: str, parse: Callable[[str], Any]) -> dict[str, tuple[_Compiler, bool]]:
    table: dict[str, tuple[_Compiler, bool]] = {
        f"{kind}{name}": (partial(_parsed, parse=parse, compare=compare), False)
        for name, compare in (
            ("Equals", eq),
            ("LessThan", lt),
            ("LessThanEquals", le),
            ("GreaterThan", gt),
            ("GreaterThanEquals", ge),
        )
    }
    return table | {f"{kind}NotEquals": (partial(_parsed, parse=parse, compare=eq), True)}


# name: (compiler of the policy's values, negated)
_OPERATORS: dict[str, tuple[_Compiler, bool]] = {
    "StringEquals": (partial(_texts, wildcards=False), False),
    "StringNotEquals": (partial(_texts, wildcards=False), True),
    "StringEqualsIgnoreCase": (partial(_texts, wildcards=False, fold=True), False),
    "StringNotEqualsIgnoreCase": (partial(_texts, wildcards=False, fold=True), True),
    "StringLike": (partial(_texts, wildcards=True), False),
    "StringNotLike": (partial(_texts, wildcards=True), True),
    **_ordered("Numeric", _number),
    **_ordered("Date", seconds),
    "Bool": (_booleans, False),
    "BinaryEquals": (partial(_parsed, parse=_binary, compare=eq), False),
    "IpAddress": (_addresses, False),
    "NotIpAddress": (_addresses, True),
    "ArnEquals": (_arns, False),
    "ArnLike": (_arns, False),
    "ArnNotEquals": (_arns, True),
    "ArnNotLike": (_arns, True),
}

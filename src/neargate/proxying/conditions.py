"""Conditions of rules as HAProxy's ACLs: of one name, any of whose lines may hold."""

from contextlib import suppress
from ipaddress import ip_network

from ..model.balancing import Condition
from .words import is_plain, is_token, matching, quoted

NEVER = "always_false"
HOST = "var(txn.host)"  # lower case, without the port


def lines(name: str, condition: Condition) -> list[str]:
    """At least one, so that the name is known: what cannot be asked for holds never."""
    tests = _TESTS.get(condition.field, _unknown)(condition)
    return [f"acl {name} {test}" for test in tests or [NEVER]]


def _unknown(_condition: Condition) -> list[str]:
    return []


def _hosts(condition: Condition) -> list[str]:
    return [_text(HOST, value.lower(), "str") for value in condition.values]


def _paths(condition: Condition) -> list[str]:
    found = []
    for value in condition.values:
        stem = value[:-1]
        prefix = value.endswith("*") and is_plain(stem)
        found.append(f"path -m beg -- {quoted(stem)}" if prefix else _text("path", value, "str"))
    return found


def _text(fetch: str, value: str, way: str) -> str:
    if is_plain(value):
        return f"{fetch} -m {way} -- {quoted(value)}"
    return f"{fetch} -m reg -- {quoted(matching(value))}"


def _headers(condition: Condition) -> list[str]:
    if not is_token(condition.name):
        return []
    fetch = quoted(f"req.fhdr({condition.name})")
    return [f"{fetch} -m reg -i -- {quoted(matching(value))}" for value in condition.values]


def _methods(condition: Condition) -> list[str]:
    return [f"method -m str -- {quoted(value)}" for value in condition.values if is_plain(value)]


def _queries(condition: Condition) -> list[str]:
    """A pair holds where one of the query's parameters is it; without a key any parameter's value is looked at."""
    found = []
    for key, value in condition.pairs:
        name = "[^&=]*" if key is None else matching(key, any_character="[^&=]", begin="", end="")
        name = name.removeprefix("(?s)")
        text = matching(value, any_character="[^&]", begin=f"(?:^|&){name}=", end="(?:&|$)")
        found.append(f"query -m reg -i -- {quoted(text)}")
    return found


def _sources(condition: Condition) -> list[str]:
    found = []
    for value in condition.values:
        with suppress(ValueError):  # the API lets none in
            network = ip_network(value, strict=False)
            # The zone of an IPv6 address (`fe80::%zone`) may be any text, ends of lines included.
            if "%" not in str(network):
                found.append(f"src -m ip -- {network}")
    return found


_TESTS = {
    "host-header": _hosts,
    "path-pattern": _paths,
    "http-header": _headers,
    "http-request-method": _methods,
    "query-string": _queries,
    "source-ip": _sources,
}

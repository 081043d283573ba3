"""Conditions of rules: from a request to what is kept and planned, and what AWS shows of them. Pure.

Invariant: a condition that passes here holds nothing that cannot stand in a request, so that a proxy can be told it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from msgspec import Struct

from ...model.balancing import Condition
from .errors import InvalidConfigurationRequest, ValidationError
from .limits import CONDITION_VALUES_PER_RULE, CONDITION_WILDCARDS_PER_RULE

HOST, PATH, HEADER = "host-header", "path-pattern", "http-header"
METHOD, QUERY, SOURCE = "http-request-method", "query-string", "source-ip"
_LONGEST = 128
_NAME_LONGEST = 40
_HOST_TEXT = re.compile(r"[A-Za-z0-9.*?-]+")
_PATH_TEXT = re.compile(r"[A-Za-z0-9_.$/~\"'@:+&*?-]+")
_METHOD_TEXT = re.compile(r"[A-Z_-]+")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VISIBLE = re.compile(r"[\x20-\x7e]*")
_ONCE = (HOST, PATH, METHOD, SOURCE)


class GivenCondition(Struct, frozen=True, kw_only=True):
    """`shown`: by its wire names."""

    condition: Condition
    shown: dict[str, Any]


def given_conditions(given: Sequence[Mapping[str, Any]]) -> tuple[GivenCondition, ...]:
    """Of one rule. Raises ValidationError, InvalidConfigurationRequest."""
    if not given:
        raise ValidationError("A condition must be specified")
    found = tuple(_one(item) for item in given)
    fields = [one.condition.field for one in found]
    for field in _ONCE:
        if fields.count(field) > 1:
            raise ValidationError(f"A rule can only have one '{field}' condition")
    conditions = [one.condition for one in found]
    if sum(len(one.values) + len(one.pairs) for one in conditions) > CONDITION_VALUES_PER_RULE:
        raise ValidationError(f"A rule can only have '{CONDITION_VALUES_PER_RULE}' condition values")
    if sum(map(_wildcards, conditions)) > CONDITION_WILDCARDS_PER_RULE:
        raise ValidationError(f"A rule can only have '{CONDITION_WILDCARDS_PER_RULE}' condition wildcards")
    return found


def _one(given: Mapping[str, Any]) -> GivenCondition:
    field = given.get("Field")
    if not field:
        raise ValidationError("A condition field must be specified")
    read = _READERS.get(field)
    if read is None:
        raise ValidationError(f"Condition field '{field}' must be one of '[{', '.join(_READERS)}]'")
    _refuse_expressions(given)
    if field not in (HOST, PATH) and given.get("Values"):
        raise ValidationError(f"'Values' cannot be specified with '{field}'")
    return read(given)


def _refuse_expressions(given: Mapping[str, Any]) -> None:
    configs = (given, *(value for value in given.values() if isinstance(value, Mapping)))
    if any(config.get("RegexValues") for config in configs):
        raise InvalidConfigurationRequest("Neargate has no regular expressions in conditions: use '*' and '?'")


def _pattern(field: str, config_name: str) -> Callable[[Mapping[str, Any]], GivenCondition]:
    """Of hosts and paths, which have an older form beside the newer one; AWS shows both."""

    def read(given: Mapping[str, Any]) -> GivenCondition:
        older, config = given.get("Values") or [], given.get(config_name)
        if older and config and list(config.get("Values") or []) != list(older):
            raise ValidationError(f"You can specify either 'Values' or '{config_name}' with '{field}'")
        values = list((config or {}).get("Values") or older)
        if not values:
            raise ValidationError("A condition value must be specified")
        if older and not config and len(older) > 1:
            raise ValidationError(f"The '{field}' field contains too many values; the limit is '1'")
        for value in values:
            _check_length(field, value)
            if not (_HOST_TEXT if field == HOST else _PATH_TEXT).fullmatch(value):
                raise ValidationError(f"The '{field}' value '{value}' has a character that it cannot have")
        shown = {"Field": field, "Values": values, config_name: {"Values": values}}
        return GivenCondition(condition=Condition(field=field, values=tuple(values)), shown=shown)

    return read


def _header(given: Mapping[str, Any]) -> GivenCondition:
    config = _config(given, HEADER, "HttpHeaderConfig")
    name = config.get("HttpHeaderName")
    if not name:
        raise ValidationError("A 'HttpHeaderName' must be specified in 'HttpHeaderConfig'")
    _check_length("HttpHeaderName", name, _NAME_LONGEST)
    if not _TOKEN.fullmatch(name) or "*" in name:
        raise ValidationError(f"The 'HttpHeaderName' value '{name}' is not a header's name")
    if name.lower() == "host":
        raise ValidationError("The 'HttpHeaderName' cannot be 'Host'; use a 'host-header' condition")
    values = _values(config, HEADER)
    for value in values:
        _check_text(HEADER, value)
    shown = {"Field": HEADER, "HttpHeaderConfig": {"HttpHeaderName": name, "Values": values}}
    return GivenCondition(condition=Condition(field=HEADER, name=name, values=tuple(values)), shown=shown)


def _method(given: Mapping[str, Any]) -> GivenCondition:
    values = _values(_config(given, METHOD, "HttpRequestMethodConfig"), METHOD)
    for value in values:
        _check_length(METHOD, value, _NAME_LONGEST)
        if not _METHOD_TEXT.fullmatch(value):
            raise ValidationError(
                f"The '{METHOD}' value is invalid; the allowed characters are A-Z, hyphen and underscore"
            )
    shown = {"Field": METHOD, "HttpRequestMethodConfig": {"Values": values}}
    return GivenCondition(condition=Condition(field=METHOD, values=tuple(values)), shown=shown)


def _query(given: Mapping[str, Any]) -> GivenCondition:
    config = _config(given, QUERY, "QueryStringConfig")
    listed = config.get("Values") or []
    if not listed:
        raise ValidationError(f"A '{QUERY}' value must be specified")
    pairs = []
    for one in listed:
        key, value = one.get("Key"), one.get("Value")
        if value is None:
            raise ValidationError("A 'Value' must be specified in 'QueryStringKeyValuePair'")
        if key is not None:
            _check_text("Key", key)
        _check_text("Value", value)
        pairs.append((key, value))
    shown = {"Field": QUERY, "QueryStringConfig": {"Values": [_pair(*one) for one in pairs]}}
    return GivenCondition(condition=Condition(field=QUERY, pairs=tuple(pairs)), shown=shown)


def _pair(key: str | None, value: str) -> dict[str, str]:
    return {"Value": value} if key is None else {"Key": key, "Value": value}


def _source(given: Mapping[str, Any]) -> GivenCondition:
    config = _config(given, SOURCE, "SourceIpConfig")
    values = _values(config, SOURCE)
    for value in values:
        try:
            network = ip_network(value)
        except ValueError:
            network = None
        # An IPv6 address may have a zone (`fe80::%zone`), which is any text: no block has one.
        if network is None or "/" not in value or "%" in value:
            raise ValidationError(f"The '{SOURCE}' value '{value}' is not a valid CIDR block")
    shown = {"Field": SOURCE, "SourceIpConfig": {"Values": values}}
    return GivenCondition(condition=Condition(field=SOURCE, values=tuple(values)), shown=shown)


_READERS: Mapping[str, Callable[[Mapping[str, Any]], GivenCondition]] = {
    HEADER: _header,
    METHOD: _method,
    HOST: _pattern(HOST, "HostHeaderConfig"),
    QUERY: _query,
    SOURCE: _source,
    PATH: _pattern(PATH, "PathPatternConfig"),
}


def _config(given: Mapping[str, Any], field: str, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] | None = given.get(name)
    if found is None:
        raise ValidationError(f"A '{name}' must be specified with '{field}'")
    return found


def _values(config: Mapping[str, Any], field: str) -> list[str]:
    found = list(config.get("Values") or [])
    if not found:
        raise ValidationError(f"A '{field}' value must be specified")
    return found


def _check_length(named: str, value: str, longest: int = _LONGEST) -> None:
    if not value:
        raise ValidationError(f"A '{named}' value must be specified")
    if len(value) > longest:
        raise ValidationError(f"The '{named}' value is too long; the limit is '{longest}'")


def _check_text(named: str, value: str) -> None:
    _check_length(named, value)
    if not _VISIBLE.fullmatch(value):
        raise ValidationError(f"The '{named}' value has a character that it cannot have")


def _wildcards(condition: Condition) -> int:
    if condition.field in (METHOD, SOURCE):
        return 0
    texts = [*condition.values, *(text for pair in condition.pairs for text in pair if text is not None)]
    return sum(text.count("*") + text.count("?") for text in texts)

"""Filters of DescribeParameters and GetParametersByPath: what is allowed, and which parameters they let through. Pure.

Sentences are Systems Manager's. A parameter is shown when all filters let it through, and a filter when one of its
values does.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from .errors import InvalidFilterKey, InvalidFilterOption, InvalidFilterValue, InvalidRequest
from .names import PATH_RULE
from .records import ADVANCED, INTELLIGENT, SECURE_STRING, STANDARD, STRING, STRING_LIST, Parameter, rooted

_EQUALS, _BEGINS, _CONTAINS, _RECURSIVE, _ONE_LEVEL = "Equals", "BeginsWith", "Contains", "Recursive", "OneLevel"
_DESCRIBED = ("Path", "Name", "Type", "KeyId", "Tier", "DataType")
_BY_PATH = ("Type", "KeyId", "Label")
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "Name": (_BEGINS, _EQUALS, _CONTAINS),
    "Path": (_RECURSIVE, _ONE_LEVEL),
    "Label": (_EQUALS,),
}
_ENUMS: Mapping[str, tuple[str, ...]] = {
    "Type": (STRING, STRING_LIST, SECURE_STRING),
    "Tier": (STANDARD, ADVANCED, INTELLIGENT),
}
_PATH = re.compile(r"/[a-zA-Z0-9_.\-/]*", re.ASCII)
_COMMON = (
    'Filters for common parameters can\'t be prefixed with "aws" or "ssm" (case-insensitive). When using global '
    "parameters, please specify within a global namespace."
)
FILTERS_MAX = 60  # more than there are keys and tags of a parameter


class Filter(Struct, frozen=True, kw_only=True):
    key: str
    option: str
    values: tuple[str, ...]

    def lets_through(self, one: Parameter) -> bool:
        version = one.current
        match self.key:
            case "Name":
                return self._fits(one.key if self.option != _CONTAINS else one.name)
            case "Path":
                return any(_is_below(one.key, path, self.option == _RECURSIVE) for path in self.values)
            case "Type":
                return self._fits(version.type)
            case "KeyId":
                return version.key_id is not None and self._fits(version.key_id)
            case "Tier":
                return self._fits(version.tier)
            case "DataType":
                return self._fits(version.data_type)
            case "Label":
                return any(label in self.values for label, _ in one.labels)
        tag = self.key.removeprefix("tag:")
        return any(key == tag and (not self.values or self._fits(value)) for key, value in one.tags)

    def _fits(self, found: str) -> bool:
        if self.option == _BEGINS:
            return found.startswith(self.values)
        if self.option == _CONTAINS:
            return any(value in found for value in self.values)
        return found in self.values


class Filters(Struct, frozen=True, kw_only=True):
    all: tuple[Filter, ...] = ()

    def let_through(self, one: Parameter) -> bool:
        return all(each.lets_through(one) for each in self.all)

    @property
    def names(self) -> tuple[str, ...] | None:
        """Whole names, when only these can pass: they need not be searched for."""
        for each in self.all:
            if each.key == "Name" and each.option == _EQUALS:
                return each.values
        return None

    def labelled(self, one: Parameter) -> int | None:
        """The newest version that has a label which is asked for; None when none is asked for."""
        for each in self.all:
            if each.key == "Label":
                return max(number for label, number in one.labels if label in each.values)
        return None


def described(given: Sequence[Mapping[str, Any]] | None, old: Sequence[Mapping[str, Any]] | None) -> Filters:
    """Of DescribeParameters; `old` is its former form of filters. Raises InvalidFilterKey and others."""
    if given and old:
        raise InvalidRequest("You can use either Filters or ParameterFilters in a single request.")
    former = [
        {"Key": one["Key"], "Option": _BEGINS if one["Key"] == "Name" else _EQUALS, "Values": one["Values"]}
        for one in old or ()
    ]
    return _filters(given or former, _DESCRIBED)


def by_path(given: Sequence[Mapping[str, Any]] | None) -> Filters:
    """Of GetParametersByPath."""
    return _filters(given or (), _BY_PATH)


def _filters(given: Sequence[Mapping[str, Any]], known: tuple[str, ...]) -> Filters:
    if len(given) > FILTERS_MAX:
        raise InvalidFilterKey(f"A request can have at most {FILTERS_MAX} filters.")
    keys: set[str] = set()
    found = []
    for one in given:
        key = one["Key"]
        if key not in known and not (key.startswith("tag:") and "Tier" in known):
            raise InvalidFilterKey(
                f"The following filter key is not valid: {key}. Valid filter keys include: [{', '.join(known)}]."
            )
        if key in keys:
            raise InvalidFilterKey(
                f"The following filter is duplicated in the request: {key}. A request can contain only one occurrence "
                "of a specific filter."
            )
        keys.add(key)
        found.append(_filter(key, one.get("Option"), tuple(one.get("Values") or ())))
    return Filters(all=tuple(found))


def _filter(key: str, option: str | None, values: tuple[str, ...]) -> Filter:
    options = _OPTIONS.get(key, (_BEGINS, _EQUALS))
    option = option or (_ONE_LEVEL if key == "Path" else _EQUALS)
    if option not in options:
        raise InvalidFilterOption(
            f"The following filter option is not valid: {option}. Valid options include: [{', '.join(options)}]."
        )
    if not values and not key.startswith("tag:"):
        raise InvalidFilterValue(f"The following filter values are missing : null for filter key {key}.")
    for value in values:
        if key in _ENUMS and value not in _ENUMS[key]:
            raise InvalidFilterValue(
                f"The following filter value is not valid: {value}. Valid values include: [{', '.join(_ENUMS[key])}]."
            )
        if key == "Path":
            _check_path(value)
    if key == "Name" and option != _CONTAINS:
        values = tuple(rooted(value) for value in values)
    return Filter(key=key, option=option, values=values)


def _check_path(path: str) -> None:
    if path.lower().startswith(("/aws", "/ssm")):
        raise InvalidRequest(_COMMON)
    if "//" in path or _PATH.fullmatch(path) is None:
        raise InvalidRequest(PATH_RULE)


def _is_below(key: str, path: str, recursive: bool) -> bool:
    prefix = path.removesuffix("/") + "/"
    return key.startswith(prefix) and (recursive or "/" not in key[len(prefix) :])

"""Names of parameters as requests give them: the rules, and what a name with a selector or an ARN refers to. Pure.

A name never holds a colon, so that what follows the first one is the selector. Invariant: two names that have one ARN
are one parameter (`records.rooted`).
"""

import re

from msgspec import Struct

from ...model.arn import Arn
from ...model.errors import AccessDenied
from .errors import HierarchyLevelLimitExceeded, InvalidRequest

NAME_MAX = 1011  # characters; AWS counts 2048 with the ARN's
LEVELS_MAX = 15
PUBLIC = "/aws/service/"

_CHARACTERS = re.compile(r"[a-zA-Z0-9_.\-/]+")
_PATH_RULE = (
    'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). If formed as a path, it can consist of sub-'
    "paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following "
    "3 symbols .-_"
)
_NAME_RULE = 'Parameter name: can\'t be prefixed with "aws" or "ssm" (case-insensitive).'
_QUALIFIED = "Parameter name must be a fully qualified name."
PATH_RULE = (
    "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash "
    '"/". It can\'t be prefixed with \\"aws\\" or \\"ssm\\" (case-insensitive). It must use only letters, numbers, or '
    "the following symbols: . (period), - (hyphen), _ (underscore). Special characters are not allowed. All "
    'sub-paths, if specified, must use the forward slash symbol "/". Valid example: /get/parameters2-/by1./path0_.'
)


class Reference(Struct, frozen=True, kw_only=True):
    """What a request names. `account` and `region`: of an ARN, else None. `selector`: version or label, else None."""

    given: str
    name: str
    selector: str | None = None
    account: str | None = None
    region: str | None = None


def reference(given: str) -> Reference:
    """A name or an ARN, with or without a selector. What is neither is a name that nothing has."""
    arn = Arn.parse(given)
    if arn is None or arn.service != "ssm" or not arn.resource.startswith("parameter/"):
        name, colon, selector = given.partition(":")
        return Reference(given=given, name=name, selector=selector if colon else None)
    name, colon, selector = arn.resource.removeprefix("parameter").partition(":")
    return Reference(
        given=given, name=name, selector=selector if colon else None, account=arn.account, region=arn.region
    )


def check_known_form(name: str) -> None:
    """Of a name that is only looked up. Raises InvalidRequest."""
    if _CHARACTERS.fullmatch(name) is None:
        raise InvalidRequest(_PATH_RULE)


def check_new(name: str) -> None:
    """Of a name that is to be made. Raises InvalidRequest, AccessDenied, HierarchyLevelLimitExceeded."""
    lower, is_path = name.lower(), name.count("/") > 1
    if lower.startswith("/aws") and is_path:
        raise AccessDenied(f"No access to reserved parameter name: {name}.")
    if lower.removeprefix("/").startswith(("aws", "ssm")):
        raise InvalidRequest(_PATH_RULE if is_path else _NAME_RULE)
    check_known_form(name)
    if len(name) > NAME_MAX:
        raise InvalidRequest(
            f"1 validation error detected: Value '{name[:64]}...' at 'name' failed to satisfy constraint: Member must "
            f"have length less than or equal to {NAME_MAX}"
        )
    if "/" in name and not name.startswith("/"):
        raise InvalidRequest(_QUALIFIED)
    if "//" in name or name.endswith("/"):
        raise InvalidRequest(_PATH_RULE)
    if name.count("/") > LEVELS_MAX:
        raise HierarchyLevelLimitExceeded(
            f"A hierarchy can have a maximum of {LEVELS_MAX} levels. For more information, see Requirements and "
            "constraints for parameter names in the AWS Systems Manager User Guide."
        )


def check_path(path: str) -> str:
    """Of GetParametersByPath: the path without its last slash, `` for all. Raises InvalidRequest."""
    if not path.startswith("/") or "//" in path or _CHARACTERS.fullmatch(path) is None:
        raise InvalidRequest(PATH_RULE)
    return path.removesuffix("/")

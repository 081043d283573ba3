"""The checks on what a parameter is to hold, with Systems Manager's sentences. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from ...regex.linear import LinearRegex, TooComplex
from ...regex.syntax import BadRegex, read_regex
from .errors import (
    InvalidAllowedPattern,
    InvalidPolicyType,
    InvalidRequest,
    ParameterLimitExceeded,
    ParameterPatternMismatch,
    TooManyTags,
)
from .records import ADVANCED, INTELLIGENT, STANDARD, Tags

# Characters of a value, and parameters of an account, by tier. AWS's.
VALUE_MAX: Mapping[str, int] = {STANDARD: 4096, ADVANCED: 8192}
COUNT_MAX: Mapping[str, int] = {STANDARD: 10_000, ADVANCED: 100_000}
VERSIONS_MAX = 100
LABELS_MAX = 10
TAGS_MAX = 50
TEXT = "text"

_LARGER = (
    "Standard tier parameters support a maximum parameter value of 4096 characters. To create a larger parameter "
    "value, upgrade the parameter to use the advanced-parameter tier. For more information, see "
    "https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"
)
_NO_DOWNGRADE = (
    "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter "
    "tier to the standard-parameter tier. If necessary, you can delete the advanced parameter and recreate it as a "
    "standard parameter."
)
_NO_NESTING = 'Parameter value can\'t nest another parameter. Do not use "{{}}" in the value.'


def check_value(value: str) -> None:
    """Raises InvalidRequest for what no parameter holds, whatever its tier."""
    if not value:
        raise InvalidRequest(
            "1 validation error detected: Value at 'value' failed to satisfy constraint: Member must have length "
            "greater than or equal to 1"
        )
    if "{{" in value and "}}" in value.partition("{{")[2]:
        raise InvalidRequest(_NO_NESTING)


def tier_of(wanted: str | None, previous: str | None, size: int, standard_is_full: bool) -> str:
    """STANDARD or ADVANCED for a value of `size` characters. Raises InvalidRequest.

    `wanted`: of the request, `previous`: of the parameter as it is.
    """
    if wanted == INTELLIGENT:
        wanted = ADVANCED if size > VALUE_MAX[STANDARD] or previous == ADVANCED or standard_is_full else STANDARD
    tier = wanted or previous or STANDARD
    if previous == ADVANCED and tier == STANDARD:
        raise InvalidRequest(_NO_DOWNGRADE)
    if size > VALUE_MAX[tier]:
        if tier == STANDARD:
            raise InvalidRequest(_LARGER)
        raise InvalidRequest(
            f"Advanced tier parameters support a maximum parameter value of {VALUE_MAX[tier]} characters."
        )
    return tier


def check_room(tier: str, there: int) -> None:
    """Before one more of a tier is added to those that are there. Raises ParameterLimitExceeded."""
    if there >= COUNT_MAX[tier]:
        raise ParameterLimitExceeded(
            "You have exceeded the number of parameters for this AWS account. Delete one or more parameters "
            "and try again."
        )


def check_pattern(pattern: str | None, value: str) -> None:
    """The whole value must fit. Raises InvalidAllowedPattern, ParameterPatternMismatch."""
    if not pattern:
        return
    try:
        read_regex(pattern)  # by itself: `a)|(b` is none, but would be one within the group below
        fits = LinearRegex(rf"\A(?:{pattern})\z").found_in(value)
    except TooComplex:
        raise InvalidAllowedPattern("Matching the value against the allowed pattern takes too long.") from None
    except BadRegex as refused:
        raise InvalidAllowedPattern(
            f"The request does not meet the regular expression requirement: {refused}."
        ) from None
    if not fits:
        raise ParameterPatternMismatch(f"Parameter value, cannot be validated against allowedPattern: {pattern}")


def check_data_type(name: str) -> None:
    """`aws:ec2:image` and `aws:ssm:integration` name things that are not here: nothing could vouch for a value."""
    if name != TEXT:
        raise InvalidRequest(f"The following data type is not supported: {name} (Data type names are all lowercase.)")


def check_policies(text: str | None) -> None:
    """An empty list is how AWS's clients take policies away."""
    if text is not None and "".join(text.split()) not in ("[]", "[{}]"):
        raise InvalidPolicyType("Parameter policies are not supported.")


def tags_of(given: Sequence[Mapping[str, str]] | None) -> Tags:
    """From a request's list. No key stands twice. Raises InvalidRequest, TooManyTags."""
    return with_tags((), given or ())


def with_tags(old: Tags, given: Sequence[Mapping[str, str]]) -> Tags:
    new = {tag["Key"]: tag["Value"] for tag in given}
    if len(new) != len(given):
        raise InvalidRequest("Duplicate tag keys found.")
    _refuse_reserved(new)
    merged = dict(old) | new
    if len(merged) > TAGS_MAX:
        raise TooManyTags
    return tuple(merged.items())


def without_tags(old: Tags, keys: Iterable[str]) -> Tags:
    gone = set(keys)
    return tuple((key, value) for key, value in old if key not in gone)


def _refuse_reserved(keys: Iterable[str]) -> None:
    if any(key.lower().startswith("aws:") for key in keys):
        raise InvalidRequest("Tag keys that start with aws: are reserved for internal use by AWS.")

"""Errors of the protocols themselves, before an operation is reached. Texts are AWS's where AWS's are known."""

from typing import ClassVar

from ..model.errors import AwsError, InvalidParameter
from .shapes import ServiceModel
from .violations import Violation, sentence


class SerializationError(AwsError):
    """A JSON body that is not the shape's: malformed, or a value of the wrong JSON type."""

    code: ClassVar[str] = "SerializationException"


class MalformedQuery(AwsError):
    """A form or query string that cannot be read."""

    code: ClassVar[str] = "MalformedQueryString"
    status: ClassVar[int] = 400


class MalformedInput(AwsError):
    """A query-protocol value that is not of the shape's type."""

    code: ClassVar[str] = "MalformedInput"


class ValidationError(AwsError):
    """A query-protocol request that breaks constraints; all of them in one message."""

    code: ClassVar[str] = "ValidationError"


class MissingParameter(AwsError):
    code: ClassVar[str] = "MissingParameter"


class InvalidParameterValue(AwsError):
    code: ClassVar[str] = "InvalidParameterValue"


class UnknownParameter(AwsError):
    code: ClassVar[str] = "UnknownParameter"


class ValidationException(AwsError):
    code: ClassVar[str] = "ValidationException"


class IllegalArgument(AwsError):
    code: ClassVar[str] = "IllegalArgumentException"


class InvalidInput(AwsError):
    code: ClassVar[str] = "InvalidInput"


class InvalidMaxResults(AwsError):
    code: ClassVar[str] = "InvalidMaxResultsException"


_CONSTRAINT_ERRORS: tuple[type[AwsError], ...] = (InvalidParameter, ValidationException, IllegalArgument, InvalidInput)
_VALIDATING = frozenset({"acm"})  # which has InvalidParameterException too, for what it finds out later
# Members whose bounds a service checks by itself, before its generic validation, with an error and words of its own.
_OWN_BOUNDS: dict[tuple[str, str], tuple[type[AwsError], str]] = {
    ("cloudtrail", "maxResults"): (
        InvalidMaxResults,
        "A max results value of {} is invalid. Specify max results between 1 and 50.",
    )
}


def broken_constraints(model: ServiceModel, found: list[Violation]) -> AwsError:
    """What a JSON, rest-json or CBOR service answers to parameters that break its model's constraints."""
    own = _OWN_BOUNDS.get((model.name, found[0].path)) if len(found) == 1 else None
    if own is not None:
        kind, text = own
        return kind(text.format(found[0].shown.strip("'")))
    if model.name in _VALIDATING:
        return ValidationException(sentence(found, model.name))
    kinds = (kind for kind in _CONSTRAINT_ERRORS if model.has_shape(kind.code))
    return next(kinds, ValidationException)(sentence(found, model.name))

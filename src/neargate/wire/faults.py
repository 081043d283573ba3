"""Errors of the protocols themselves, before an operation is reached. Texts are AWS's where AWS's are known."""

from typing import ClassVar

from ..model.errors import AwsError, InvalidParameter
from .shapes import ServiceModel


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


_CONSTRAINT_ERRORS: tuple[type[AwsError], ...] = (InvalidParameter, ValidationException, IllegalArgument)


def constraint_error(model: ServiceModel) -> type[AwsError]:
    """What a JSON, rest-json or CBOR service calls parameters that break its model's constraints."""
    for kind in _CONSTRAINT_ERRORS:
        if model.has_shape(kind.code):
            return kind
    return ValidationException

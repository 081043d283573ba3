"""Constraint violations in the words of AWS's request validation, collected and joined into one sentence.

Paths are AWS's: lower-case first letter, list elements `.1.member`, map values `.key.member`.
"""

import re
from typing import Any, NamedTuple

from .shapes import Shape

VALUE_SHOWN_MAX = 1024
VIOLATIONS_MAX = 100
NOT_NULL = "Member must not be null"

# AWS writes patterns in Java's syntax. Python has no \p{..}: \w covers letters and digits, the spaces are spelled out.
# Every pattern that uses them also allows the underscore that \w adds.
_SPACES = " \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"

# Patterns that a backtracking matcher takes for ever to refuse, or too long, and the same language without that.
_AMBIGUOUS = {
    r"^[a-z0-9*](?:[._\-/a-z0-9*]?[a-z0-9*]+)*$": r"^[a-z0-9*](?:[._\-/]?[a-z0-9*])*$",
    r"arn:aws(-[\w]+)*:*:.+:[0-9]{12}:.+": r"arn:aws(-[\w]+)*:.+:[0-9]{12}:.+",
}

# Members that a service checks by itself, before its generic validation, with words of its own.
_MISSING_TEXTS = {("ecs", "taskDefinition"): "TaskDefinition can not be blank."}
_PATTERN = "Member must satisfy regular expression pattern: "
# IAM checks the letters of names and paths by itself, too.
_IAM_NAME = "It must contain only alphanumeric characters and/or the following: +=,.@_-"
_IAM_PATH = "It must begin and end with / and contain only alphanumeric characters and/or / characters."


class Violation(NamedTuple):
    path: str
    shown: str  # the value as printed, with quotes, or `null`, or empty for a sensitive one
    constraint: str


def python_pattern(pattern: str) -> str | None:
    """The same language for Python's `re`, anchored at both ends; None for what Python cannot express.

    Requests are held to it before anybody is asked for leave: no text may take long, whatever it is.
    """
    pattern = _AMBIGUOUS.get(pattern, pattern)
    unicode = "\\p{" in pattern
    text = pattern.replace("\\p{L}", "\\w").replace("\\p{N}", "").replace("\\p{Z}", _SPACES)
    if "\\p{" in text or "\\u10000" in text:
        return None
    text = f"(?:{text})" if unicode else f"(?a:{text})"
    return f"\\A{text}\\Z"


def constraints(shape: Shape, value: Any) -> list[str]:
    """The sentences of `shape`'s own constraints that `value` (of the right type) breaks."""
    broken = []
    number = shape.type in ("integer", "long", "float", "double")
    size = value if number else len(value) if hasattr(value, "__len__") else None
    if size is not None:
        noun = "value" if number else "length"
        # Written so that NaN, which is not less than anything, breaks them too.
        if shape.maximum is not None and not size <= shape.maximum:
            broken.append(f"Member must have {noun} less than or equal to {shape.maximum}")
        if shape.minimum is not None and not size >= shape.minimum:
            broken.append(f"Member must have {noun} greater than or equal to {shape.minimum}")
    if shape.pattern is not None:
        pattern = python_pattern(shape.pattern)
        if pattern is not None and re.search(pattern, value) is None:
            broken.append(f"{_PATTERN}{shape.pattern}")
    if shape.enum and value not in shape.enum:
        broken.append(f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    return broken


def printed(value: Any) -> str:
    """As Java prints it: lists `[a, b]`, maps `{k=v}`; bounded."""
    if isinstance(value, list):
        text = f"[{', '.join(printed(item) for item in value[:50])}]"
    elif isinstance(value, dict):
        text = f"{{{', '.join(f'{key}={printed(item)}' for key, item in list(value.items())[:50])}}}"
    elif value is None:
        text = "null"
    elif isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = str(value)
    return text[:VALUE_SHOWN_MAX]


def shown(shape: Shape, value: Any) -> str:
    return "" if shape.sensitive else f"'{printed(value)}'"


def member_path(parent: str, name: str) -> str:
    name = name[:1].lower() + name[1:]
    return f"{parent}.{name}" if parent else name


def element_path(parent: str, index: int) -> str:
    return f"{parent}.{index + 1}.member"


def sentence(violations: list[Violation], service: str = "") -> str:
    """`1 validation error detected: Value 'x' at 'launchType' failed to satisfy constraint: ...`."""
    if len(violations) == 1 and violations[0].constraint == NOT_NULL:
        known = _MISSING_TEXTS.get((service, violations[0].path))
        if known is not None:
            return known
    if service == "iam" and len(violations) == 1 and violations[0].constraint.startswith(_PATTERN):
        path = violations[0].path
        if path == "path" or path.endswith("Name"):
            return f"The specified value for {path} is invalid. {_IAM_PATH if path == 'path' else _IAM_NAME}"
    plural = "" if len(violations) == 1 else "s"
    parts = [
        f"Value {violation.shown} at '{violation.path}' failed to satisfy constraint: {violation.constraint}"
        if violation.shown
        else f"Value at '{violation.path}' failed to satisfy constraint: {violation.constraint}"
        for violation in violations[:VIOLATIONS_MAX]
    ]
    return f"{len(violations)} validation error{plural} detected: {'; '.join(parts)}"

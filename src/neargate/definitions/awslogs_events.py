"""Where a new log event begins: awslogs-multiline-pattern, and awslogs-datetime-format as the expression it stands for.

Pure. The expressions are Go's, as the Docker driver reads them; one that this host's matcher does not take is refused
when the definition is registered. Source of the format's letters: "Amazon CloudWatch Logs logging driver", Docker.
"""

import re
from collections.abc import Mapping

from ..model.errors import ClientError
from ..regex.linear import LinearRegex
from ..regex.syntax import BadRegex

PATTERN = "awslogs-multiline-pattern"
DATETIME = "awslogs-datetime-format"
EXPRESSION_MAX = 4096
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def _one_of(words: list[str]) -> str:
    return f"(?:{'|'.join(words)})"


_LETTERS = {
    "a": _one_of([day[:3] for day in _DAYS]),
    "A": _one_of(_DAYS),
    "w": "[0-6]",
    "d": "(?:0[1-9]|[12][0-9]|3[01])",
    "b": _one_of([month[:3] for month in _MONTHS]),
    "B": _one_of(_MONTHS),
    "m": "(?:0[1-9]|1[0-2])",
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "H": "(?:[01][0-9]|2[0-3])",
    "I": "(?:0[0-9]|1[0-2])",
    "p": "[AP]M",
    "M": "[0-5][0-9]",
    "S": "[0-5][0-9]",
    "f": r"\d{6}",
    "z": r"[+-]\d{4}",
    "Z": "[A-Z]{1,4}T",
    "j": r"(?:00[1-9]|0[1-9][0-9]|[12][0-9][0-9]|3[0-5][0-9]|36[0-6])",
    "L": r"\.\d{3}",
}
_DIRECTIVE = re.compile("%(.)", re.DOTALL)


def event_start(options: Mapping[str, str]) -> str | None:
    """The expression that the first line of an event matches; None: each line is an event."""
    if PATTERN in options:
        return options[PATTERN]
    if DATETIME in options:
        # What is no directive stands as it is, and may be an expression too; an unknown directive stands for nothing.
        return _DIRECTIVE.sub(lambda found: _LETTERS.get(found[1], ""), options[DATETIME])
    return None


def check_event_start(options: Mapping[str, str]) -> None:
    """Raises ClientError."""
    if PATTERN in options and DATETIME in options:
        raise ClientError(f"you cannot configure log opt '{DATETIME}' and '{PATTERN}' at the same time")
    expression = event_start(options)
    if expression is None:
        return
    name = PATTERN if PATTERN in options else DATETIME
    try:
        if not expression or len(expression) > EXPRESSION_MAX:
            raise BadRegex("empty, or too long")
        LinearRegex(expression)
    except BadRegex as bad:
        raise ClientError(f'awslogs could not parse multiline pattern key "{options[name]}": {bad}') from None

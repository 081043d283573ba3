"""For how long a task of a service may be protected, in minutes, and AWS's words for another time. Pure."""

from .errors import InvalidParameter

MINUTES_DEFAULT = 120
MINUTES_MAX = 2880


def checked_minutes(given: int | None) -> int:
    if given is None:
        return MINUTES_DEFAULT
    if not 1 <= given <= MINUTES_MAX:
        raise InvalidParameter(f"expiresInMinutes must be between 1 and {MINUTES_MAX}.")
    return given

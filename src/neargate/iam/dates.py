"""Dates in conditions: the W3C forms of ISO 8601 with any precision, or seconds since 1970.

As lenient as IAM (hours of one digit, years far outside the calendar): what IAM takes is taken, and compared exactly.
"""

from fractions import Fraction

_EPOCH_MAX = 2**63 - 1
_YEAR_MIN, _YEAR_MAX = -292275054, 292278993
_LENGTH_MAX = 64


def seconds(text: str) -> Fraction:
    """Seconds since 1970. Raises ValueError."""
    if len(text) > _LENGTH_MAX or not text.isascii():
        raise ValueError("not a date")
    lower = text.strip().lower()
    if "t" not in lower and "-" not in lower:
        return Fraction(_number(lower, 0, _EPOCH_MAX))
    day, _, clock = lower.partition("t")
    return 86400 * _days(day) + _clock(clock)


def _days(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    words = text.removeprefix("-").split("-")
    if len(words) > 3:
        raise ValueError("not a date")
    year = sign * _number(words[0], 0, 300_000_000)
    if not _YEAR_MIN <= year <= _YEAR_MAX:
        raise ValueError("no such year")
    month = _number(words[1], 1, 12) if len(words) > 1 else 1
    day = _number(words[2], 1, 31) if len(words) > 2 else 1
    return _days_from_civil(year, month, day)


def _days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01, the calendar extended both ways; years begin in March here, so that leap days end them."""
    year -= month <= 2
    in_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return 365 * year + year // 4 - year // 100 + year // 400 + in_year - 719468


def _clock(text: str) -> Fraction:
    if not text:
        return Fraction(0)
    text, offset = _offset(text)
    words = text.split(":")
    if len(words) > 3:
        raise ValueError("not a time")
    hours = _number(words[0], 0, 23)
    minutes = _number(words[1], 0, 59) if len(words) > 1 else 0
    whole, dot, fraction = words[2].partition(".") if len(words) > 2 else ("0", "", "")
    value = Fraction(3600 * hours + 60 * minutes + _number(whole, 0, 59) - offset)
    if dot:
        value += Fraction(_number(fraction, 0, 999_999_999), 10 ** len(fraction))
    return value


def _offset(text: str) -> tuple[str, int]:
    """The time without its zone, and the zone's seconds east of UTC."""
    if text.endswith("z"):
        return text[:-1], 0
    for sign, factor in (("+", 1), ("-", -1)):
        clock, found, zone = text.partition(sign)
        if found:
            hours, _, minutes = zone.partition(":")
            if len(hours) != 2 or (minutes and len(minutes) != 2):
                raise ValueError("not a zone")
            return clock, factor * (3600 * _number(hours, 0, 23) + 60 * _number(minutes or "0", 0, 59))
    return text, 0


def _number(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("not a number")
    value = int(text)
    if not least <= value <= most:
        raise ValueError("out of range")
    return value

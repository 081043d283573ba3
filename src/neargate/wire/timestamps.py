"""Moments as each protocol writes them: epoch seconds, ISO 8601, and the dates of HTTP headers. Pure.

Inside there is one form, epoch seconds as a float. Reading takes whatever AWS's services take; writing is exact.
"""

import math
import re
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime

ISO8601 = "iso8601"
RFC822 = "rfc822"
UNIX = "unixTimestamp"

EPOCH_MAX_S = 253_402_300_799  # the last second of the year 9999
TEXT_MAX = 64
_NUMBER = re.compile(r"-?\d{1,32}(\.\d{1,32})?([eE][+-]?\d{1,2})?")
_FRACTION = re.compile(r"(:\d\d)(\.\d{1,9})(?= )")


def read_moment(text: str, style: str | None = None) -> float | None:
    """Epoch seconds; None for what is no moment. Without a style: ISO 8601 or a number."""
    text = text.strip()
    if len(text) > TEXT_MAX:
        return None
    if style == RFC822:
        return _http_date(text)
    if style != ISO8601 and _NUMBER.fullmatch(text):
        return bounded(float(text))
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def bounded(epoch: float) -> float | None:
    """None for a number that no calendar has."""
    return epoch if math.isfinite(epoch) and abs(epoch) <= EPOCH_MAX_S else None


def _http_date(text: str) -> float | None:
    fraction = _FRACTION.search(text)
    try:
        moment = parsedate_to_datetime(_FRACTION.sub(r"\1", text))
        epoch = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return epoch + (float(fraction[2]) if fraction else 0.0)


def write_iso8601(epoch: float, *, always_millis: bool = False) -> str:
    """Whole seconds unless there is a fraction; EC2 always writes milliseconds."""
    moment = datetime.fromtimestamp(epoch, UTC)
    if always_millis or moment.microsecond:
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"


def write_http_date(epoch: float) -> str:
    whole = math.floor(epoch)
    text = formatdate(whole, usegmt=True)
    millis = round((epoch - whole) * 1000)
    return text if not millis else text.replace(" GMT", f".{millis:03d} GMT")


def write_unix(epoch: float) -> str:
    return str(int(epoch)) if epoch == int(epoch) else repr(epoch)


def write_moment(epoch: float, style: str) -> str:
    if style == RFC822:
        return write_http_date(epoch)
    return write_iso8601(epoch) if style == ISO8601 else write_unix(epoch)

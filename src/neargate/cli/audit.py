"""`neargate audit`: the record of calls as JSON lines in CloudTrail's format, oldest first."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

from ..model.ids import ACCOUNT_PATTERN
from . import config as configs
from .admin import ask
from .paths import RegionPaths
from .problems import Problem

ASK_S = 60.0
_SPAN = re.compile(r"(\d{1,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def export(paths: RegionPaths, *, since: str, until: str, account: str, say: Callable[[str], None]) -> None:
    """Print every record of the time that was asked for; calls made meanwhile are not waited for."""
    configs.load(paths)
    if account and not ACCOUNT_PATTERN.match(account):
        raise Problem(f"--account {account!r} is not an account id; write 12 digits")
    now = time.time()
    start = moment(since, now) if since else 0.0
    end = moment(until, now) if until else now
    after = None
    while True:
        answer = ask(
            *(paths, "audit", ASK_S), account=account, start_ms=int(start * 1000), end_ms=int(end * 1000), after=after
        )
        for record in answer["records"]:
            say(record)
        after = answer["after"]
        if after is None:
            return


def moment(text: str, now: float) -> float:
    """Epoch seconds of a span before now (30m, 24h, 7d) or of a time (2026-11-22, 2026-11-22T10:00:00Z; UTC)."""
    span = _SPAN.fullmatch(text)
    if span is not None:
        return max(0.0, now - int(span[1]) * _SECONDS[span[2]])
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Problem(f"{text!r} is no time; write a span like 24h or 7d, or 2026-11-22T10:00:00Z") from None

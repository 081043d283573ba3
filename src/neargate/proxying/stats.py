"""What a proxy tells of its targets (`show stat`) as rows, and what its checks say as AWS's verdicts.

A target is `initial` from when it came until a check passed, or until as many as make a target unhealthy had the time
to fail. Invariant: a verdict never goes back to initial by itself.
"""

from collections.abc import Mapping

from msgspec import Struct

from ..model.balancing import CODE_MISMATCH, FAILED_CHECKS, HEALTHY, INITIAL, TIMED_OUT, UNHEALTHY, HealthCheck

_NO_CHECK_YET = ("", "INI", "UNK")
_COUNT_MAX = 2**53  # exact as a float, too
_PID_DIGITS_MAX = 10
_ROWS_MAX = 131_072  # thrice as many targets as a plan may have, twice, and all the rest
_OLD_MAX = 64  # above `configuration.RELOADS_MAX`
_SHORT_MAX = 65_536  # of an answer that has a line for each process, or for each number of one
_SILENCE_MS = 2500  # a node's kernel gives a connection up after 3 s; what is refused or reset is so at once


class Row(Struct, frozen=True, kw_only=True):
    """Of one server, of a whole backend (then `server` is BACKEND), or of a frontend (FRONTEND).

    `since_s`: since its status changed. `requests`: of a frontend.
    """

    backend: str
    server: str
    status: str
    current: int = 0
    check: str = ""
    code: str = ""
    check_ms: int = 0
    since_s: int = 0
    answers: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)  # 2xx, 3xx, 4xx, 5xx, connection errors
    retried: int = 0
    connections: int = 0
    requests: int = 0
    received: int = 0
    sent: int = 0

    @property
    def is_up(self) -> bool:
        return self.status.startswith("UP") or self.status == "no check"

    @property
    def is_out(self) -> bool:
        """Gets nothing new, whatever its checks say."""
        return self.status.startswith(("MAINT", "DRAIN"))

    @property
    def passes(self) -> bool | None:
        """What the last check said; None before the first."""
        word = self.check.removeprefix("* ")
        if word in _NO_CHECK_YET:
            return None
        return word.endswith("OK") or word == "L7OKC"


def rows(told: str) -> list[Row]:
    """Raises ValueError for what is no answer of `show stat`, not all of one (a process may be killed while it
    answers), or more than any plan has: whoever reads it does nothing else meanwhile."""
    heading, *lines = told.lstrip().split("\n", _ROWS_MAX)
    if len(lines) >= _ROWS_MAX:
        raise ValueError("too many statistics")
    if not heading.startswith("# pxname,svname,"):
        raise ValueError("no statistics")
    columns = {name: at for at, name in enumerate(heading[2:].split(","))}
    try:
        return [_row(line.split(","), columns) for line in lines if line]
    except LookupError:
        raise ValueError("statistics that end in their middle") from None


def _row(words: list[str], columns: Mapping[str, int]) -> Row:
    def number(name: str) -> int:
        """None of a column that this HAProxy does not have. What is no count of anything comes from no HAProxy."""
        return min(max(0, int(words[columns[name]] or 0)), _COUNT_MAX) if name in columns else 0

    return Row(
        backend=words[0],
        server=words[1],
        status=words[columns["status"]],
        current=number("scur"),
        check=words[columns["check_status"]],
        code=words[columns["check_code"]],
        check_ms=number("check_duration"),
        since_s=number("lastchg"),
        answers=(
            number("hrsp_2xx"),
            number("hrsp_3xx"),
            number("hrsp_4xx"),
            number("hrsp_5xx"),
            number("econ"),
        ),
        retried=number("wretr") + number("wredis"),
        connections=number("stot"),
        requests=number("req_tot"),
        received=number("bin"),
        sent=number("bout"),
    )


def info(told: str) -> tuple[str, int]:
    """Of an answer to `show info`: the shape that the process runs, and its pid. Raises ValueError for what is none."""
    pairs = dict(line.partition(": ")[::2] for line in told[:_SHORT_MAX].splitlines())
    if "description" not in pairs or "Pid" not in pairs:
        raise ValueError("no information")
    return pairs["description"].removeprefix("shape-").strip(), int(pairs["Pid"])


def replaced(told: str) -> list[int]:
    """Of an answer to `show proc`: the workers that end with their connections. No more than a master lets live."""
    lines = iter(told[:_SHORT_MAX].splitlines())
    found = []
    for line in lines:
        if line.startswith("# old workers"):
            break
    for line in lines:
        words = line.split()
        if line.startswith("#"):
            break
        if len(words) > 1 and words[1] == "worker" and words[0].isdecimal() and len(words[0]) <= _PID_DIGITS_MAX:
            found.append(int(words[0]))
    return found[:_OLD_MAX]


class Known(Struct, frozen=True, kw_only=True):
    """What was said last. `since`: when the target came, on the host's clock that never goes back."""

    state: str = INITIAL
    since: float = 0.0
    reason: str = ""
    detail: str = ""


def judged(known: Known | None, row: Row, probe: Row | None, check: HealthCheck, now: float) -> Known:
    """`known` None: the target was here before whoever asks. `probe`: of the frequent tries of a fresh target."""
    if row.is_up:
        return Known(state=HEALTHY, since=now if known is None else known.since)
    patience_s = check.unhealthy * check.interval_s
    if known is None:
        fresh = row.since_s < patience_s
        known = Known(state=INITIAL if fresh else UNHEALTHY, since=now - row.since_s)
    if known.state == INITIAL:
        if probe is not None and probe.is_up and probe.passes:
            return Known(state=HEALTHY, since=known.since)
        told = probe if probe is not None and probe.passes is False else row
        if told.passes is not False or now - known.since < patience_s:
            return known
        return _failed(told, known)
    # While it is on its way up its checks pass; why it is not healthy is what was said before.
    return _failed(row, known) if row.passes is False or not known.reason else known


def _failed(row: Row, known: Known) -> Known:
    reason, detail = reason_of(row)
    return Known(state=UNHEALTHY, since=known.since, reason=reason, detail=detail)


def reason_of(row: Row) -> tuple[str, str]:
    """AWS's code and description."""
    word = row.check.removeprefix("* ")
    if word == "L7STS" and row.code not in ("", "0"):
        return CODE_MISMATCH, f"Health checks failed with these codes: [{row.code}]"
    if word.endswith("TOUT") or (word == "L4CON" and row.check_ms >= _SILENCE_MS):
        return TIMED_OUT, "Request timed out"
    return FAILED_CHECKS, "Health checks failed"

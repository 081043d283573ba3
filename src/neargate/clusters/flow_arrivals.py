"""What an agent says of its interfaces' traffic, judged before anything of the server uses it. Pure.

Whether the host has the interface is decided where the interface is looked up. Invariant: what passes is one record a
line, each of the interface and the account it is stored under, and of a time that CloudWatch Logs takes.
"""

import re
from itertools import pairwise

from ..interfaces.roles import FlowLogTarget
from ..link.messages import FlowsAppend
from ..model.flow_logs import FlowLogBatch
from ..model.knobs import Knobs

NUMBER_MAX = 2**48
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LINE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")
_TOO_OLD_MS, _TOO_NEW_MS = 14 * 24 * 3600 * 1000, 2 * 3600 * 1000
_UNKNOWN = ("-", "unknown")


def names_problem(message: FlowsAppend) -> str | None:
    """Its names are kept for as long as the connection lasts."""
    names = (message.counter, message.batch.flow_log_id, message.batch.eni_id)
    if all(_ID.fullmatch(name) is not None for name in names):
        return None
    return "A name of a flow log, of an interface or of a counter is none."


def batch_problem(batch: FlowLogBatch, knobs: Knobs, now: float) -> str | None:
    """Twice what an honest agent sends may come: it may be of another release."""
    events = batch.events
    if not 0 <= batch.number < NUMBER_MAX:
        return "The number of a batch is out of range."
    if not 0 < len(events) <= 2 * knobs.flow_batch_max_events:
        return f"A batch of {len(events)} records is not acceptable."
    if sum(len(line) for _, line in events) > 2 * knobs.flow_batch_max_bytes:
        return "A batch has too many bytes."
    times = [at for at, _ in events]
    if any(later < earlier for earlier, later in pairwise(times)):
        return "The records of a batch are not in chronological order."
    now_ms = now * 1000
    if times[0] < now_ms - _TOO_OLD_MS or times[-1] > now_ms + _TOO_NEW_MS:
        return "A record is too old or too new."
    return None


def lines_problem(batch: FlowLogBatch, target: FlowLogTarget) -> str | None:
    """A host speaks of its own interfaces only, also within a line."""
    if target.access_of:
        return _access_problem(batch, target.access_of)
    fields = target.fields
    accounts = [place for place, name in enumerate(fields) if name == "account-id"]
    interfaces = [place for place, name in enumerate(fields) if name == "interface-id"]
    for _, line in batch.events:
        words = line.split(" ")
        if _LINE.fullmatch(line) is None or len(words) != len(fields):
            return f"A record is not one line of {len(fields)} fields."
        if any(words[place] not in (target.log.account, *_UNKNOWN) for place in accounts):
            return "A record is of another account."
        if any(words[place] not in (batch.eni_id, *_UNKNOWN) for place in interfaces):
            return "A record is of another interface."
    return None


def _access_problem(batch: FlowLogBatch, name: str) -> str | None:
    """Of its fields the third alone says whose it is: the others are what clients sent."""
    for _, line in batch.events:
        if not (line.isascii() and line.isprintable()):
            return "A line of an access log is not one line of printable text."
        if line.split(" ", 3)[2:3] != [name]:
            return "A line of an access log is of another load balancer."
    return None

"""LookupEvents: an account's management events of the last 90 days, newest first.

Owns the checks of its parameters and its token; events are the trail's. Invariant: an account sees its own calls only,
and a token goes on only with the question that it was given for.
"""

import hashlib
from typing import Any, ClassVar

import msgspec

from ....interfaces.trail import Place, TrailEntry, TrailQuery
from ....model.errors import AwsError
from ... import pages
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...services import Services

KEEP_MS = 90 * 24 * 3600 * 1000
PAGE_MAX = 50
_INT_MAX = 1 << 62


class InvalidLookupAttributes(AwsError):
    code: ClassVar[str] = "InvalidLookupAttributesException"


class InvalidNextToken(AwsError):
    code: ClassVar[str] = "InvalidNextTokenException"


class InvalidTimeRange(AwsError):
    code: ClassVar[str] = "InvalidTimeRangeException"


async def lookup_events(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "cloudtrail:LookupEvents", ["*"])
    wanted = _query(call, params)
    question = _question(wanted, params)
    after = _read_token(params["NextToken"], question) if params.get("NextToken") else None
    if params.get("EventCategory") == "insight":
        return {"Events": []}  # nothing here looks for unusual activity
    page = await services.trail.lookup(wanted, after)
    answer: dict[str, Any] = {"Events": [_shown(entry) for entry in page.entries]}
    if page.more is not None:
        answer["NextToken"] = _show_token(page.more, question)
    return answer


def _query(call: Call, params: Params) -> TrailQuery:
    given = params.get("LookupAttributes") or []
    if len(given) > 1:
        raise InvalidLookupAttributes("You can only specify one lookup attribute.")
    attribute = (str(given[0]["AttributeKey"]), str(given[0]["AttributeValue"])) if given else None
    if attribute is not None and attribute[0] == "ReadOnly":
        attribute = ("ReadOnly", attribute[1].lower())
        if attribute[1] not in ("true", "false"):
            raise InvalidLookupAttributes("The value of ReadOnly must be true or false.")
    now_ms = int(call.now * 1000)
    start_ms, end_ms = _milliseconds(params.get("StartTime"), 0), _milliseconds(params.get("EndTime"), now_ms)
    if start_ms > end_ms:
        raise InvalidTimeRange("The start time must be before the end time.")
    return TrailQuery(
        account=call.account,
        attribute=attribute,
        start_ms=max(start_ms, now_ms - KEEP_MS),
        end_ms=end_ms,
        limit=min(params.get("MaxResults") or PAGE_MAX, PAGE_MAX),
    )


def _milliseconds(given: Any, default: int) -> int:
    if given is None:
        return default
    try:
        return max(0, min(int(float(given) * 1000), _INT_MAX))
    except (OverflowError, ValueError):
        raise InvalidTimeRange("The time is not a time.") from None


def _shown(entry: TrailEntry) -> dict[str, Any]:
    event: dict[str, Any] = {
        "EventId": entry.event_id,
        "EventName": entry.name,
        "ReadOnly": "true" if entry.read_only else "false",
        "EventTime": entry.at_ms // 1000,
        "EventSource": entry.source,
        "Resources": [{"ResourceType": kind, "ResourceName": name} for kind, name in entry.resources],
        "CloudTrailEvent": entry.document,
    }
    if entry.access_key_id:
        event["AccessKeyId"] = entry.access_key_id
    if entry.username:
        event["Username"] = entry.username
    return event


def _question(wanted: TrailQuery, params: Params) -> str:
    """What a page's token belongs to. The end is what the caller gave: without one it moves with the clock."""
    parts = (wanted.account, wanted.attribute, params.get("StartTime"), params.get("EndTime"))
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=12).hexdigest()


def _show_token(place: Place, question: str) -> str:
    return pages.token_of(question, (place.last_ms, place.chunk, place.index))


def _read_token(token: str, question: str) -> Place:
    """Raises InvalidNextToken for whatever a client invents, or moved to another question."""
    numbers = pages.place_of(token, question, tuple[int, int, int])
    if numbers is None or any(not 0 <= number < _INT_MAX for number in numbers):
        raise InvalidNextToken("The token is not valid, or belongs to a lookup with other parameters.")
    return Place(*numbers)

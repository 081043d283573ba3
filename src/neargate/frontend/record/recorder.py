"""Every call becomes a record in CloudTrail's format: who, from where, what, on what, with which result.

The document is written after the answer, on another thread, so that no caller waits for it. Must not know sockets or
databases. Invariant: what fields.py does not show is in no record, also not inside an error's text.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec

from ...interfaces.trail import NOBODY, TrailEntry, TrailStore
from ...model.knobs import Knobs
from ...wire.shapes import Models
from ...world import World
from ..call import RawBody
from ..errors import Fault
from . import user_identity as identities
from .fields import HIDDEN, encode_mark, hider, shown_type
from .resources import account_of, resources
from .seen import SeenCall

EVENT_VERSION = "1.11"
TEXT_MAX = 1024  # characters of an error's message and of a user agent, as CloudTrail cuts them
TOO_MANY = "too many calls of unproven callers in a second"
_READS = (
    *("BatchGet", "Describe", "Discover", "Filter", "Get", "List", "Lookup", "Search", "Simulate", "Test"),
    *("AssumeRole", "Decode", "Decrypt", "Encrypt", "GenerateDataKey", "GenerateRandom", "ReEncrypt", "Validate"),
)
_SHOWN_THOUGH_READ = ("AssumeRole", "GetSessionToken", "GetFederationToken")  # which session did a call begin?
_DATA = frozenset({("logs", "PutLogEvents")})  # data events on AWS: LookupEvents does not show them
# Texts of ours that quote nothing of a request but names: they may stand in a record before the request was parsed.
_PLAIN = frozenset(
    """
    AccessDenied AccessDeniedException ExpiredToken ExpiredTokenException InternalError InternalFailure
    InvalidClientTokenId MissingAuthenticationToken MissingAuthenticationTokenException RequestEntityTooLarge
    RequestEntityTooLargeException RequestLimitExceeded ServerException ServiceUnavailable ServiceUnavailableException
    Throttling ThrottlingException Unavailable UnauthorizedOperation UnrecognizedClientException
    """.split()  # noqa: SIM905 (a list of names, to be read)
)
_WORD = re.compile(r"[^\s'\"`,;()\[\]{}<>=]{3,}")
_RUN = re.compile(r"[^\W_]{3,}")
# A token has every short word somewhere in it: below this length only what stands alone in a value is taken for it.
_PART_MIN_CHARS = 8
_CLAIMED = re.compile(rb"Credential=([^\s,/]{1,128})/")
# JSON services whose own members have a capital first letter.
_CAPITAL = frozenset({"acm", "kms", "secretsmanager", "servicediscovery", "ssm"})
_CALLERS_MAP = "EncryptionContext"  # whose names are the caller's own
_ENCODER = msgspec.json.Encoder(enc_hook=encode_mark)


class CallRecorder:
    """Implements `Recorder` over the trail."""

    def __init__(self, world: World, trail: TrailStore, models: Models, knobs: Knobs, region: str) -> None:
        self._world = world
        self._trail = trail
        self._models = models
        self._knobs = knobs
        self._region = region
        self._types: dict[tuple[str, str, bool], Any] = {}
        self._decoders: dict[tuple[str, str], msgspec.json.Decoder[Any]] = {}
        self._said = (-1, "")  # a second, and how records write it
        self._second = 0  # of the calls of nobody in particular, and how many of them it had
        self._refused = 0.0

    def record(self, seen: SeenCall) -> None:
        account = _account(seen)
        now = self._world.now()
        if account == NOBODY and not self._has_room_for_nobody(now):
            self._trail.count_lost(NOBODY, TOO_MANY)
            return
        # Too large to be shown means too large to be held until it is written.
        if seen.params_size > self._knobs.trail_field_max_bytes:
            seen.params = None
        if seen.answer_size > self._knobs.trail_field_max_bytes:
            seen.answer = None
        size = 1024 + sum(n for n in (seen.params_size, seen.answer_size) if n <= self._knobs.trail_field_max_bytes)
        self._trail.submit(account, size, partial(self.entry, seen, account, now))

    def _has_room_for_nobody(self, now: float) -> bool:
        """Anybody can send unsigned requests: they may not fill the queue."""
        if int(now) != self._second:
            self._second, self._refused = int(now), 0.0
        self._refused += 1
        return self._refused <= self._knobs.trail_refused_per_s

    def entry(self, seen: SeenCall, account: str, now: float) -> TrailEntry:
        """The record. Runs on another thread, after the call: it reads `seen` and the models, nothing else."""
        hidden: list[Any] = []
        request = self._request(seen, hidden.append)
        answer = self._response(seen)
        identity, username = _identity(seen)
        read_only = _is_read(seen.operation)
        named = resources(seen.asked, answer)
        source = self._source(seen.service)
        event_id = _event_id(seen.request_id)
        is_data = (seen.service, seen.operation) in _DATA
        document: dict[str, Any] = {
            "eventVersion": EVENT_VERSION,
            "userIdentity": identity,
            "eventTime": self._moment(now),
            "eventSource": source,
            "eventName": seen.operation or "Unknown",
            "awsRegion": self._region,
            "sourceIPAddress": seen.source_ip,
            "userAgent": seen.user_agent[:TEXT_MAX],
        }
        if seen.fault is not None:
            document["errorCode"] = seen.fault.code
            document["errorMessage"] = _message(seen.fault, seen.params is not None, hidden)
        document |= {
            "requestParameters": request,
            "responseElements": answer,
            "requestID": seen.request_id,
            "eventID": event_id,
            "readOnly": read_only,
            "resources": [{"accountId": account_of(arn) or account, "type": kind, "ARN": arn} for kind, arn in named],
            "eventType": "AwsApiCall",
            "managementEvent": not is_data,
            "recipientAccountId": account or None,
            "eventCategory": "Data" if is_data else "Management",
        }
        if seen.via is not None:
            document |= {"vpcEndpointId": seen.via.endpoint_id, "vpcEndpointAccountId": seen.via.account}
        return TrailEntry(
            at_ms=int(now * 1000),
            event_id=event_id,
            name=document["eventName"],
            source=source,
            read_only=read_only,
            username=username,
            access_key_id=identity.get("accessKeyId", ""),
            resources=named,
            management=not is_data,
            document=_ENCODER.encode(document).decode(),
        )

    def _request(self, seen: SeenCall, note: Callable[[Any], None]) -> Any:
        if seen.params_size > self._knobs.trail_field_max_bytes:
            return _omitted(seen.params_size)
        if not seen.params:
            return None
        # A refusal's text is searched for what is hidden; a success has no text.
        hook = hider(note if seen.fault is not None else None)
        try:
            shown = msgspec.convert(seen.params, self._type(seen, is_request=True), dec_hook=hook)
        except msgspec.ValidationError:
            note(seen.params)
            return HIDDEN
        return self._named_as_in_records(seen.service, shown)

    def _response(self, seen: SeenCall) -> Any:
        """Of calls that change something, and of those that begin a session."""
        if _is_read(seen.operation) and not seen.operation.startswith(_SHOWN_THOUGH_READ):
            return None
        if seen.fault is None and seen.answer_size > self._knobs.trail_field_max_bytes:
            return _omitted(seen.answer_size)
        if not seen.answer:
            return None
        try:
            if isinstance(seen.answer, RawBody):
                shown = self._decoder(seen).decode(seen.answer)
            else:
                shown = msgspec.convert(seen.answer, self._type(seen, is_request=False), dec_hook=hider())
        except msgspec.MsgspecError:
            return HIDDEN
        return self._named_as_in_records(seen.service, shown)

    def _type(self, seen: SeenCall, *, is_request: bool) -> Any:
        key = (seen.service, seen.operation, is_request)
        found = self._types.get(key)
        if found is None:
            model = self._models.service(seen.service)
            operation = model.operation(seen.operation)
            shape = None if operation is None else operation.input if is_request else operation.output
            found = dict[str, str] if shape is None else shown_type(model, shape, is_request=is_request)
            self._types[key] = found
        return found

    def _decoder(self, seen: SeenCall) -> msgspec.json.Decoder[Any]:
        key = (seen.service, seen.operation)
        found = self._decoders.get(key)
        if found is None:
            kind = self._type(seen, is_request=False)
            found = self._decoders[key] = msgspec.json.Decoder(kind, dec_hook=hider())
        return found

    def _moment(self, now: float) -> str:
        """Calls come many in a second."""
        if int(now) != self._said[0]:
            self._said = (int(now), identities.moment(now))
        return self._said[1]

    def _named_as_in_records(self, service: str, value: Any) -> Any:
        """CloudTrail writes members with a small first letter, whatever the service's own spelling is."""
        is_small = self._models.service(service).metadata.protocol == "json" and service not in _CAPITAL
        return value if is_small else _small(value)

    def _source(self, service: str) -> str:
        return f"{self._models.service(service).metadata.signing_name}.amazonaws.com" if service else "unknown"


def _small(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name[:1].lower() + name[1:]: item if name.endswith(_CALLERS_MAP) else _small(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_small(item) for item in value]
    return value


def _account(seen: SeenCall) -> str:
    """Whose record it is in. A web identity has no account; what it succeeded in doing has one."""
    if seen.principal is None:
        return NOBODY
    if seen.principal.account or seen.fault is not None:
        return seen.principal.account
    return next((account_of(arn) for arn in seen.asked if account_of(arn)), NOBODY)


def _identity(seen: SeenCall) -> tuple[dict[str, Any], str]:
    if seen.principal is not None and seen.principal.account:
        return identities.user_identity(seen.principal)
    if seen.web_identity:
        return identities.web_identity(seen.web_identity)
    claimed = _CLAIMED.search(seen.authorization[:1024])
    return identities.unproven(claimed[1].decode("latin-1") if claimed else ""), ""


def _event_id(request_id: str) -> str:
    """A UUID that follows from the request's."""
    digest = hashlib.blake2b(request_id.encode(), digest_size=16).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-a{digest[17:20]}-{digest[20:]}"


def _is_read(operation: str) -> bool:
    return operation.startswith(_READS)


def _omitted(size: int) -> dict[str, Any]:
    return {"omitted": True, "originalSize": size, "reason": "larger than what a record takes"}


def _message(fault: Fault, was_parsed: bool, hidden: list[Any]) -> str:
    """A refusal's text without words of what is hidden; before a request was parsed nobody knows which these are."""
    text = fault.message.partition("\n")[0][:TEXT_MAX]
    if not was_parsed:
        return text if fault.code in _PLAIN else HIDDEN
    secrets = "\n".join(_strings(hidden)).casefold()
    if not secrets:
        return text
    alone = {*_WORD.findall(secrets), *_RUN.findall(secrets)}

    def shown(match: re.Match[str]) -> str:
        word = match[0].casefold()
        is_hidden = word in secrets if len(word) >= _PART_MIN_CHARS else word in alone or word.rstrip(".:!?") in alone
        return HIDDEN if is_hidden else match[0]

    return _WORD.sub(shown, text)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield str(name)
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)

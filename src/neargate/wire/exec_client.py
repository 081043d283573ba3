"""The client's end of a session's data channel, as a state machine without I/O: what `neargate exec` speaks.

Owns the order of what the server says and how much of our own input it has not confirmed. Must not know terminals or
sockets. Invariant: output is shown once and in order; input is said again until it is confirmed. `now` is epoch
seconds.
"""

from collections.abc import Callable

import msgspec
from msgspec import Struct

from ..model.ids import uuid4
from . import data_channel
from .data_channel import BadFrame, Frame
from .exec_encryption import KMS_ENCRYPTION, DataKey, KeyHolder
from .exec_payloads import (
    SUCCEEDED,
    TERMINATE,
    Acknowledgement,
    ChannelClosed,
    HandshakeRequest,
    HandshakeResponse,
    OpenDataChannel,
    ProcessedAction,
    Size,
    confirming,
)
from .session_cipher import NotSealed

INPUT_MAX_BYTES = 4096  # of one message
_UNCONFIRMED_MAX = 32
_EARLY_MAX = 128
_REPEAT_S = 0.5


class Send(Struct, frozen=True, kw_only=True):
    data: bytes


class Opened(Struct, frozen=True, kw_only=True):
    """The handshake is done: from now on there may be input."""


class Shown(Struct, frozen=True, kw_only=True):
    data: bytes


class Finished(Struct, frozen=True, kw_only=True):
    """`exit_code` None: it did not end by itself; `reason` says why."""

    exit_code: int | None
    reason: str


Action = Send | Opened | Shown | Finished


class _Unconfirmed(Struct):
    data: bytes
    sent_at: float


class ExecClient:
    """`random_bits`: as Random.getrandbits. `key`: for a session that is encrypted."""

    def __init__(self, *, version: str, random_bits: Callable[[int], int], key: DataKey | None = None) -> None:
        self._keys = KeyHolder(key, random_bits)
        self._version = version
        self._random_bits = random_bits
        self._next_out = 0
        self._expected = 0
        self._unconfirmed: dict[int, _Unconfirmed] = {}
        self._early: dict[int, Frame] = {}
        self._exit_code: int | None = None
        self.is_open = False

    @property
    def room(self) -> int:
        """How many more messages of input may be sent now."""
        return _UNCONFIRMED_MAX - len(self._unconfirmed) if self.is_open else 0

    def first_message(self, token: str) -> str:
        """To be sent as text."""
        opening = OpenDataChannel(
            MessageSchemaVersion="1.0",
            RequestId=uuid4(self._random_bits),
            TokenValue=token,
            ClientId=uuid4(self._random_bits),
            ClientVersion=self._version,
        )
        return msgspec.json.encode(opening).decode()

    def received(self, data: bytes, now: float) -> list[Action]:
        """What to do about one binary message, in order. Raises BadFrame."""
        frame = data_channel.decode(data)
        try:
            return self._heard(frame, now)
        except (msgspec.DecodeError, ValueError, NotSealed):
            raise BadFrame("a payload that is not its kind's") from None

    def input(self, data: bytes, now: float) -> Send:
        """At most INPUT_MAX_BYTES, and only while there is `room`."""
        return self._say(data_channel.DATA, data, now)

    def resize(self, columns: int, rows: int, now: float) -> Send:
        return self._say(data_channel.SIZE, msgspec.json.encode(Size(cols=columns, rows=rows)), now)

    def terminate(self, now: float) -> Send:
        return self._say(data_channel.FLAG, TERMINATE, now)

    def tick(self, now: float) -> list[Send]:
        """About twice a second: a full terminal takes no input, and does not confirm it."""
        first = next(iter(self._unconfirmed.values()), None)
        if first is None or abs(now - first.sent_at) < _REPEAT_S:
            return []
        first.sent_at = now
        return [Send(data=first.data)]

    def _heard(self, frame: Frame, now: float) -> list[Action]:
        if frame.type == data_channel.ACKNOWLEDGE:
            said = msgspec.json.decode(frame.payload, type=Acknowledgement)
            self._unconfirmed.pop(said.AcknowledgedMessageSequenceNumber, None)
            return []
        if frame.type == data_channel.CHANNEL_CLOSED:
            closed = msgspec.json.decode(frame.payload, type=ChannelClosed)
            self.is_open = False
            return [Finished(exit_code=self._exit_code, reason=closed.Output)]
        if frame.type != data_channel.OUTPUT:
            return []
        if frame.sequence > self._expected and len(self._early) >= _EARLY_MAX:
            return []  # not confirmed, so it comes again
        actions: list[Action] = [self._acknowledgement(frame, now)]
        if frame.sequence >= self._expected:
            self._early[frame.sequence] = frame
        while (due := self._early.pop(self._expected, None)) is not None:
            self._expected += 1
            actions += self._due(due, now)
        return actions

    def _due(self, frame: Frame, now: float) -> list[Action]:
        match frame.payload_kind:
            case data_channel.DATA:
                return [Shown(data=self._opened(frame.payload))]
            case data_channel.HANDSHAKE_REQUEST:
                return [self._shake_hands(frame, now)]
            case data_channel.HANDSHAKE_COMPLETE:
                self.is_open = True
                return [Opened()]
            case data_channel.EXIT_CODE:
                self._exit_code = int(self._opened(frame.payload))
            case data_channel.CHALLENGE_REQUEST:
                return [self._say(data_channel.CHALLENGE_RESPONSE, self._keys.answered(frame.payload), now)]
        return []

    def _shake_hands(self, frame: Frame, now: float) -> Send:
        request = msgspec.json.decode(frame.payload, type=HandshakeRequest)
        processed = tuple(
            self._keys.processed()
            if action.ActionType == KMS_ENCRYPTION
            else ProcessedAction(ActionType=action.ActionType, ActionStatus=SUCCEEDED)
            for action in request.RequestedClientActions
        )
        response = HandshakeResponse(ClientVersion=self._version, ProcessedClientActions=processed)
        return self._say(data_channel.HANDSHAKE_RESPONSE, msgspec.json.encode(response), now)

    def _opened(self, payload: bytes) -> bytes:
        """Raises NotSealed."""
        return payload if self._keys.cipher is None else self._keys.cipher.open(payload)

    def _say(self, kind: int, payload: bytes, now: float) -> Send:
        if kind == data_channel.DATA and self._keys.cipher is not None:
            payload = self._keys.cipher.seal(payload)
        sequence, self._next_out = self._next_out, self._next_out + 1
        frame = data_channel.new_frame(
            data_channel.INPUT,
            sequence,
            kind,
            payload,
            created_ms=_created_ms(now),
            random_bits=self._random_bits,
        )
        data = data_channel.encode(frame)
        self._unconfirmed[sequence] = _Unconfirmed(data=data, sent_at=now)
        return Send(data=data)

    def _acknowledgement(self, frame: Frame, now: float) -> Send:
        return Send(data=confirming(frame, created_ms=_created_ms(now), random_bits=self._random_bits))


def _created_ms(now: float) -> int:
    return int(now * 1000)

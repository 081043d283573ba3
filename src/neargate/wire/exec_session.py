"""One client's session on its data channel, as a state machine without I/O: handshake, input, output, acknowledgements.

Owns the order of messages both ways, which of ours the client has not confirmed, and what came too early. Must not know
sockets, tokens or containers. Invariants: input is handed on once and in order, whatever is repeated or overtaken;
nothing but a handshake is heard before it is done; what waits in here has a bound on either side.
`now` is monotonic seconds, handed in.
"""

from collections.abc import Callable

import msgspec
from msgspec import Struct

from ..model.concealed import Concealed
from ..model.ids import uuid4
from . import data_channel
from .data_channel import BadFrame, Frame
from .exec_encryption import ENCRYPTED, HandshakeFailed, KeyAgreement, NeedsKey
from .exec_payloads import (
    SUCCEEDED,
    TERMINATE,
    Acknowledgement,
    ChannelClosed,
    HandshakeComplete,
    HandshakeRequest,
    HandshakeResponse,
    RequestedAction,
    SessionType,
    Size,
    confirming,
)
from .session_cipher import NotSealed, SessionCipher

AGENT_VERSION = "3.3.0.0"  # clients compare it to find out what may be asked for; none of it is asked of a shell
SIZE_MAX = 10_000  # columns or rows
UNCONFIRMED_MAX = 64  # messages of ours
OUTPUT_MAX_BYTES = 16 * 1024  # of one message
EARLY_MAX = 64  # messages that came before their turn
EARLY_MAX_BYTES = 512 * 1024
_SESSION_TYPE = "SessionType"
_SEALED_KINDS = (data_channel.DATA, data_channel.EXIT_CODE)
_NOTHING = -1  # no kind of payload: what comes while the key is opened comes too early


class Send(Struct, frozen=True, kw_only=True):
    """Write this as one binary message."""

    data: bytes


class Input(Concealed, frozen=True, kw_only=True):
    """Bytes for the terminal."""

    data: bytes


class Resize(Struct, frozen=True, kw_only=True):
    columns: int
    rows: int


class Ended(Struct, frozen=True, kw_only=True):
    """The client ends the session, or cannot go on with it: `reason` says which."""

    reason: str


Action = Send | Input | Resize | Ended | NeedsKey


class ExecSession:
    """`repeat_s`: until an unconfirmed message is sent again; `stalled_s`: until a client is given up that confirms
    nothing. `epoch_s`: what to add to `now` for the time of day. `random_bits`: as Random.getrandbits. `key_id`: of
    KMS, where the session is to be encrypted.
    """

    def __init__(
        self,
        *,
        session_id: str,
        repeat_s: float,
        stalled_s: float,
        epoch_s: float,
        random_bits: Callable[[int], int],
        key_id: str = "",
    ) -> None:
        self._session_id = session_id
        self._agreement = KeyAgreement(key_id, random_bits) if key_id else None
        self._awaits = data_channel.HANDSHAKE_RESPONSE  # the kind of payload that goes on with the handshake
        self._repeat_s = repeat_s
        self._stalled_s = stalled_s
        self._epoch_s = epoch_s
        self._random_bits = random_bits
        self._next_out = 0
        self._expected = 0
        self._unconfirmed: dict[int, _Unconfirmed] = {}
        self._early: dict[int, Frame] = {}
        self._early_bytes = 0
        self._began_at = 0.0
        self._moved_at = 0.0  # when the client confirmed anything, or owed nothing
        self.is_open = False

    @property
    def room(self) -> int:
        """How many more messages of output may be sent now."""
        return UNCONFIRMED_MAX - len(self._unconfirmed) if self.is_open else 0

    def begin(self, now: float) -> list[Send]:
        """The token was good: ask the client for its part of the handshake."""
        self._began_at = self._moved_at = now
        kind = msgspec.Raw(msgspec.json.encode(SessionType(SessionType="InteractiveCommands")))
        asked = [RequestedAction(ActionType=_SESSION_TYPE, ActionParameters=kind)]
        if self._agreement is not None:
            asked.append(self._agreement.requested())
        request = HandshakeRequest(AgentVersion=AGENT_VERSION, RequestedClientActions=tuple(asked))
        return [self._say(data_channel.HANDSHAKE_REQUEST, msgspec.json.encode(request), now)]

    def keyed(self, data_key: bytes, now: float) -> list[Action]:
        """What the client sent is open: whether it has the same."""
        assert self._agreement is not None, "it was asked for"
        try:
            challenge = self._agreement.challenge(data_key)
        except HandshakeFailed as failed:
            return [Ended(reason=str(failed))]
        self._awaits = data_channel.CHALLENGE_RESPONSE
        return [self._say(data_channel.CHALLENGE_REQUEST, challenge, now)]

    @property
    def is_owed(self) -> bool:
        """Whether the client has something of ours to confirm."""
        return bool(self._unconfirmed)

    def received(self, data: bytes, now: float, *, takes_input: bool = True) -> list[Action]:
        """What to do about one binary message, in order. What is not taken is not confirmed, so it comes again."""
        try:
            frame = data_channel.decode(data)
            if frame.type == data_channel.ACKNOWLEDGE:
                self._confirmed(frame, now)
                return []
            if frame.type != data_channel.INPUT:
                raise BadFrame("a message that no client sends")
            if not takes_input and frame.sequence >= self._expected:
                return []
            return self._sequenced(frame, now)
        except HandshakeFailed as failed:
            return [Ended(reason=str(failed))]
        except (BadFrame, NotSealed, msgspec.DecodeError, UnicodeError, RecursionError) as bad:
            return [Ended(reason=f"The client sent what cannot be read: {_plain(bad)}.")]

    def output(self, data: bytes, now: float) -> list[Send]:
        """At most OUTPUT_MAX_BYTES, and only while there is `room`."""
        assert self.room > 0 and 0 < len(data) <= OUTPUT_MAX_BYTES, "who writes looks for room first"
        return [self._say(data_channel.DATA, data, now)]

    def tick(self, now: float) -> list[Action]:
        """About twice a second: what to repeat, and whether the client is lost."""
        if not self._unconfirmed:
            self._moved_at = now
            return []
        if now - self._moved_at > self._stalled_s:
            return [Ended(reason="The client does not take what it is sent.")]
        first = next(iter(self._unconfirmed.values()))
        if now - first.sent_at <= self._repeat_s:
            return []
        first.sent_at = now
        return [Send(data=first.data)]

    def close(self, now: float, *, reason: str = "", exit_code: int | None = None) -> list[Send]:
        """The last messages. An exit code is for clients that are known to ask for it: others would print it."""
        last = []
        if exit_code is not None and self.is_open:
            last.append(self._say(data_channel.EXIT_CODE, str(exit_code).encode(), now))
        frame_id = uuid4(self._random_bits)
        content = ChannelClosed(
            MessageId=frame_id,
            CreatedDate=str(self._created_ms(now)),
            SessionId=self._session_id,
            MessageType=data_channel.CHANNEL_CLOSED,
            Output=reason,
        )
        frame = self._frame(data_channel.CHANNEL_CLOSED, 0, 0, msgspec.json.encode(content), now)
        self.is_open = False
        return [*last, Send(data=data_channel.encode(frame))]

    # -- what the client says

    def _sequenced(self, frame: Frame, now: float) -> list[Action]:
        if frame.sequence > self._expected:
            return self._keep_early(frame, now)
        actions: list[Action] = [self._acknowledgement(frame, now)]
        if frame.sequence < self._expected:
            return actions  # repeated: our word for it was lost
        due: Frame | None = frame
        while due is not None:
            self._expected += 1
            actions += self._heard(due, now)
            if actions and isinstance(actions[-1], Ended):
                break
            due = self._early.pop(self._expected, None)
            if due is not None:
                self._early_bytes -= len(due.payload)
        return actions

    def _keep_early(self, frame: Frame, now: float) -> list[Action]:
        """What has no room is not confirmed, so it comes again."""
        if frame.sequence in self._early:
            return [self._acknowledgement(frame, now)]
        is_far = frame.sequence - self._expected > EARLY_MAX
        if is_far or self._early_bytes + len(frame.payload) > EARLY_MAX_BYTES:
            return []
        self._early[frame.sequence] = frame
        self._early_bytes += len(frame.payload)
        return [self._acknowledgement(frame, now)]

    def _heard(self, frame: Frame, now: float) -> list[Action]:
        kind = frame.payload_kind
        if not self.is_open:
            if kind != self._awaits:
                raise BadFrame("something before the handshake")
            return self._shook_hands(frame, now)
        if kind == data_channel.DATA:
            cipher = self._cipher
            plain = frame.payload if cipher is None else cipher.open(frame.payload)
            return [Input(data=plain)] if plain else []
        if kind == data_channel.SIZE:
            size = msgspec.json.decode(frame.payload, type=Size)
            return [Resize(columns=min(max(1, size.cols), SIZE_MAX), rows=min(max(1, size.rows), SIZE_MAX))]
        if kind == data_channel.FLAG and frame.payload == TERMINATE:
            return [Ended(reason="")]
        return []  # of a client that can more than a terminal needs

    def _shook_hands(self, frame: Frame, now: float) -> list[Action]:
        """Raises HandshakeFailed."""
        if frame.payload_kind == data_channel.CHALLENGE_RESPONSE:
            assert self._agreement is not None, "it awaits what it asked for"
            self._agreement.check(frame.payload)
            return [self._completed(now, ENCRYPTED)]
        response = msgspec.json.decode(frame.payload, type=HandshakeResponse)
        done = {action.ActionType: action.ActionStatus for action in response.ProcessedClientActions}
        if done.get(_SESSION_TYPE) != SUCCEEDED:
            return [Ended(reason="The client knows no interactive commands.")]
        if self._agreement is None:
            return [self._completed(now, "")]
        self._awaits = _NOTHING
        return [self._agreement.given(response.ProcessedClientActions)]

    def _completed(self, now: float, message: str) -> Send:
        self.is_open = True
        took_ns = int(max(0.0, now - self._began_at) * 1e9)
        complete = HandshakeComplete(HandshakeTimeToComplete=took_ns, CustomerMessage=message)
        return self._say(data_channel.HANDSHAKE_COMPLETE, msgspec.json.encode(complete), now)

    @property
    def _cipher(self) -> SessionCipher | None:
        return None if self._agreement is None else self._agreement.cipher

    def _confirmed(self, frame: Frame, now: float) -> None:
        sequence = msgspec.json.decode(frame.payload, type=Acknowledgement).AcknowledgedMessageSequenceNumber
        if self._unconfirmed.pop(sequence, None) is not None:
            self._moved_at = now

    # -- what is said to it

    def _say(self, kind: int, payload: bytes, now: float) -> Send:
        if not self._unconfirmed:
            self._moved_at = now
        if kind in _SEALED_KINDS and self._cipher is not None:
            payload = self._cipher.seal(payload)
        sequence, self._next_out = self._next_out, self._next_out + 1
        flags = data_channel.SYN if sequence == 0 else 0
        data = data_channel.encode(self._frame(data_channel.OUTPUT, sequence, kind, payload, now, flags))
        self._unconfirmed[sequence] = _Unconfirmed(data=data, sent_at=now)
        return Send(data=data)

    def _acknowledgement(self, frame: Frame, now: float) -> Send:
        return Send(data=confirming(frame, created_ms=self._created_ms(now), random_bits=self._random_bits))

    def _frame(self, name: str, sequence: int, kind: int, payload: bytes, now: float, flags: int = 0) -> Frame:
        return data_channel.new_frame(
            name, sequence, kind, payload, flags=flags, created_ms=self._created_ms(now), random_bits=self._random_bits
        )

    def _created_ms(self, now: float) -> int:
        return max(1, int((self._epoch_s + now) * 1000))


class _Unconfirmed(Struct):
    data: bytes
    sent_at: float


def _plain(bad: Exception) -> str:
    """Our own sentences; of a parser's only that it was one: it may quote what was sent."""
    return str(bad) if isinstance(bad, BadFrame) else "a payload that is not its kind's"

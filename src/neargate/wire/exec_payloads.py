"""What messages of a data channel carry, by the names that Session Manager's clients know. Pure.

The only rule in here is how a message is confirmed, which both ends do alike.
"""

from collections.abc import Callable

import msgspec
from msgspec import Struct

from ..model.concealed import Concealed
from . import data_channel
from .data_channel import Frame

SUCCEEDED = 1
FAILED = 2
TERMINATE = b"\0\0\0\2"  # of a flag: the client ends the session
TEXT_MAX = 4096


class OpenDataChannel(Concealed, frozen=True, kw_only=True):
    """The first message of a client, as text. `TokenValue` is a secret: it is compared, never shown."""

    MessageSchemaVersion: str
    RequestId: str
    TokenValue: str
    ClientId: str = ""
    ClientVersion: str = ""


class Acknowledgement(Struct, frozen=True, kw_only=True):
    AcknowledgedMessageType: str
    AcknowledgedMessageId: str
    AcknowledgedMessageSequenceNumber: int
    IsSequentialMessage: bool = True


class ChannelClosed(Struct, frozen=True, kw_only=True):
    """`Output`: why, for the user; empty when the command simply ended."""

    MessageId: str
    CreatedDate: str
    SessionId: str
    MessageType: str
    DestinationId: str = ""
    SchemaVersion: int = 1
    Output: str = ""


class Size(Struct, frozen=True, kw_only=True):
    cols: int
    rows: int


class SessionType(Struct, frozen=True, kw_only=True):
    SessionType: str
    Properties: None = None


class RequestedAction(Struct, frozen=True, kw_only=True):
    ActionType: str
    ActionParameters: msgspec.Raw


class HandshakeRequest(Struct, frozen=True, kw_only=True):
    AgentVersion: str
    RequestedClientActions: tuple[RequestedAction, ...]


class ProcessedAction(Struct, frozen=True, kw_only=True):
    ActionType: str
    ActionStatus: int
    ActionResult: msgspec.Raw = msgspec.Raw(b"null")
    Error: str = ""


class KeyRequest(Struct, frozen=True, kw_only=True):
    KMSKeyId: str
    Challenge: str


class KeyResponse(Struct, frozen=True, kw_only=True):
    """`ChallengeAcknowledgement`: the key's context has the request's challenge."""

    KMSCipherTextKey: bytes
    ChallengeAcknowledgement: bool = False


class EncryptionChallenge(Struct, frozen=True, kw_only=True):
    """Sealed, both ways."""

    Challenge: bytes


class HandshakeResponse(Struct, frozen=True, kw_only=True):
    ClientVersion: str
    ProcessedClientActions: tuple[ProcessedAction, ...]


class HandshakeComplete(Struct, frozen=True, kw_only=True):
    """`HandshakeTimeToComplete`: nanoseconds."""

    HandshakeTimeToComplete: int
    CustomerMessage: str = ""


def confirming(frame: Frame, *, created_ms: int, random_bits: Callable[[int], int]) -> bytes:
    """The whole message that tells the other end that its `frame` arrived."""
    content = Acknowledgement(
        AcknowledgedMessageType=frame.type,
        AcknowledgedMessageId=frame.id,
        AcknowledgedMessageSequenceNumber=frame.sequence,
    )
    said = data_channel.new_frame(
        data_channel.ACKNOWLEDGE,
        0,
        0,
        msgspec.json.encode(content),
        flags=data_channel.SYN | data_channel.FIN,
        created_ms=created_ms,
        random_bits=random_bits,
    )
    return data_channel.encode(said)

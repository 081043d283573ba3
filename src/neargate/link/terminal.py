"""Messages of a terminal's own connection, typed: what goes between a container's terminal and the server.

The server asks for it through the link (`ExecOrder`); the agent dials `/exec` and says which one it brings. One
connection carries one terminal and ends with it; the sockets' own flow control holds output back, `ExecTaken` input.
Encoded as MessagePack, a message a frame. What is typed and said may hold secrets, and is in no text of a message.
"""

from collections.abc import Callable

import msgspec

from ..model.concealed import Concealed
from .messages import Challenge, Proof, decoder

INPUT_WINDOW = 16  # messages of input that the agent has not taken yet
DATA_MAX_BYTES = 16 * 1024  # of one message


class ExecHello(msgspec.Struct, frozen=True, kw_only=True, tag="exec-hello"):
    """First message, agent to server; a challenge and a proof follow as on the other channels."""

    protocol: int
    host_id: str
    session: str


class ExecOutput(Concealed, frozen=True, kw_only=True, tag="exec-output"):
    data: bytes


class ExecTaken(msgspec.Struct, frozen=True, kw_only=True, tag="exec-taken"):
    """One message of input has gone to the terminal."""


class ExecEnded(msgspec.Struct, frozen=True, kw_only=True, tag="exec-ended"):
    """The agent's last message. Without an exit code the command did not end by itself, and the reason says why."""

    exit_code: int | None = None
    reason: str = ""


class ExecBegin(msgspec.Struct, frozen=True, kw_only=True, tag="exec-begin"):
    """Server to agent, after the proof: somebody waits for this terminal. Nothing is started before."""


class ExecInput(Concealed, frozen=True, kw_only=True, tag="exec-input"):
    data: bytes


class ExecResize(msgspec.Struct, frozen=True, kw_only=True, tag="exec-resize"):
    columns: int
    rows: int


FromAgent = ExecHello | Proof | ExecOutput | ExecTaken | ExecEnded
FromServer = Challenge | ExecBegin | ExecInput | ExecResize

encode = msgspec.msgpack.Encoder().encode
decode_from_agent: Callable[[bytes], FromAgent] = decoder(FromAgent)
decode_from_server: Callable[[bytes], FromServer] = decoder(FromServer)

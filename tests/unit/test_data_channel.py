"""Sessions on a data channel: the layout from its public description, both ends together, and hostile bytes."""

import hashlib
import json
import random
import struct
import uuid
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neargate.wire import data_channel, exec_client, exec_session
from neargate.wire.data_channel import BadFrame, Frame
from neargate.wire.exec_session import Ended, ExecSession, Input, Resize

ID = uuid.UUID("00010203-0405-4607-8809-0a0b0c0d0e0f")


def session() -> ExecSession:
    bits = random.Random(1).getrandbits
    return ExecSession(session_id="s-1", repeat_s=1.0, stalled_s=30.0, epoch_s=1.7e9, random_bits=bits)


def plugin_bytes(
    name: str, sequence: int, kind: int, payload: bytes, *, flags: int = 0, digest: bytes | None = None
) -> bytes:
    """As its public description has it, field by field, written without the code that is tested."""
    raw = ID.bytes
    return b"".join(
        (
            struct.pack(">I", 116),
            name.encode().ljust(32, b" "),
            struct.pack(">IQqQ", 1, 1_700_000_000_000, sequence, flags),
            raw[8:] + raw[:8],
            hashlib.sha256(payload).digest() if digest is None else digest,
            struct.pack(">II", kind, len(payload)),
            payload,
        )
    )


def read(data: bytes) -> tuple[str, int, int, bytes]:
    """(type, sequence, payload kind, payload) of what a plugin would read."""
    name = data[4:36].decode().strip()
    sequence = struct.unpack(">q", data[48:56])[0]
    kind, length = struct.unpack(">II", data[112:120])
    payload = data[120:]
    assert len(payload) == length and data[80:112] == hashlib.sha256(payload).digest()
    assert struct.unpack(">I", data[:4])[0] == 116 and struct.unpack(">Q", data[40:48])[0] > 0
    return name, sequence, kind, payload


def sent(actions: list[Any]) -> list[tuple[str, int, int, bytes]]:
    return [read(action.data) for action in actions if isinstance(action, exec_session.Send)]


def acknowledge(sequence: int) -> bytes:
    payload = {
        "AcknowledgedMessageType": "output_stream_data",
        "AcknowledgedMessageId": str(ID),
        "AcknowledgedMessageSequenceNumber": sequence,
        "IsSequentialMessage": True,
    }
    return plugin_bytes("acknowledge", 0, 0, json.dumps(payload).encode(), flags=3)


def handshake(status: int = 1) -> bytes:
    action = {"ActionType": "SessionType", "ActionStatus": status, "ActionResult": None, "Error": ""}
    payload = {"ClientVersion": "1.2.0.0", "ProcessedClientActions": [action], "Errors": None}
    return plugin_bytes("input_stream_data", 0, 6, json.dumps(payload).encode())


def opened() -> ExecSession:
    made = session()
    made.begin(0.0)
    made.received(acknowledge(0), 0.1)
    made.received(handshake(), 0.1)
    made.received(acknowledge(1), 0.2)
    assert made.is_open
    return made


# -- the layout


def test_a_frame_is_laid_out_as_described() -> None:
    frame = Frame(
        type="output_stream_data",
        sequence=7,
        flags=1,
        id=str(ID),
        created_ms=1_700_000_000_000,
        payload_kind=1,
        payload=b"hello",
    )
    written = plugin_bytes("output_stream_data", 7, 1, b"hello", flags=1)
    assert data_channel.encode(frame) == written
    assert data_channel.decode(written) == frame


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        plugin_bytes("acknowledge", 0, 0, b"x")[:119],
        plugin_bytes("acknowledge", 0, 0, b"x") + b"y",
        plugin_bytes("acknowledge", 0, 0, b"x", digest=bytes(32)),
        plugin_bytes("Acknow ledge", 0, 0, b"x"),
        plugin_bytes("", 0, 0, b"x"),
        plugin_bytes("acknowledge", -1, 0, b"x"),
        struct.pack(">I", 0xFFFFFFFF) + plugin_bytes("acknowledge", 0, 0, b"x")[4:],
        plugin_bytes("acknowledge", 0, 0, bytes(data_channel.PAYLOAD_MAX_BYTES + 1)),
    ],
)
def test_what_is_no_frame_is_refused(broken: bytes) -> None:
    with pytest.raises(BadFrame):
        data_channel.decode(broken)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_frame_or_refused(data: bytes) -> None:
    try:
        frame = data_channel.decode(data)
    except BadFrame:
        return
    assert data_channel.decode(data_channel.encode(frame)) == frame


@given(st.data())
def test_a_frame_with_one_wrong_byte_never_shows_another_payload(data: st.DataObject) -> None:
    written = bytearray(plugin_bytes("input_stream_data", 3, 1, b"payload"))
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] ^= data.draw(st.integers(1, 255))
    try:
        frame = data_channel.decode(bytes(written))
    except BadFrame:
        return
    assert frame.payload == b"payload"


# -- a session


def test_a_handshake_as_the_plugin_does_it() -> None:
    made = session()
    ((name, sequence, kind, payload),) = sent(made.begin(0.0))
    assert (name, sequence, kind) == ("output_stream_data", 0, 5)
    (asked,) = json.loads(payload)["RequestedClientActions"]
    assert asked["ActionType"] == "SessionType"
    assert asked["ActionParameters"] == {"SessionType": "InteractiveCommands", "Properties": None}
    assert made.room == 0
    answers = sent(made.received(handshake(), 0.5))
    assert [(name, kind) for name, _, kind, _ in answers] == [("acknowledge", 0), ("output_stream_data", 7)]
    acknowledged = json.loads(answers[0][3])
    assert (acknowledged["AcknowledgedMessageSequenceNumber"], acknowledged["AcknowledgedMessageId"]) == (0, str(ID))
    assert json.loads(answers[1][3])["HandshakeTimeToComplete"] == 500_000_000


def test_nothing_is_heard_before_the_handshake() -> None:
    made = session()
    made.begin(0.0)
    actions = made.received(plugin_bytes("input_stream_data", 0, 1, b"rm"), 0.1)
    assert [type(action) for action in actions] == [Ended] and not made.is_open


def test_a_client_that_cannot_is_told() -> None:
    made = session()
    made.begin(0.0)
    assert isinstance(made.received(handshake(status=2), 0.1)[-1], Ended)


def test_input_size_and_flag() -> None:
    made = opened()
    typed = made.received(plugin_bytes("input_stream_data", 1, 1, b"ls\r"), 1.0)
    assert [action for action in typed if isinstance(action, Input)] == [Input(data=b"ls\r")]
    sized = made.received(plugin_bytes("input_stream_data", 2, 3, b'{"cols":120,"rows":-4}'), 1.0)
    assert Resize(columns=120, rows=1) in sized
    ended = made.received(plugin_bytes("input_stream_data", 3, 10, b"\0\0\0\2"), 1.0)
    assert ended[-1] == Ended(reason="")


def test_what_comes_twice_is_confirmed_twice_and_heard_once() -> None:
    made = opened()
    frame = plugin_bytes("input_stream_data", 1, 1, b"a")
    first, again = made.received(frame, 1.0), made.received(frame, 1.1)
    assert [type(action).__name__ for action in first] == ["Send", "Input"]
    assert [type(action).__name__ for action in again] == ["Send"]


@given(st.permutations(range(1, 12)), st.lists(st.integers(1, 11), max_size=8))
def test_input_is_heard_once_and_in_order_whatever_overtakes(order: list[int], repeated: list[int]) -> None:
    made = opened()
    heard = b""
    for sequence in (*order, *repeated):
        frame = plugin_bytes("input_stream_data", sequence, 1, b"%c" % (96 + sequence))
        heard += b"".join(action.data for action in made.received(frame, 1.0) if isinstance(action, Input))
    assert heard == b"abcdefghijk"


def test_what_comes_much_too_early_is_neither_kept_nor_confirmed() -> None:
    made = opened()
    far = exec_session.EARLY_MAX + 2
    assert made.received(plugin_bytes("input_stream_data", far, 1, b"x"), 1.0) == []
    payload = bytes(60_000)
    confirmed = sum(
        len(sent(made.received(plugin_bytes("input_stream_data", 2 + n, 1, payload), 1.0))) for n in range(20)
    )
    assert confirmed * len(payload) <= exec_session.EARLY_MAX_BYTES


def test_output_has_a_window_and_is_repeated_until_confirmed() -> None:
    made = opened()
    first = made.output(b"first", 1.0)
    for _ in range(made.room):
        made.output(b"x", 1.0)
    assert made.room == 0
    assert made.tick(1.5) == []
    assert made.tick(2.5) == first, "the oldest one"
    made.received(acknowledge(2), 2.6)
    assert made.room == 1
    assert made.tick(30.0) != first
    assert made.tick(33.0) == [Ended(reason="The client does not take what it is sent.")]


def test_a_client_that_owes_nothing_is_never_given_up() -> None:
    made = opened()
    assert made.tick(100_000.0) == []
    made.output(b"x", 200_000.0)
    assert made.tick(200_000.5) == []


def test_the_end() -> None:
    plain = sent(opened().close(5.0, reason="Your session has timed out."))
    assert [name for name, *_ in plain] == ["channel_closed"]
    assert json.loads(plain[0][3])["Output"] == "Your session has timed out."
    told = sent(opened().close(5.0, exit_code=3))
    assert [(name, kind, payload) for name, _, kind, payload in told[:1]] == [("output_stream_data", 12, b"3")]
    assert json.loads(told[1][3])["SessionId"] == "s-1"


@given(st.binary(max_size=300), st.integers(0, 3), st.integers(0, 14))
@example(b'{"AcknowledgedMessageType":"\xff"}', 0, 6)
@example(b'{"ClientVersion":"\xff"}', 0, 6)
@example(b'{"x":' + b"[" * 60_000, 0, 6)
@example(b'{"x":' + b"[" * 60_000, 1, 3)
def test_any_payload_is_heard_or_ends_the_session(payload: bytes, sequence: int, kind: int) -> None:
    for made in (session(), opened()):
        for name in ("input_stream_data", "acknowledge", "channel_closed"):
            for action in made.received(plugin_bytes(name, sequence, kind, payload), 1.0):
                assert isinstance(action, exec_session.Send | Input | Resize | Ended)


# -- our own client against it


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=20), st.randoms())
def test_our_client_and_a_session_understand_each_other(said: list[bytes], chance: random.Random) -> None:
    server = session()
    client = exec_client.ExecClient(version="1.0", random_bits=random.Random(2).getrandbits)
    assert json.loads(client.first_message("secret"))["TokenValue"] == "secret"
    to_client = [action.data for action in server.begin(0.0)]
    to_server: list[bytes] = []
    shown, typed, finished = b"", b"", []
    pending = list(said)

    def talk() -> None:
        nonlocal shown, typed
        while to_client or to_server:
            if to_client and (not to_server or chance.random() < 0.5):
                for action in client.received(to_client.pop(0), 1.7e9):
                    match action:
                        case exec_client.Send():
                            to_server.append(action.data)
                        case exec_client.Shown():
                            shown += action.data
                        case exec_client.Finished():
                            finished.append(action)
            else:
                for answer in server.received(to_server.pop(0), 1.0):
                    match answer:
                        case exec_session.Send():
                            to_client.append(answer.data)
                        case Input():
                            typed += answer.data

    talk()
    assert client.is_open and server.is_open
    for part in pending:
        to_client += [action.data for action in server.output(part, 1.0)]
        to_server.append(client.input(part, 1.7e9).data)
        talk()
    to_client += [action.data for action in server.close(2.0, exit_code=7)]
    talk()
    assert shown == typed == b"".join(said)
    assert [(end.exit_code, end.reason) for end in finished] == [(7, "")]

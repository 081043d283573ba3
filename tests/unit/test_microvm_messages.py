"""What a guest's bytes say: any cut gives the same, anything else is one error, little is kept."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neargate.sandbox.microvm.errors import GuestBroke
from neargate.sandbox.microvm.frames import HEADER_BYTES, SAID_MAX_BYTES
from neargate.sandbox.microvm.greeting import LEFT_MAX_BYTES, HelloSearch
from neargate.sandbox.microvm.messages import (
    HELLO_MAX_BYTES,
    Content,
    Decoder,
    Done,
    Ended,
    Exited,
    Failed,
    Hello,
    Introduction,
    Message,
    Output,
    Started,
    StreamTold,
    Taken,
)
from neargate.testing.fake_guest import (
    CONTENT,
    DONE,
    ENDED,
    EXIT,
    FAILED,
    HELLO,
    OUTPUT,
    STARTED,
    STREAM,
    TAKEN,
    said,
)

NONCE = "0123456789abcdef" * 2
GREETING = b'{"protocol":2,"kernel":"6.1.0"}'


def told(flags: int, pid: int, exited: int, code: int, ended: int, acknowledged: int, produced: int) -> bytes:
    return struct.pack("<IiBiBQQ", flags, pid, exited, code, ended, acknowledged, produced)


SAID: list[tuple[bytes, Message]] = [
    (said(HELLO, 0, GREETING + NONCE.encode()), Hello(Introduction(2, "6.1.0"), NONCE)),
    (said(HELLO, 0, GREETING), Hello(Introduction(2, "6.1.0"), "")),
    (said(OUTPUT, 7, struct.pack("<Q", 2**40) + b"data"), Output(7, 2**40, b"data")),
    (said(ENDED, 7, struct.pack("<Q", 5)), Ended(7, 5)),
    (said(EXIT, 7, struct.pack("<i", 137)), Exited(7, 137)),
    (said(FAILED, 7, struct.pack("<i", 2)), Failed(7, 2)),
    (said(DONE, 2**32 - 1), Done(2**32 - 1)),
    (said(CONTENT, 7, bytes(SAID_MAX_BYTES)), Content(7, bytes(SAID_MAX_BYTES))),
    (said(CONTENT, 7), Content(7, b"")),
    (said(STARTED, 7, struct.pack("<i", 42)), Started(7, 42)),
    (said(TAKEN, 7, struct.pack("<Q", 3)), Taken(7, 3)),
    (
        said(STREAM, 7, told(5, 42, 1, 3, 1, 10, 20)),
        StreamTold(stream=7, flags=5, pid=42, exit_code=3, output_ended=True, acknowledged=10, produced=20),
    ),
    (
        said(STREAM, 7, told(6, 0, 0, 0, 0, 0, 0)),
        StreamTold(stream=7, flags=6, pid=0, exit_code=None, output_ended=False, acknowledged=0, produced=0),
    ),
]
FALSE = {
    "too long": struct.pack("<IBI", SAID_MAX_BYTES + 1, CONTENT, 7),
    "a type that is none": said(25, 7),
    "a type of the host's": said(2, 7),
    "a hello of a stream": said(HELLO, 7, GREETING),
    "an answer of no stream": said(DONE, 0),
    "output without bytes": said(OUTPUT, 7, struct.pack("<Q", 0)),
    "output without an offset": said(OUTPUT, 7, b"1234567"),
    "output at no offset that can be": said(OUTPUT, 7, struct.pack("<Q", 2**63) + b"x"),
    "done with words": said(DONE, 7, b"x"),
    "an end of half a number": said(ENDED, 7, b"1234"),
    "a negative code": said(EXIT, 7, struct.pack("<i", -1)),
    "a code above any": said(EXIT, 7, struct.pack("<i", 256)),
    "no error": said(FAILED, 7, struct.pack("<i", 0)),
    "an error above any": said(FAILED, 7, struct.pack("<i", 4096)),
    "the kernel's own pid": said(STARTED, 7, struct.pack("<i", 0)),
    "nothing taken": said(TAKEN, 7, struct.pack("<Q", 0)),
    "told of what is not kept": said(STREAM, 7, told(1, 42, 0, 0, 0, 0, 0)),
    "told of flags that are none": said(STREAM, 7, told(12, 42, 0, 0, 0, 0, 0)),
    "told of no pid": said(STREAM, 7, told(4, 0, 0, 0, 0, 0, 0)),
    "told of more than a spool holds": said(STREAM, 7, told(4, 42, 0, 0, 0, 10, 11 + 256 * 1024)),
    "told of less than is acknowledged": said(STREAM, 7, told(4, 42, 0, 0, 0, 10, 9)),
    "told of half an exit": said(STREAM, 7, told(4, 42, 2, 0, 0, 0, 0)),
    "told with a byte more": said(STREAM, 7, told(4, 42, 0, 0, 0, 0, 0) + b"x"),
    "a hello without JSON": said(HELLO, 0, NONCE.encode()),
    "a hello without a protocol": said(HELLO, 0, b'{"kernel":"6.1"}'),
    "a hello with a kernel that is a terminal's command": said(HELLO, 0, b'{"protocol":2,"kernel":"\\u001b[2J"}'),
    "a hello with a kernel of many words": said(HELLO, 0, b'{"protocol":2,"kernel":"' + b"k" * 129 + b'"}'),
    "a hello that is long": said(HELLO, 0, GREETING + bytes(HELLO_MAX_BYTES)),
    "a hello that is deep": said(HELLO, 0, b'{"deep":' + b"[" * 1000 + b"}"),
    "a hello that is no text": said(HELLO, 0, GREETING + b"\xff" * 32),
}


def decoded(pieces: list[bytes]) -> list[Message]:
    decoder, found = Decoder(), []
    for piece in pieces:
        decoder.feed(piece)
        while (message := decoder.next()) is not None:
            found.append(message)
    return found


@pytest.mark.parametrize(("data", "message"), SAID)
def test_each_frame_says_what_the_table_says(data: bytes, message: Message) -> None:
    assert decoded([data]) == [message]


@pytest.mark.parametrize("data", FALSE.values(), ids=FALSE.keys())
def test_a_frame_that_breaks_the_table_is_one_error(data: bytes) -> None:
    with pytest.raises(GuestBroke):
        decoded([data])


@given(st.lists(st.sampled_from(SAID), max_size=12), st.data())
def test_any_cut_of_the_bytes_gives_the_same_messages(frames: list[tuple[bytes, Message]], data: st.DataObject) -> None:
    whole = b"".join(frame for frame, _ in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=20)))
    pieces = [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert decoded(pieces) == [message for _, message in frames]


# Random bytes that come near to frames: headers with plausible types, and payloads of any content.
NEARLY = st.one_of(
    st.binary(max_size=64),
    st.builds(
        lambda length, kind, stream, payload: struct.pack("<IBI", length, kind, stream) + payload,
        st.one_of(st.integers(0, 70), st.integers(0, 2**32 - 1)),
        st.integers(0, 30),
        st.integers(0, 3),
        st.binary(max_size=70),
    ),
    st.builds(said, st.integers(0, 30), st.integers(0, 3), st.binary(max_size=70)),
)


@given(st.lists(NEARLY, max_size=30))
def test_any_bytes_give_messages_or_one_error_and_little_is_kept(pieces: list[bytes]) -> None:
    decoder = Decoder()
    try:
        for piece in pieces:
            decoder.feed(piece)
            while decoder.next() is not None:
                pass
            assert decoder.kept_bytes < HEADER_BYTES + SAID_MAX_BYTES
    except GuestBroke:
        pass


def test_what_is_announced_and_does_not_come_is_not_made_room_for() -> None:
    decoder = Decoder()
    decoder.feed(struct.pack("<IBI", SAID_MAX_BYTES, CONTENT, 1))
    assert decoder.next() is None
    assert decoder.kept_bytes == HEADER_BYTES


# ---------------------------------------------------------------- the hello among what was left


def greeted(search: HelloSearch, pieces: list[bytes]) -> tuple[Introduction, bytes] | None:
    for number, piece in enumerate(pieces):
        found = search.feed(piece)
        assert search.kept_bytes <= HEADER_BYTES + HELLO_MAX_BYTES + max(map(len, pieces))
        if found is not None:
            return found[0], found[1] + b"".join(pieces[number + 1 :])
    return None


@given(st.binary(max_size=4000), st.binary(max_size=100), st.data())
def test_the_hello_is_found_behind_anything_and_however_it_is_cut(
    left: bytes, rest: bytes, data: st.DataObject
) -> None:
    whole = left + said(HELLO, 0, GREETING + NONCE.encode()) + rest
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert greeted(HelloSearch(NONCE), pieces) == (Introduction(2, "6.1.0"), rest)


def test_a_hello_to_another_is_passed_over() -> None:
    old = said(HELLO, 0, GREETING + b"f" * 32) + said(HELLO, 0, GREETING)
    assert greeted(HelloSearch(NONCE), [old]) is None
    new = said(HELLO, 0, GREETING + NONCE.encode())
    assert greeted(HelloSearch(NONCE), [old, new]) == (Introduction(2, "6.1.0"), b"")


@pytest.mark.parametrize(
    "data",
    [
        NONCE.encode(),
        GREETING + NONCE.encode(),
        said(OUTPUT, 1, GREETING + NONCE.encode()),
        said(HELLO, 1, GREETING + NONCE.encode()),
        said(HELLO, 0, b"{}" + NONCE.encode()),
        said(HELLO, 0, b"[" * 900 + b"}" + NONCE.encode()),
        struct.pack("<IBI", 5, HELLO, 0) + GREETING + NONCE.encode(),
    ],
)
def test_the_nonce_in_anything_but_a_hello_is_an_error(data: bytes) -> None:
    with pytest.raises(GuestBroke):
        greeted(HelloSearch(NONCE), [data])


@given(st.binary(max_size=2000))
def test_any_bytes_before_the_nonce_give_an_error_or_an_introduction(left: bytes) -> None:
    try:
        found = greeted(HelloSearch(NONCE), [left + NONCE.encode()])
    except GuestBroke:
        return
    assert found is not None


def test_who_never_says_hello_is_not_listened_to_for_ever() -> None:
    piece = bytes(64 * 1024)
    with pytest.raises(GuestBroke):
        greeted(HelloSearch(NONCE), [piece] * (LEFT_MAX_BYTES // len(piece) + 2))

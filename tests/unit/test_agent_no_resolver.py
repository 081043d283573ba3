"""What a task's name lookups are answered while there is no resolver: a failure, at once, never "no such name"."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neargate.agent.names.no_resolver import failure

HEADER = struct.Struct(">HHHHHH")
QUESTION = b"\x07example\x03com\x00\x00\x01\x00\x01"


def query(question: bytes = QUESTION, *, flags: int = 0x0100, questions: int = 1) -> bytes:
    return HEADER.pack(0xBEEF, flags, questions, 0, 0, 0) + question


def test_over_udp_the_client_is_sent_to_tcp() -> None:
    answer = failure(query(), stream=False)
    assert answer is not None and answer[12:] == QUESTION
    number, flags, *counts = HEADER.unpack_from(answer)
    assert (number, counts) == (0xBEEF, [1, 0, 0, 0])
    assert flags == 0x8000 | 0x0200 | 0x0100, "an answer, cut short, recursion was desired"


def test_over_tcp_the_server_has_failed() -> None:
    answer = failure(query(), stream=True)
    assert answer is not None and answer[12:] == QUESTION
    assert HEADER.unpack_from(answer)[1] == 0x8000 | 0x0100 | 2


def test_what_follows_the_question_is_not_sent_back() -> None:
    with_options = query() + b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"
    answer = failure(with_options, stream=False)
    assert answer is not None and answer[12:] == QUESTION


@pytest.mark.parametrize(
    "broken",
    [
        query(b""),
        query(QUESTION[:-1]),
        query(b"\xc0\x0c\x00\x01\x00\x01"),
        query(b"\x3fshort"),
        query(b"\x01a" * 200 + b"\x00\x00\x01\x00\x01"),
        query(questions=0),
        query(questions=2),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_broken_query_is_called_one(broken: bytes, stream: bool) -> None:
    answer = failure(broken, stream=stream)
    assert answer == HEADER.pack(0xBEEF, 0x8000 | 0x0100 | 1, 0, 0, 0, 0)


@pytest.mark.parametrize("silent", [b"", b"\xbe\xef", query(flags=0x8180)])
def test_what_asks_nothing_is_not_answered(silent: bytes) -> None:
    """Two such servers whose addresses were made up would else talk for ever."""
    assert failure(silent, stream=False) is None and failure(silent, stream=True) is None


@given(st.binary(max_size=600), st.booleans())
def test_an_answer_is_never_longer_than_its_query(data: bytes, stream: bool) -> None:
    answer = failure(data, stream=stream)
    assert answer is None or 12 <= len(answer) <= len(data)
    if answer is not None:
        assert answer[:2] == data[:2] and HEADER.unpack_from(answer)[1] & 0xF != 3, "never: no such name"

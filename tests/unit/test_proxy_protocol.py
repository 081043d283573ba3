"""What is said of a connection that is handed on: read as it was written, and nothing else is taken for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neargate.wire.proxy_protocol import HEADER_MAX_BYTES, SIGNATURE, HandedOn, Malformed, header, is_begun, read

addresses = st.tuples(st.ip_addresses(v=4).map(str), st.integers(0, 65535))
endpoints = st.one_of(st.just(""), st.text("0123456789abcdef", min_size=8, max_size=17).map("vpce-{}".format))
said = st.builds(HandedOn, source=addresses, to=addresses, endpoint_id=endpoints)
SAID = HandedOn(source=("10.0.0.5", 40000), to=("10.0.0.9", 443), endpoint_id="vpce-0123456789abcdef0")


@given(said, st.binary(max_size=40))
def test_it_is_read_as_it_was_written(what: HandedOn, after: bytes) -> None:
    written = header(what)
    assert len(written) <= HEADER_MAX_BYTES and read(written + after) == (what, after)
    for length in range(len(written)):
        assert is_begun(written[:length]) and read(written[:length]) is None


def test_its_bytes_are_the_protocols_own() -> None:
    """Version 2, TCP over IPv4, one field: PP2_TYPE_AWS with PP2_SUBTYPE_AWS_VPCE_ID."""
    assert header(SAID) == (
        b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x26"
        b"\x0a\x00\x00\x05\x0a\x00\x00\x09\x9c\x40\x01\xbb\xea\x00\x17\x01vpce-0123456789abcdef0"
    )


@given(st.binary(max_size=60))
def test_anything_else_is_refused_or_waited_for(noise: bytes) -> None:
    try:
        assert read(noise) is None and is_begun(noise)
    except Malformed:
        assert not is_begun(noise)


@pytest.mark.parametrize(
    ("at", "byte"),
    [
        (12, 0x20),
        (12, 0x11),
        (13, 0x21),
        (13, 0x12),
        (14, 0x01),
        (15, 0x0B),
        (28, 0xEB),
        (30, 0x18),
        (31, 0x02),
        (32, 65),
    ],
)
def test_what_it_could_not_have_said_is_refused(at: int, byte: int) -> None:
    wrong = bytearray(header(SAID))
    wrong[at] = byte
    with pytest.raises(Malformed):
        read(bytes(wrong))


def test_only_ipv4_is_said() -> None:
    with pytest.raises(Malformed):
        header(HandedOn(source=("::1", 1), to=("10.0.0.1", 1)))
    with pytest.raises(Malformed):
        read(SIGNATURE[:-1] + b"x")

"""CBOR: what RFC 8949 and smithy write, and everything hostile refused by a bound."""

import math
import struct
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neargate.model.errors import AwsError
from neargate.wire.cbor import DEPTH_MAX, ITEMS_MAX, MalformedCbor, Moment, decode, encode
from neargate.wire.cborrpc import CborCodec
from neargate.wire.shapes import Models

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=40)
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=8), inner, max_size=30),
    max_leaves=40,
)


@given(plain)
def test_another_implementation_reads_what_we_write_and_we_what_it_writes(value: Any) -> None:
    assert cbor2.loads(encode(value)) == value
    assert decode(cbor2.dumps(value)) == value
    assert decode(cbor2.dumps(value, canonical=True)) == value  # half and single floats, sorted keys


@given(st.binary(max_size=200))
@settings(max_examples=500)
def test_any_bytes_are_a_value_or_refused(data: bytes) -> None:
    try:
        decode(data)
    except MalformedCbor:
        pass  # the one way to refuse; anything else would be a 500


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\xbf\x61a\x9f\x01\x02\xff\xff", {"a": [1, 2]}),
        (b"\x7f\x61a\x62bc\xff", "abc"),
        (b"\x5f\x41a\x42bc\xff", b"abc"),
        (b"\xf9\x3e\x00", 1.5),
        (b"\xfa\x3f\xc0\x00\x00", 1.5),
        (b"\xf9\x7c\x00", math.inf),
        (b"\x1b\x00\x00\x00\x00\x00\x00\x00\x01", 1),  # not the shortest form
        (b"\xf7", None),
        (b"\xc1\x1a\x65\x53\xf1\x00", 1_700_000_000.0),
        (b"\xc1\xfb" + struct.pack(">d", 1.25), 1.25),
    ],
)
def test_forms(data: bytes, value: Any) -> None:
    assert decode(data) == value


def test_moments_are_written_as_tag_1_and_read_as_such() -> None:
    assert encode(Moment(1_700_000_000.0)) == b"\xc1\x1a\x65\x53\xf1\x00"
    assert encode(Moment(1.5)) == b"\xc1\xfb" + struct.pack(">d", 1.5)
    assert isinstance(decode(b"\xc1\x00"), Moment)
    assert not isinstance(decode(b"\x00"), Moment)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x9f" * 10_000,
        b"\x81" * (DEPTH_MAX + 2) + b"\x00",
        b"\xa1\x61a" * (DEPTH_MAX + 2) + b"\x00",
        b"\xc1" * 200 + b"\x00",
        b"\x9f" + b"\x00" * (ITEMS_MAX + 1) + b"\xff",
        b"\x5f" + b"\x40" * (ITEMS_MAX + 1) + b"\xff",
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",  # a list of 2**64 items
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x7b\xff\xff\xff\xff\xff\xff\xff\xffa",
        b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x62\xc3\x28",  # not UTF-8
        b"\xa1\x01\x02",  # a key that is no text
        b"\xa2\x61a\x01\x61a\x02",  # a key twice
        b"\xc2\x41\x01",  # a big number
        b"\xd8\x1d\x00",  # a shared reference
        b"\xc1\x61a",  # a moment of text
        b"\xc1\xf9\x7e\x00",  # a moment that is no number
        b"\xc1\xfb\x7f\xef\xff\xff\xff\xff\xff\xff",  # a moment beyond all calendars
        b"\x7f\x41a\xff",  # bytes inside a text
        b"\x7f\x7f\x61a\xff\xff",
        b"\x1c",
        b"\xf8\x20",
        b"\xff",
        b"\x00\x00",  # something behind
    ],
)
def test_hostile_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedCbor):
        decode(data)


def test_what_has_no_form_is_a_bug() -> None:
    with pytest.raises(TypeError):
        encode(2**64)
    with pytest.raises(TypeError):
        encode(object())


def refused(body: bytes) -> str:
    model = Models().service("ecs")
    operation = model.operation("RunTask")
    assert operation is not None
    with pytest.raises(AwsError) as caught:
        CborCodec(model, operation).parse(body)
    return f"{caught.value.code}: {caught.value.message}"


def test_shapes_are_checked_as_in_json() -> None:
    assert refused(encode({})).endswith("TaskDefinition can not be blank.")
    assert "enum value set" in refused(encode({"taskDefinition": "a", "launchType": "x"}))
    assert refused(encode({"taskDefinition": 1})).startswith("SerializationException")
    assert refused(encode({"taskDefinition": b"a"})).startswith("SerializationException")
    assert refused(encode({"taskDefinition": Moment(1)})).startswith("SerializationException")
    assert refused(encode({"taskDefinition": "a", "count": math.nan})).startswith("SerializationException")
    assert refused(encode([])).startswith("SerializationException")
    assert refused(b"\xff").startswith("SerializationException")

"""rest-json's parts: templates, header lists, moments; hostile paths and values are refused, never a crash."""

import json
import math
import tracemalloc
import zlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neargate.wire.content import InflatedTooLarge, inflated
from neargate.wire.faults import SerializationError
from neargate.wire.rest import RestCodec, RestParts
from neargate.wire.shapes import Document, ServiceModel
from neargate.wire.text import header_list, written_header_list
from neargate.wire.timestamps import RFC822, read_moment, write_http_date, write_iso8601, write_moment
from neargate.wire.uri import QUERY_PARAMETERS_MAX, MalformedUri, Template, UriIndex, parse_query
from neargate.wire.violations import constraints

INDEX = UriIndex(
    [
        ("a", "List", "GET", "/things"),
        ("a", "Get", "GET", "/things/{name}"),
        ("a", "Self", "GET", "/things/self"),
        ("a", "File", "GET", "/things/{name}/files/{path+}"),
        ("a", "Typed", "GET", "/things?type=x"),
        ("a", "Put", "PUT", "/things/{name}"),
        ("a", "Any", "DELETE", "/{key+}"),
        ("b", "Tags", "GET", "/tags/{arn}"),
        ("c", "Tags", "GET", "/tags/{arn}"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "query", "operation", "labels"),
    [
        ("GET", b"/things", b"", "List", {}),
        ("GET", b"/things/", b"", "List", {}),
        ("GET", b"/things", b"type=x&more", "Typed", {}),
        ("GET", b"/things", b"type=y", "List", {}),
        ("GET", b"/things/a%20b%2Fc", b"", "Get", {"name": "a b/c"}),
        ("GET", b"/things/self", b"", "Self", {}),
        ("GET", b"/things/..", b"", "Get", {"name": ".."}),
        ("GET", b"/things/a/files/b/c//d", b"", "File", {"name": "a", "path": "b/c//d"}),
        ("PUT", b"/things/a", b"", "Put", {"name": "a"}),
        ("DELETE", b"/a/b", b"", "Any", {"key": "a/b"}),
    ],
)
def test_the_most_specific_template_is_meant(
    method: str, path: bytes, query: bytes, operation: str, labels: dict[str, str]
) -> None:
    assert [(found.operation, found.labels) for found in INDEX.find(method, path, query)] == [(operation, labels)]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", b"/"),
        ("GET", b""),
        ("POST", b"/things"),
        ("GET", b"/Things"),
        ("GET", b"/things//files/a"),
        ("GET", b"/things/a/files"),
        ("GET", b"/things/a/b"),
        ("NOPE", b"/things"),
    ],
)
def test_other_paths_are_nobodys(method: str, path: bytes) -> None:
    assert INDEX.find(method, path, b"") == []


def test_each_service_of_a_shared_path_is_found() -> None:
    assert {found.service for found in INDEX.find("GET", b"/tags/x", b"")} == {"b", "c"}


@given(st.sampled_from(["GET", "DELETE", "PUT"]), st.binary(max_size=80), st.binary(max_size=80))
@settings(max_examples=300)
def test_any_path_is_found_or_not(method: str, path: bytes, query: bytes) -> None:
    try:
        INDEX.find(method, path, query)
    except MalformedUri:
        pass  # the one way to refuse


def test_queries_are_bounded() -> None:
    with pytest.raises(MalformedUri):
        parse_query(b"&".join([b"a=b"] * (QUERY_PARAMETERS_MAX + 1)))
    with pytest.raises(MalformedUri):
        parse_query(b"a=%ff")
    assert parse_query(b"a=1&a=2&b&&c=x+y%2B") == {"a": ["1", "2"], "b": [""], "c": ["x y+"]}


def test_a_template_of_labels_alone() -> None:
    assert Template("/{a}/{b+}").match([b"x", b"y", b"z"], {}) == {"a": "x", "b": "y/z"}


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a, b,c", ["a", "b", "c"]),
        ('"b,c", "\\"def\\"", a', ["b,c", '"def"', "a"]),
        ("", []),
        ('""', [""]),
        ("a,,b", ["a", "", "b"]),
    ],
)
def test_header_lists(text: str, items: list[str]) -> None:
    assert header_list(text, dates=False) == items


@given(st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1), max_size=5))
def test_a_written_header_list_is_read_back(items: list[str]) -> None:
    assert header_list(written_header_list(items, quotes=True), dates=False) == items


@pytest.mark.parametrize("text", ['"a', 'a"b"', '"a"b', '"' * 60_001, " " * 60_000 + '"x'])
def test_quotes_in_the_wrong_place(text: str) -> None:
    with pytest.raises(SerializationError):
        header_list(text, dates=False)


@given(
    st.floats(-2_000_000_000, 4_000_000_000).map(lambda epoch: round(epoch, 3)), st.sampled_from(["iso8601", RFC822])
)
def test_moments_are_read_back_to_the_millisecond(epoch: float, style: str) -> None:
    read = read_moment(write_moment(epoch, style), style)
    assert read is not None and math.isclose(read, epoch, abs_tol=0.0011)


@pytest.mark.parametrize("style", [None, "iso8601", RFC822, "unixTimestamp"])
@given(text=st.text(max_size=80))
def test_any_text_is_a_moment_or_not(style: str | None, text: str) -> None:
    found = read_moment(text, style)
    assert found is None or math.isfinite(found)


def test_forms_of_moments() -> None:
    assert write_iso8601(1_576_540_098) == "2019-12-16T23:48:18Z"
    assert write_http_date(1_576_540_098) == "Mon, 16 Dec 2019 23:48:18 GMT"
    assert write_http_date(1_576_540_098.5) == "Mon, 16 Dec 2019 23:48:18.500 GMT"
    assert read_moment("2019-12-16T23:48:18+01:00") == 1_576_536_498
    assert read_moment("1e99") is None


MAPS = ServiceModel(
    "maps",
    msgspec.json.decode(
        json.dumps(
            {
                "metadata": {"protocol": "rest-json", "apiVersion": "1"},
                "operations": {"Put": {"input": "Io", "output": "Io", "errors": []}},
                "shapes": {
                    "Io": {
                        "type": "structure",
                        "members": {
                            "Query": {"shape": "Map", "location": "querystring"},
                            "Meta": {"shape": "Map", "location": "headers", "locationName": "x-meta-"},
                            "Title": {"shape": "Text", "location": "header", "locationName": "X-Title"},
                        },
                    },
                    "Map": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Text"}},
                    "Text": {"type": "string"},
                    "Share": {"type": "double", "min": 0, "max": 1},
                },
            }
        ),
        type=Document,
    ),
)


def maps_codec() -> RestCodec:
    operation = MAPS.operation("Put")
    assert operation is not None
    return RestCodec(MAPS, operation)


def test_a_map_of_the_query_is_without_what_the_signature_put_there() -> None:
    query = b"a=1&X-Amz-Signature=ff&X-Amz-Date=x&X-Amz-Security-Token=y&X-Amz-Other=z"
    parts = RestParts(labels={}, query=query, headers={b"x-meta-k": b"v", b"x-meta-": b"none", b"x": b"y"})
    assert maps_codec().parse(parts, b"") == {"Query": {"a": "1", "X-Amz-Other": "z"}, "Meta": {"k": "v"}}


def test_stored_text_cannot_end_a_header() -> None:
    answer = maps_codec().serialise({"Title": "a\r\nset-cookie: b", "Meta": {"k": "\x00c\n"}})
    assert answer.headers[:2] == ((b"x-meta-k", b" c "), (b"x-title", b"a  set-cookie: b"))


def test_a_number_that_is_none_breaks_its_bounds() -> None:
    assert len(constraints(MAPS.shape("Share"), math.nan)) == 2
    assert constraints(MAPS.shape("Share"), 0.5) == []


def test_inflating_takes_no_more_memory_than_its_bound() -> None:
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    bomb = packer.compress(bytes(20_000_000)) + packer.flush()
    tracemalloc.start()
    try:
        with pytest.raises(InflatedTooLarge):
            inflated(bomb, 10_000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()

"""Lines as events of an HTTP Event Collector: the three forms, what goes with each event, and the bound of a body."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neargate.agent.splunk.events import TooManyAttributes, compressed, event_form, events_body
from neargate.definitions.splunk import parse_splunk
from neargate.model.launch import ContainerLaunch

WEB = ContainerLaunch(
    name="web",
    image="registry.example/web:1",
    arn="arn:web",
    environment=(("TIER", "front"), ("TEAM", "shop"), ("team", "of the variable")),
    docker_labels=(("team", "of the label"), ("version", "7")),
)
ID = "0123456789abcdef0123456789abcdef-0000000001"
HOST = "ip-10-0-1-5.ec2.internal"


def body_of(lines: list[bytes], *, at_ms: int = 1_700_000_000_123, max_bytes: int = 10**6, **options: str) -> bytes:
    given = {"splunk-url": "http://a", "splunk-token": "t"} | {key.replace("_", "-"): options[key] for key in options}
    form = event_form(parse_splunk(given), WEB, ID, HOST)
    return events_body(form, lines, 0, at_ms, max_bytes)[0]


def events(body: bytes) -> list[dict[str, Any]]:
    decoder, text, at, found = json.JSONDecoder(), body.decode(), 0, []
    while at < len(text):
        event, at = decoder.raw_decode(text, at)
        found.append(event)
    return found


def test_inline_is_the_form_unless_another_is_named() -> None:
    assert events(body_of([b"one", b'{"a": 1}'])) == [
        {
            "event": {"line": line, "source": "stdout", "tag": "0123456789ab"},
            "time": "1700000000.123000",
            "host": HOST,
        }
        for line in ("one", '{"a": 1}')
    ]


def test_what_goes_with_each_event() -> None:
    [event] = events(
        body_of(
            [b"x"],
            splunk_source="s",
            splunk_sourcetype="st",
            splunk_index="main",
            tag="{{.Name}}|{{ .ImageName }}|{{.FullID}}|{{.DaemonName}}",
            labels="team,version,none",
            env="TIER,team",
        )
    )
    assert (event["source"], event["sourcetype"], event["index"]) == ("s", "st", "main")
    assert event["event"]["tag"] == f"web|registry.example/web:1|{ID}|shim-loggers-for-containerd"
    assert event["event"]["attrs"] == {"team": "of the variable", "version": "7", "TIER": "front"}
    [named] = events(body_of([b"x"], env_regex="^TE", tag=""))
    assert named["event"] == {"line": "x", "source": "stdout", "attrs": {"TEAM": "shop"}}


def test_json_stays_what_it_is_and_what_is_none_is_text() -> None:
    lines = [b'{"a": [1, null]}', b"7", b'"s"', b"{", b"\xff", b'{"a": "\xff"}', b"[" * 5000 + b"]" * 5000]
    found = [event["event"]["line"] for event in events(body_of(lines, splunk_format="json", tag=""))]
    assert found[:6] == [{"a": [1, None]}, 7, "s", "{", "\ufffd", '{"a": "\ufffd"}']
    assert found[6] == "[" * 5000 + "]" * 5000


def test_raw_is_text_behind_tag_and_attributes() -> None:
    found = events(body_of([b"one", b"  ", b"two"], splunk_format="raw", env="TIER", tag="t"))
    assert [event["event"] for event in found] == ["t TIER=front one", "t TIER=front two"]
    assert [event["event"] for event in events(body_of([b"one"], splunk_format="raw", tag=""))] == ["one"]


def test_a_body_has_a_bound_and_every_line_its_turn() -> None:
    form = event_form(parse_splunk({"splunk-url": "http://a", "splunk-token": "t"}), WEB, ID, HOST)
    lines = [b"%d" % n for n in range(100)] + [b"x" * 5000, b"last"]
    at, seen = 0, []
    while at < len(lines):
        body, after = events_body(form, lines, at, 0, 1000)
        assert after > at and (len(body) <= 1000 or after == at + 1)
        at = after
        seen += [event["event"]["line"] for event in events(body)]
    assert seen == [line.decode() for line in lines]


def test_lines_of_blanks_make_no_body_in_raw_form() -> None:
    form = event_form(
        parse_splunk({"splunk-url": "http://a", "splunk-token": "t", "splunk-format": "raw"}), WEB, ID, HOST
    )
    assert events_body(form, [b" ", b"\t"], 0, 0, 100) == (b"", 2)


@given(st.lists(st.binary(max_size=50)), st.sampled_from(["inline", "json", "raw"]))
def test_whatever_a_container_writes_is_valid(lines: list[bytes], form: str) -> None:
    found = events(body_of(lines, splunk_format=form))
    if form == "inline":
        assert [event["event"]["line"] for event in found] == [line.decode("utf-8", "replace") for line in lines]


@pytest.mark.parametrize("level", [-1, 0, 1, 9])
def test_gzip(level: int) -> None:
    body = body_of([b"one"] * 100)
    assert gzip.decompress(compressed(body, level)) == body


def test_attributes_are_bounded_since_each_event_carries_them() -> None:
    options = parse_splunk({"splunk-url": "http://a", "splunk-token": "t", "env": "BIG"})
    web = ContainerLaunch(name="web", image="a", arn="a", environment=(("BIG", "x" * 4094),))
    with pytest.raises(TooManyAttributes):
        event_form(options, web, ID, HOST)

"""A request arrives alike, and is refused alike, by a listener that only forwards and by one that has rules: the first
ends the rules of usual requests early. The same bytes through both, a real proxy."""

import asyncio
import re
from collections.abc import Callable, Sequence

import pytest

from neargate.model.balancing import Condition, FixedResponse, PlannedRule
from neargate.testing.balancer_lab import NODE, address

from .balancer_rig import Answer, Rig, head_of
from .test_balancers import Scenario, run

pytestmark = pytest.mark.root
__all__ = ["run"]
Attributes = tuple[tuple[str, str], ...]
Arrival = tuple[int, list[str]]  # status, and sorted by their names the headers that the target was sent, or the page

NEVER = PlannedRule(
    priority=1,
    conditions=(Condition(field="path-pattern", values=("/never-asked-for",)),),
    action=FixedResponse(code=200, body="a rule's"),
)
PORTS = (80, 8080)
ROOT = "Root=1-67891233-ABCDEF012345678912345678"  # in capitals, which none of a node's own has
MODE = "routing.http.xff_header_processing.mode"
WITH_PORT = ("routing.http.xff_client_port.enabled", "true")
ATTRIBUTES: Sequence[Attributes] = (
    (),
    (WITH_PORT,),
    ((MODE, "preserve"),),
    ((MODE, "remove"), WITH_PORT),
    (("routing.http.preserve_host_header.enabled", "true"),),
    (("routing.http.drop_invalid_header_fields.enabled", "true"),),
)


def _request(*headers: str, line: str = "GET /a?b=c HTTP/1.1", host: str | None = "a.example") -> bytes:
    hosts = [] if host is None else [f"Host: {host}"]
    return "\r\n".join([line, *hosts, *headers, "", ""]).encode()


def _traced(*values: str) -> bytes:
    return _request(*[f"X-Amzn-Trace-Id: {value}" for value in values])


def _forwarded(*values: str) -> bytes:
    return _request(*[f"X-Forwarded-For: {value}" for value in values])


# By what they are, with the status that the node's client gets.
REQUESTS: dict[str, tuple[int, bytes]] = {
    "usual": (200, _request("Accept: */*")),
    "with a body": (200, _request("Content-Length: 3", line="POST / HTTP/1.1") + b"abc"),
    "in chunks": (200, _request("Transfer-Encoding: chunked", line="PUT / HTTP/1.1") + b"1\r\na\r\n0\r\n\r\n"),
    "of another method": (200, _request(line="PURGE / HTTP/1.1")),
    "that names its host with it": (200, _request(line="GET http://a.example/x HTTP/1.1")),
    "host with the port 80": (200, _request(host="a.example:80")),
    "host with the port 8080": (200, _request(host="a.example:8080")),
    "host with another port": (200, _request(host="a.example:81")),
    "host with an empty port": (200, _request(host="a.example:")),
    "host by an address": (200, _request(host="[2001:db8::1]")),
    "host by an address and port": (200, _request(host="[2001:db8::1]:8080")),
    "host of several": (200, _request(host="a.example,b.example:80")),
    "host twice": (200, _request("Host: a.example")),
    "host of nothing": (200, _request(host="")),
    "two hosts": (400, _request("Host: b.example")),
    "no host": (400, _request(host=None)),
    "no host, of an earlier version": (200, _request(host=None, line="GET / HTTP/1.0")),
    "of an earlier version": (200, _request(line="GET / HTTP/1.0")),
    "of a later version": (505, _request(line="GET / HTTP/2.0")),
    "trace": (405, _request(line="TRACE / HTTP/1.1")),
    "trace, and too long": (405, _request(line=f"TRACE /{'x' * 16_384} HTTP/1.1")),
    "line too long": (414, _request(line=f"GET /{'x' * 16_384} HTTP/1.1")),
    "a long line": (200, _request(line=f"GET /{'x' * 16_370} HTTP/1.1")),
    "a long header": (200, _request(f"X-Long: {'x' * 16_376}")),
    "long headers": (200, _request(*[f"X-Long: {'x' * 15_000}"] * 4)),
    "header too long": (400, _request(f"X-Long: {'x' * 16_384}")),
    "headers too long": (400, _request(*[f"X-Long: {'x' * 15_000}"] * 5)),
    "two lengths": (400, _request("Content-Length: 3", "Content-Length: 4", line="POST / HTTP/1.1") + b"abc"),
    "two lengths in one": (400, _request("Content-Length: 3, 4", line="POST / HTTP/1.1") + b"abc"),
    "unknown coding": (400, _request("Transfer-Encoding: chunked, x", line="POST / HTTP/1.1") + b"0\r\n\r\n"),
    "length and chunks": (
        200,
        _request("Content-Length: 3", "Transfer-Encoding: chunked", line="POST / HTTP/1.1") + b"0\r\n\r\n",
    ),
    "a name with a blank": (400, _request("X-Forwarded-For : 192.0.2.1")),
    "a header that goes on": (200, _request("X-Folded: a", " X-Forwarded-For: 192.0.2.1")),
    "a name that is no word": (200, _request("X_Under: 1", "X_Forwarded_For: 192.0.2.1")),
    "forwarded": (200, _forwarded("192.0.2.1")),
    "forwarded by several": (200, _forwarded("192.0.2.1, 192.0.2.2")),
    "forwarded twice": (200, _forwarded("192.0.2.1", "192.0.2.2")),
    "forwarded by nobody": (200, _forwarded("")),
    "forwarded in capitals": (200, _request("X-FORWARDED-FOR: 192.0.2.1")),
    "forwarded by thirty": (200, _forwarded(", ".join(["192.0.2.1"] * 30))),
    "forwarded by too many": (463, _forwarded(", ".join(["192.0.2.1"] * 31))),
    "forwarded too often": (463, _forwarded(*["192.0.2.1"] * 31)),
    "of another scheme and port": (200, _request("X-Forwarded-Proto: https", "X-Forwarded-Port: 1")),
    "traced": (200, _traced(ROOT)),
    "traced by a load balancer": (200, _traced(f"Self=1-1-1;{ROOT}")),
    "traced with more": (200, _traced(f"{ROOT};CalledFrom=app;Self=1-1-1")),
    "traced without a root": (200, _traced("CalledFrom=app")),
    "traced by nobody": (200, _traced("")),
    "traced twice": (200, _traced(ROOT, "CalledFrom=app")),
    "traced and forwarded": (200, _request(f"X-Amzn-Trace-Id: {ROOT}", "X-Forwarded-For: 192.0.2.1")),
    "what the node says to itself": (200, _request("X-Unreached: yes")),
}
# By HTTP/2, as options of curl.
BY_HTTP2: dict[str, tuple[int, tuple[str, ...]]] = {
    "usual": (200, ()),
    "with a body": (200, ("-d", "abc")),
    "forwarded": (200, ("-H", "X-Forwarded-For: 192.0.2.1")),
    "forwarded by too many": (463, ("-H", f"X-Forwarded-For: {', '.join(['192.0.2.1'] * 31)}")),
    "traced": (200, ("-H", f"X-Amzn-Trace-Id: {ROOT}")),
    "host with a port": (200, ("-H", "Host: a.example:8080")),
    "trace": (405, ("-X", "TRACE")),
    "header too long": (400, ("-H", f"X-Long: {'x' * 16_384}")),
}


def arrival(answer: Answer, port: str) -> Arrival:
    """Alike for two requests that differ by when and from which port they came."""
    if answer[0] != 200:
        return answer[0], [answer[2].decode(), dict(answer[1]).get("server", "")]
    line, *headers = head_of(answer).rstrip().split("\r\n")
    pairs = [header.partition(": ") for header in headers]
    texts = [line, *(f"{name}: {value}" for name, _, value in sorted(pairs, key=lambda pair: pair[0]))]
    texts = [text.replace(f"{address(2)}:{port}", f"{address(2)}:port") for text in texts]
    return 200, [re.sub(r"1-[0-9a-f]{8}-[0-9a-f]{24}(?=;|$)", "1-time-name", text) for text in texts]


async def arrivals(rig: Rig, port: int) -> dict[str, Arrival]:
    found = {}
    for name, (status, request) in REQUESTS.items():
        client = await rig.connect(port)
        own = str(client.writer.get_extra_info("sockname")[1])
        client.writer.write(request)
        answer = await asyncio.wait_for(client.answer(), 10)
        client.close()
        assert answer[0] == status, name
        found[name] = arrival(answer, own)
    for name, (status, options) in BY_HTTP2.items():
        command = ["curl", "-s", "--http2-prior-knowledge", "-w", "\n%{http_code} %{local_port}", *options]
        told = await asyncio.to_thread(rig.lab.run_all, "client", *command, f"http://{address(NODE)}:{port}/")
        body, _, last = told.rpartition("\n")
        assert last.split()[0] == str(status), name
        found[f"{name}, by HTTP/2"] = arrival((status, [], body.encode()), last.split()[1])
    return found


@pytest.mark.parametrize("attributes", ATTRIBUTES, ids=[",".join(key for key, _ in one) for one in ATTRIBUTES])
def test_requests_arrive_alike_and_are_refused_alike_with_rules_and_without(
    attributes: Attributes, run: Callable[[Scenario], None]
) -> None:
    async def scenario(rig: Rig) -> None:
        found = []
        for rules in ((), (NEVER,)):
            listeners = tuple(rig.listener(f"l{port}", port=port, rules=rules) for port in PORTS)
            await rig.apply(listeners=listeners, attributes=attributes)
            found.append([await arrivals(rig, port) for port in PORTS])
        assert found[0] == found[1]
        if not attributes:
            assert_added(found[0][0])

    run(scenario)


def assert_added(found: dict[str, Arrival]) -> None:
    """That what is compared is what is to be added, and once."""
    trace = "x-amzn-trace-id: Root=1-time-name"
    added = [f"x-forwarded-for: {address(2)}", "x-forwarded-port: 80", "x-forwarded-proto: http"]
    assert found["usual"] == (200, ["GET /a?b=c HTTP/1.1", "accept: */*", "host: a.example", trace, *added])
    assert f"x-amzn-trace-id: Self=1-time-name;{ROOT}" in found["traced"][1]

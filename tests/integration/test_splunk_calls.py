"""The splunk driver's requests from inside a real task's network: groups, TLS, and collectors that mean no good."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.agent.splunk.collector import Answer, TaskCollector, Unreachable
from neargate.definitions.splunk import parse_splunk
from neargate.model.knobs import Knobs
from neargate.model.network import SecurityGroup
from neargate.testing.netlab import NetLab, eni, listener_in, plan, rule

from .scripted_http import Serve, scripted
from .test_pull_https import Authority

pytestmark = pytest.mark.root

HERE = "172.31.1.2"
PORT = 8088
TOKEN = "11111111-2222-3333-4444-555555555555"
OPEN = SecurityGroup(group_id="sg-0open", ingress=(), egress=(rule("-1", peer="0.0.0.0/0"),))
SHUT = SecurityGroup(group_id="sg-0shut", ingress=(), egress=())
HEC = SecurityGroup(group_id="sg-0hec", ingress=(rule("tcp", PORT, PORT, peer="0.0.0.0/0"),), egress=())
KNOBS = Knobs(splunk_call_timeout_s=60.0, splunk_answer_max_bytes=1000)  # a slow machine is no silent collector
IMPATIENT = replace(KNOBS, splunk_call_timeout_s=0.5)
GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{"text":"Success","code":0}'


@asynccontextmanager
async def collecting(directory: Path, serve: Serve | None, secure: ssl.SSLContext | None) -> AsyncIterator[NetLab]:
    """Tasks `a` (172.31.1.1) and `shut` (172.31.1.3); in the network of task `hec` (172.31.1.2) the collector."""
    lab = await NetLab.open(directory)
    try:
        await lab.network.apply_vpc(plan(1, OPEN, SHUT, HEC))
        await lab.attach("a", eni(1, "sg-0open"))
        await lab.attach("shut", eni(3, "sg-0shut"))
        hec = await lab.attach("hec", eni(2, "sg-0hec"))
        if serve is None:
            yield lab
            return
        server = await asyncio.start_server(serve, sock=listener_in(hec.netns_path, HERE, PORT), ssl=secure)
        yield lab
        server.close()
    finally:
        await lab.close()


def asked(
    directory: Path,
    serve: Serve | None,
    *,
    task_id: str = "a",
    knobs: Knobs = KNOBS,
    secure: ssl.SSLContext | None = None,
    **options: str,
) -> Answer | str:
    """What a request is answered, or why there is no answer."""
    scheme = "https" if secure else "http"
    given = {"splunk-url": f"{scheme}://{HERE}:{PORT}", "splunk-token": TOKEN}
    parsed = parse_splunk(given | {name.replace("_", "-"): value for name, value in options.items()})

    async def whole() -> Answer | str:
        async with collecting(directory, serve, secure) as lab:
            collector = TaskCollector(lab.world, lab.network, knobs)
            headers = [(b"Authorization", f"Splunk {TOKEN}".encode())]
            try:
                return await collector.ask(task_id, parsed, "POST", headers, b"{}")
            except Unreachable as error:
                return str(error)

    return asyncio.run(whole())


def test_a_request_comes_from_the_task(tmp_path: Path) -> None:
    seen: list[tuple[str, bytes]] = []
    assert asked(tmp_path, scripted(GOOD, seen, hold=True)) == Answer(status=200)
    assert seen == [
        (
            "172.31.1.1",
            b"POST /services/collector/event/1.0 HTTP/1.1\r\nHost: 172.31.1.2:8088\r\n"
            b"Authorization: Splunk 11111111-2222-3333-4444-555555555555\r\nContent-Length: 2\r\n"
            b"Connection: close\r\n\r\n{}",
        )
    ]


FAILED = f'Post "http://{HERE}:{PORT}/services/collector/event/1.0": '
LATE = FAILED + "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"


def _answer(head: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (
            _answer(b"403 Forbidden", b'{"text":"Invalid token","code":4}'),
            Answer(status=403, said='{"text":"Invalid token","code":4}'),
        ),
        (
            b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
            Answer(status=503, retry_after_s=7),
        ),
        (b"HTTP/1.1 302 Found\r\nLocation: http://172.31.1.9/\r\nContent-Length: 0\r\n\r\n", Answer(status=302)),
        (_answer(b"400 Bad", f"you sent {TOKEN}".encode()), Answer(status=400)),
        (_answer(b"400 Bad", b'{"text":"%b","code":1}' % TOKEN.encode()), Answer(status=400)),
        (
            _answer(b"400 Bad", b'{"text":"\\u001b[2J","code":1}'),
            Answer(status=400, said='{"text":"?[2J","code":1}'),
        ),
        (b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n", Answer(status=400)),
        (_answer(b"400 Bad", b"x" * 100_000), Answer(status=400)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", Answer(status=200)),
        (b"", FAILED + "EOF"),
        (b"HTTP/1.1 200 OK\r\n", FAILED + "EOF"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 5000 + b"\r\n\r\n", FAILED + "EOF"),
        (b"SSH-2.0-x\r\n\r\n", FAILED + "EOF"),
    ],
    ids=[
        *("invalid token", "busy", "elsewhere", "shows the token", "says the token", "control characters", "chunked"),
        *("too long", "far too long", "nothing", "half a head", "long head", "no HTTP"),
    ],
)
def test_an_answer_takes_what_it_needs_and_no_more(tmp_path: Path, answer: bytes, found: Answer | str) -> None:
    assert asked(tmp_path, scripted(answer, [])) == found


def test_silence_has_its_time(tmp_path: Path) -> None:
    assert asked(tmp_path, scripted(b"", [], hold=True), knobs=IMPATIENT) == LATE


def test_headers_without_end_have_their_bound(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n")
        try:
            while True:
                writer.write(b"X: y\r\n" * 100)
                await writer.drain()
        except OSError:
            writer.close()

    assert asked(tmp_path, serve) == FAILED + "EOF"


def test_nobody_serves_or_nobody_may_come(tmp_path: Path) -> None:
    refused = f"dial tcp {HERE}:{PORT}: connect: "
    assert asked(tmp_path, None) == f"{FAILED}{refused}connection refused"
    assert asked(tmp_path, None, task_id="none") == f"{FAILED}{refused}task none has no interface on this host"
    seen: list[tuple[str, bytes]] = []
    assert asked(tmp_path, scripted(GOOD, seen), task_id="shut", knobs=IMPATIENT) == LATE and seen == []


def test_a_name_is_looked_up_as_in_a_task(tmp_path: Path) -> None:
    assert asked(tmp_path, scripted(GOOD, []), splunk_url="http://localhost:8088") == (
        'Post "http://localhost:8088/services/collector/event/1.0": dial tcp: lookup localhost: server misbehaving'
    )


def test_certificates_are_checked_against_the_hosts_authorities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, unknown = Authority(tmp_path, "known"), Authority(tmp_path, "unknown")
    monkeypatch.setenv("SSL_CERT_FILE", str(known.bundle))
    failed = f'Post "https://{HERE}:{PORT}/services/collector/event/1.0": tls: failed to verify certificate: x509: '

    def secured(authority: Authority, name: str, **given: Any) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue(name, **given))
        return context

    def ask(number: int, secure: ssl.SSLContext, **options: str) -> Answer | str:
        directory = tmp_path / str(number)
        directory.mkdir()
        return asked(directory, scripted(GOOD, []), secure=secure, **options)

    good = secured(known, "good", address=HERE)
    assert ask(1, good) == Answer(status=200)
    strange = secured(unknown, "strange", address=HERE)
    assert ask(2, strange) == f"{failed}certificate signed by unknown authority"
    assert ask(3, strange, splunk_insecureskipverify="true") == Answer(status=200)
    other = secured(known, "other", address="172.31.1.77")
    assert ask(4, other) == f"{failed}certificate is not valid for {HERE}"
    assert ask(5, other, splunk_caname="172.31.1.77") == Answer(status=200)
    old = secured(known, "old", address=HERE, days=(-9, -2))
    assert ask(6, old) == f"{failed}certificate has expired or is not yet valid"

"""What clients get where no target answers them, and what is added on the way: a real proxy, real packets."""

import asyncio
import select
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from neargate.model.balancing import Forward, HealthCheck, PlannedGroup, Redirect, Stickiness, WeightedGroup
from neargate.testing.balancer_lab import FIRST_TARGET, address

from .balancer_rig import PORT, Answer, Rig, head_of, target_of
from .test_balancers import Scenario, run

pytestmark = pytest.mark.root
__all__ = ["run"]
Run = Callable[[Scenario], None]
BESIDE = PORT + 1  # where targets listen that are another kind of wrong each
UNCHECKED = HealthCheck(enabled=False)
IDLE = ("idle_timeout.timeout_seconds", "2")


def page(answer: Answer, code: int, title: str) -> dict[str, str]:
    """Its headers."""
    assert answer[0] == code
    said = f"<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>"
    assert answer[2] == f"<html>\r\n{said}\r\n</html>\r\n".encode()
    headers = dict(answer[1])
    assert headers["server"] == "awselb/2.0" and headers["content-type"] == "text/html"
    assert headers["date"].endswith(" GMT")
    return headers


def beside(rig: Rig, *numbers: int) -> tuple[PlannedGroup, ...]:
    return (rig.group(targets=rig.planned(*numbers, port=BESIDE), check=UNCHECKED),)


async def serving(
    rig: Rig, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], target: int = 0
) -> asyncio.Server:
    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        writer.transport.abort()

    return await asyncio.start_server(one, sock=rig.lab.listening(target, BESIDE))


async def _silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _closing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _resetting(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    at_once = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)


async def _malformed(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 two hundred\r\nno colon\r\n\r\n")
    await writer.drain()
    writer.close()


async def _large(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 Fine\r\nContent-Length: 0\r\nX-Large: " + b"x" * 33_000 + b"\r\n\r\n")
    await writer.drain()


def test_a_target_that_answers_nothing_is_waited_for_and_one_that_breaks_off_is_a_bad_gateway(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.apply(groups=beside(rig, 0), attributes=(IDLE,))
        for serve in (_closing, _resetting, _malformed, _large):
            server = await serving(rig, serve)
            for method in ("GET", "POST"):
                page(await rig.get(method=method), 502, "502 Bad Gateway")
            server.close()
        page(await rig.get(), 502, "502 Bad Gateway")  # nobody listens
        server = await serving(rig, _silent)
        page(await rig.get(), 504, "504 Gateway Time-out")
        server.close()

    run(scenario)


async def full(rig: Rig) -> list[socket.socket]:
    """Target 0 takes no connection more, and says nothing to who asks for one: as behind a security group."""
    listener = rig.lab.listening(0, BESIDE)
    listener.listen(0)
    held = [rig.lab.client() for _ in range(3)]
    for one in held:
        one.connect_ex((address(FIRST_TARGET), BESIDE))
    while not select.select([listener], [], [], 0)[0]:
        await rig.lab.world.sleep(0.01)
    return [listener, *held]


def test_a_target_that_never_answers_a_connection_is_a_time_out_and_another_one_is_asked_instead(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        held = await full(rig)
        await rig.apply(groups=beside(rig, 0))
        client, other = await rig.connect(), await rig.connect()
        page(await asyncio.wait_for(client.ask("/"), 20), 504, "504 Gateway Time-out")
        client.close()
        assert (await other.ask("/", method="TRACE"))[0] == 405  # on its connection "/" is not the first request
        page(await asyncio.wait_for(other.ask("/"), 20), 504, "504 Gateway Time-out")
        other.close()
        both = (*rig.planned(0, port=BESIDE), *rig.planned(1))
        await rig.apply(groups=(rig.group(targets=both, check=UNCHECKED),))
        assert [target_of(await rig.get()) for _ in range(2)] == [1, 1]
        for one in held:
            one.close()

    run(scenario)


def test_a_targets_own_503_is_its_own(run: Run) -> None:
    async def mine(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Mine\r\nContent-Length: 4\r\n\r\nbusy")
        await writer.drain()

    async def scenario(rig: Rig) -> None:
        server = await serving(rig, mine)
        await rig.apply(groups=beside(rig, 0))
        code, headers, body = await rig.get()
        assert (code, body) == (503, b"busy") and "server" not in dict(headers) and "date" in dict(headers)
        server.close()
        await rig.apply(groups=(rig.group(targets=()),))
        page(await rig.get(), 503, "503 Service Temporarily Unavailable")

    run(scenario)


def header(length: int) -> str:
    """Of so many bytes, without its end of line."""
    return "X-Long: " + "x" * (length - len("X-Long: "))


def test_lines_and_headers_may_have_16_kib_and_all_together_64(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.apply()
        longest = 16 * 1024 - len("GET  HTTP/1.1")
        assert (await rig.get("/" + "x" * (longest - 1)))[0] == 200
        page(await rig.get("/" + "x" * longest), 414, "414 Request-URI Too Large")
        assert (await rig.get("/", header(16_384)))[0] == 200
        refused = await rig.get("/", header(16_385))
        assert refused[0] == 400 and b"<center>Request Header Or Cookie Too Large</center>" in refused[2]
        assert (await rig.get("/", *[header(15_900)] * 4))[0] == 200
        assert (await rig.get("/", *["a: b"] * 500))[0] == 200
        assert (await rig.get("/", *[header(15_900)] * 5))[0] == 400

    run(scenario)


def test_what_a_load_balancer_does_not_hand_on_is_answered_as_aws_does(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        h2 = rig.group("h2", version="HTTP2", check=UNCHECKED)
        to_h2 = Forward(groups=(WeightedGroup(arn="h2"),))
        to = Redirect(code=302, protocol="HTTPS", port="443")
        listeners = (
            rig.listener(),
            rig.listener("old", port=81, default=to),
            rig.listener("other", port=82, default=to_h2),
        )
        await rig.apply(listeners=listeners, groups=(rig.group(), h2))
        page(await rig.get(method="TRACE"), 405, "405 Not Allowed")
        assert (await rig.get("/", f"X-Forwarded-For: {', '.join(['192.0.2.1'] * 30)}"))[0] == 200
        assert (await rig.get("/", f"X-Forwarded-For: {', '.join(['192.0.2.1'] * 31)}"))[0] == 463
        assert (await rig.get(port=82))[0] == 464
        moved = page(await rig.get("/x?a=b", port=81), 302, "302 Found")
        assert moved["location"] == "https://example.com:443/x?a=b"
        client = await rig.connect()
        client.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        page(await client.answer(), 400, "400 Bad Request")
        client.close()
        client = await rig.connect()
        client.writer.write(b"GET / HTTP/2.0\r\nHost: x\r\n\r\n")
        page(await client.answer(), 505, "505 HTTP Version Not Supported")
        client.close()

    run(scenario)


async def heard(rig: Rig, name: str, *headers: str, port: int = 80) -> list[str]:
    """What a target was sent under this name."""
    lines = head_of(await rig.get("/", *headers, port=port)).split("\r\n")
    pairs = [line.partition(": ") for line in lines]
    return [value for key, _, value in pairs if key.lower() == name]


def test_a_node_has_a_bound_of_memory_that_a_replaced_process_keeps(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        def bounds() -> set[str]:
            limits = [Path(f"/proc/{pid}/limits").read_text() for pid in rig.lab.workers()]
            return {line.split()[3] for text in limits for line in text.splitlines() if "address space" in line}

        await rig.apply()
        assert bounds() == {str(1024 << 20)}
        await rig.apply(listeners=(rig.listener(), rig.listener("other", port=81)))
        assert bounds() == {str(1024 << 20)} and (await rig.get(port=81))[0] == 200

    run(scenario)


def test_hosts_are_heard_with_the_port_of_the_listener_unless_they_are_preserved(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        both = (rig.listener(), rig.listener("other", port=8080))
        await rig.apply(listeners=both)
        assert await heard(rig, "host", "Host: a.example:80") == ["a.example"]
        assert await heard(rig, "host", "Host: a.example") == ["a.example"]
        assert await heard(rig, "host", "Host: a.example", port=8080) == ["a.example:8080"]
        assert await heard(rig, "host", "Host: a.example:81", port=8080) == ["a.example:81"]
        await rig.apply(listeners=both, attributes=(("routing.http.preserve_host_header.enabled", "true"),))
        assert await heard(rig, "host", "Host: a.example:80") == ["a.example:80"]
        assert await heard(rig, "host", "Host: a.example", port=8080) == ["a.example"]

    run(scenario)


def test_a_trace_goes_on_with_a_part_of_the_load_balancers_own(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.apply()

        async def trace(given: str) -> tuple[str, str]:
            (value,) = await heard(rig, "x-amzn-trace-id", f"X-Amzn-Trace-Id: {given}")
            first, _, others = value.partition(";")
            name, _, identifier = first.partition("=")
            assert len(identifier) == len("1-67891233-abcdef012345678912345678")
            return name, others

        root = "Root=1-67891233-abcdef012345678912345678"
        assert await trace(root) == ("Self", root)
        assert await trace(f"{root};CalledFrom=app") == ("Self", f"{root};CalledFrom=app")
        assert await trace(f"Self=1-1-1;{root}") == ("Self", root)
        assert await trace(f"{root};Self=1-1-1;a=b") == ("Self", f"{root};a=b")
        assert await trace("CalledFrom=app") == ("Root", "CalledFrom=app")

    run(scenario)


def test_who_forwarded_is_appended_preserved_or_removed(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        client, name = address(2), "x-forwarded-for"
        mode, with_port = "routing.http.xff_header_processing.mode", ("routing.http.xff_client_port.enabled", "true")
        two = ("X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2")
        await rig.apply()
        assert await heard(rig, name) == [client]
        assert await heard(rig, name, two[0]) == [f"192.0.2.1, {client}"]
        assert await heard(rig, name, *two) == ["192.0.2.1", "192.0.2.2", client]
        await rig.apply(attributes=(with_port,))
        (value,) = await heard(rig, name, two[0])
        assert value.startswith(f"192.0.2.1, {client}:") and value.rpartition(":")[2].isdecimal()
        await rig.apply(attributes=(with_port, (mode, "preserve")))
        assert await heard(rig, name, *two) == ["192.0.2.1", "192.0.2.2"] and await heard(rig, name) == []
        await rig.apply(attributes=((mode, "remove"),))
        assert await heard(rig, name, *two) == []
        await rig.apply(attributes=(("routing.http.drop_invalid_header_fields.enabled", "true"),))
        assert await heard(rig, "x_under", "X_Under: 1", "X-Fine: 2") == []
        assert await heard(rig, "x-fine", "X_Under: 1", "X-Fine: 2") == ["2"]

    run(scenario)


def cookies(answer: Answer) -> dict[str, str]:
    """By name: `value; attributes`."""
    pairs = [value.partition("=") for name, value in answer[1] if name == "set-cookie"]
    return {name: rest for name, _, rest in pairs}


def test_cookies_for_other_sites_say_so_and_hold_alone(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        sticky = Stickiness(kind="lb_cookie", duration_s=60)
        weighted = (WeightedGroup(arn="group"), WeightedGroup(arn="other"))
        groups = (
            rig.group(targets=rig.planned(0, 1), stickiness=sticky),
            rig.group("other", targets=rig.planned(0, 1), stickiness=sticky),
        )
        await rig.apply(listeners=(rig.listener(default=Forward(groups=weighted, stickiness_s=60)),), groups=groups)
        first = await rig.get()
        found = cookies(first)
        assert found.keys() == {"AWSALB", "AWSALBCORS", "AWSALBTG", "AWSALBTGCORS"}
        for name in ("AWSALB", "AWSALBTG"):
            plain, cors = found[name], found[f"{name}CORS"]
            assert cors == f"{plain}; SameSite=None; Secure" and plain.endswith("; Path=/")
        sent = "; ".join(f"{name}={found[name].partition(';')[0]}" for name in ("AWSALBCORS", "AWSALBTGCORS"))
        for _ in range(6):
            again = await rig.get("/", f"Cookie: {sent}")
            assert target_of(again) == target_of(first)
            assert cookies(again)["AWSALBTG"].partition(";")[0] == found["AWSALBTG"].partition(";")[0]

    run(scenario)

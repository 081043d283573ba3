"""A load balancer's node with a real proxy, real targets and a client, each in a namespace of its own."""

import asyncio
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.hostnet.proxy_users import is_fresh
from neargate.model.balancing import (
    Condition,
    FixedResponse,
    Forward,
    HealthCheck,
    PlannedCertificate,
    PlannedGroup,
    PlannedRule,
    Redirect,
    Stickiness,
    WeightedGroup,
)
from neargate.proxying import names, stats
from neargate.testing.balancer_lab import ENI, NODE, BalancerLab, address

from .balancer_rig import PORT, Rig, head_of, target_of

pytestmark = pytest.mark.root
HOSTILE = "a'b\"c $HOME ${X} %[src] \\ \n global\n#é%\r\tx"
OLD = ("--ciphers", "DEFAULT@SECLEVEL=0")  # without it no client of this OpenSSL speaks TLS 1.1
Scenario = Callable[[Rig], Awaitable[None]]


@pytest.fixture
def run() -> Iterator[Callable[[Scenario], None]]:
    lab = BalancerLab(targets=3)

    def through(scenario: Scenario) -> None:
        async def story() -> None:
            rig = Rig(lab)
            try:
                await rig.open(3)
                await scenario(rig)
            finally:
                await rig.close()

        asyncio.run(story())

    try:
        yield through
    finally:
        lab.close()


def rule(priority: int, *conditions: Condition, body: str) -> PlannedRule:
    return PlannedRule(priority=priority, conditions=conditions, action=FixedResponse(code=200, body=body))


def where(field: str, *values: str, **more: object) -> Condition:
    return Condition(field=field, values=values, **more)  # type: ignore[arg-type]


RULES = (
    rule(90, where("host-header", "*.example.org"), body="any host"),
    rule(20, where("host-header", "a.example.org"), where("path-pattern", "/img/*.p?g"), body="host and path"),
    rule(30, where("http-header", "*v2*", name="X-Version"), body="header"),
    rule(40, where("http-request-method", "PURGE"), body="method"),
    rule(50, Condition(field="query-string", pairs=(("version", "v?"), (None, "any*"))), body="query"),
    rule(60, where("source-ip", "10.99.0.0/16", "10.77.0.2/32"), where("path-pattern", "/source"), body="source"),
    rule(65, where("source-ip", "10.99.0.0/16"), where("path-pattern", "/other"), body="nobody"),
    PlannedRule(
        priority=70,
        conditions=(where("path-pattern", "/old*"),),
        action=Redirect(code=301, protocol="HTTPS", port="443"),
    ),
    PlannedRule(
        priority=80,
        conditions=(where("path-pattern", "/new"),),
        action=Redirect(code=302, host="b.#{host}", path="/x/#{path}", query="q=1"),
    ),
)


def test_the_first_rule_by_priority_whose_conditions_hold_decides(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.apply(listeners=(rig.listener(rules=RULES),))

        async def body(path: str, *headers: str, method: str = "GET") -> str:
            return (await rig.get(path, *headers, method=method))[2].decode()

        assert await body("/img/x.png", "Host: a.example.org:80") == "host and path"
        assert await body("/img/x.pdf", "Host: A.example.ORG") == "any host"
        assert await body("/", "x-version: is-V2-now") == "header"
        assert await body("/", method="PURGE") == "method"
        assert await body("/?a=b&VERSION=v7") == "query"
        assert await body("/?x=anything") == "query"
        assert await body("/source") == "source"
        assert target_of(await rig.get("/other?version=v12")) in (0, 1)
        code, headers, _ = await rig.get("/old/page?a=b")
        assert (code, dict(headers)["location"]) == (301, "https://example.com:443/old/page?a=b")
        assert dict((await rig.get("/old"))[1])["location"] == "https://example.com:443/old"
        code, headers, _ = await rig.get("/new?a=b")
        assert (code, dict(headers)["location"]) == (302, "http://b.example.com:80/x/new?q=1")

    run(scenario)


def test_targets_hear_whose_request_it_is(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.apply()
        head = head_of(await rig.get("/x", "X-Forwarded-For: 1.2.3.4")).lower()
        assert f"x-forwarded-for: 1.2.3.4, {address(2)}\r\n" in head
        assert "x-forwarded-proto: http\r\n" in head and "x-forwarded-port: 80\r\n" in head
        assert "\r\nx-amzn-trace-id: root=1-" in head
        keep = (("routing.http.xff_header_processing.mode", "preserve"),)
        await rig.apply(attributes=keep)
        assert "x-forwarded-for: 1.2.3.4\r\n" in head_of(await rig.get("/x", "X-Forwarded-For: 1.2.3.4")).lower()
        check = rig.targets[0].checked[0].lower()
        assert f"host: {address(10)}:{PORT}\r\n" in check and "user-agent: elb-healthchecker/2.0" in check

    run(scenario)


def test_hostile_words_are_words(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        fields = ("host-header", "path-pattern", "http-request-method", "source-ip", "http-header")
        rules = [
            PlannedRule(
                priority=number,
                conditions=(
                    Condition(field=field, values=(HOSTILE, "*"), name=HOSTILE if number % 2 else "x-a"),
                    where("path-pattern", "/never"),
                ),
                action=action,
            )
            for number, (field, action) in enumerate(
                (field, action)
                for field in fields
                for action in (
                    Redirect(code=301, host=HOSTILE, path=HOSTILE, query=HOSTILE, port=HOSTILE, protocol=HOSTILE),
                    FixedResponse(code=200, body=HOSTILE, content_type=HOSTILE),
                )
            )
        ]
        query = Condition(field="query-string", pairs=((HOSTILE, HOSTILE), (None, HOSTILE)))
        rules.append(rule(98, query, body="never"))
        rules.append(rule(99, where("path-pattern", "/body"), body=HOSTILE))
        group = rig.group(
            check=HealthCheck(interval_s=1, path="/health?" + HOSTILE, codes=((200, 499),)),
            stickiness=Stickiness(kind="app_cookie", cookie=HOSTILE),
        )
        await rig.apply(listeners=(rig.listener(rules=tuple(rules)),), groups=(group,))
        assert (await rig.get("/body"))[2] == HOSTILE.encode()
        assert target_of(await rig.get("/")) in (0, 1)
        code, headers, _ = await rig.get("/never")
        location = dict(headers)["location"]
        assert code == 301 and "%5Bsrc%5D" in location and "\n" not in location

    run(scenario)


def test_a_failing_target_is_asked_no_more_until_it_passes_again(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.apply()
        rig.targets[0].status = 500
        await rig.until(lambda: rig.states() == ["unhealthy", "healthy"])
        failed = rig.verdicts()[0]
        assert failed.reason == "Target.ResponseCodeMismatch"
        assert failed.detail == "Health checks failed with these codes: [500]"
        assert {target_of(await rig.get("/")) for _ in range(6)} == {1}
        # With nobody healthy all are asked.
        rig.targets[1].status = 404
        await rig.until(lambda: rig.states() == ["unhealthy", "unhealthy"])
        assert {target_of(await rig.get("/")) for _ in range(6)} == {0, 1}
        rig.targets[0].status = 200
        await rig.until(lambda: rig.states() == ["healthy", "unhealthy"])
        assert {target_of(await rig.get("/")) for _ in range(6)} == {0}

    run(scenario)


def test_without_targets_or_with_one_that_refuses_clients_get_the_answers_of_aws(
    run: Callable[[Scenario], None],
) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.apply(groups=(rig.group(targets=()),))
        code, headers, body = await rig.get("/")
        assert code == 503 and b"<h1>503 Service Temporarily Unavailable</h1>" in body
        assert dict(headers)["server"] == "awselb/2.0"
        refusing = rig.group(targets=rig.planned(0, port=PORT + 1), check=HealthCheck(port=PORT, path="/health"))
        await rig.apply(groups=(refusing,))
        code, _, body = await rig.get("/")
        assert code == 502 and b"502 Bad Gateway" in body

    run(scenario)


async def retried(rig: Rig) -> int:
    told = await rig.lab.ask("show stat")
    return sum(row.retried for row in stats.rows(told) if row.server == "BACKEND")


def test_targets_come_and_go_under_load_and_no_request_fails_or_is_sent_twice(
    run: Callable[[Scenario], None],
) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.apply()
        before = rig.lab.workers()
        found: Counter[str] = Counter()
        ends = asyncio.Event()

        async def ask() -> None:
            try:
                found[str((await rig.get("/"))[0])] += 1
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                found[repr(error)] += 1

        async def load() -> None:
            async with asyncio.TaskGroup() as asking:
                while not ends.is_set():
                    asking.create_task(ask())
                    await rig.lab.world.sleep(1 / 200)

        async with asyncio.TaskGroup() as group:
            group.create_task(load())
            for there, leaving in (((1, 2), (0,)), ((0, 2), (1,)), ((0, 1), (2,)), ((0, 1, 2), ())) * 2:
                targets = rig.planned(*there, draining=leaving)
                await rig.apply(groups=(rig.group(targets=targets),))
                await rig.until(lambda: all(verdict.in_flight == 0 for verdict in rig.verdicts()))
                await rig.apply(groups=(rig.group(targets=rig.planned(*there)),))
            ends.set()
        assert set(found) == {"200"} and found["200"] > 100
        assert await retried(rig) == 0
        assert rig.lab.workers() == before, "targets come and go without another process"

    run(scenario)


def test_targets_of_every_kind_join_a_proxy_that_runs(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        kinds = [
            {"protocol": protocol, "version": version, "check": HealthCheck(protocol=check), "proxy_protocol_v2": named}
            for protocol in ("HTTP", "HTTPS")
            for version in ("HTTP1", "HTTP2", "GRPC")
            for check in ("HTTP", "HTTPS")
            for named in (False, True)
        ]
        await every_kind(rig, "application", kinds)
        streams = [
            {"protocol": protocol, "check": HealthCheck(protocol=check), "proxy_protocol_v2": named}
            for protocol in ("TCP", "TLS")
            for check in ("TCP", "HTTP", "HTTPS")
            for named in (False, True)
        ]
        await every_kind(rig, "network", streams)

    run(scenario)


async def every_kind(rig: Rig, kind: str, kinds: list[dict[str, Any]]) -> None:
    def groups(*targets: int) -> tuple[PlannedGroup, ...]:
        return tuple(
            rig.group(f"group {number}", targets=rig.planned(*targets), slow_start_s=30, **one)
            for number, one in enumerate(kinds)
        )

    await rig.apply(kind=kind, listeners=(), groups=groups())
    before = rig.lab.workers()
    plan = rig.plan(kind=kind, listeners=(), groups=groups(0, 1))
    await rig.lab.apply(plan)
    await rig.until(lambda: rig.lab.told["place-1"].generation == plan.generation)
    rows = stats.rows(await rig.lab.ask("show stat"))
    there = Counter(row.backend for row in rows if row.server != "BACKEND")
    missing = [one.arn for one in plan.groups if there[names.backend(one.arn)] != 2]
    assert not missing and rig.lab.workers() == before


def test_targets_that_joined_are_asked_by_connections_that_stay(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.apply(groups=(rig.group(targets=()),))
        await rig.apply(groups=(rig.group(targets=rig.planned(0)),))
        for _ in range(5):
            client = await rig.connect()
            assert [(await client.ask("/"))[0] for _ in range(4)] == [200] * 4
            client.close()
        assert rig.targets[0].served == 20 and len(rig.targets[0].asked_by) <= 5

    run(scenario)


def test_a_request_in_flight_at_a_draining_target_ends_by_itself(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        one = rig.group(targets=rig.planned(0))
        await rig.apply(groups=(one,))
        client = await rig.connect()
        client.writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await rig.until(lambda: rig.targets[0].slow == 1)
        await rig.apply(groups=(rig.group(targets=rig.planned(1, draining=(0,))),))
        await rig.until(lambda: [one.in_flight for one in rig.verdicts() if one.state == "draining"] == [1])
        assert {target_of(await rig.get("/")) for _ in range(4)} == {1}
        # Another process serves meanwhile: who drains in the one before is still counted.
        await rig.apply(
            groups=(rig.group(targets=rig.planned(1, draining=(0,))),),
            attributes=(("idle_timeout.timeout_seconds", "50"),),
        )
        await rig.until(lambda: [one.in_flight for one in rig.verdicts() if one.state == "draining"] == [1])
        rig.targets[0].release.set()
        assert target_of(await client.answer()) == 0
        await rig.until(lambda: [one.in_flight for one in rig.verdicts() if one.state == "draining"] == [0])
        client.close()

    run(scenario)


@pytest.mark.parametrize("whom", ["master", "worker"])
def test_a_killed_proxy_is_back_at_once_and_knows_who_was_healthy(whom: str, run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.apply()
        rig.targets[1].status = 500
        await rig.until(lambda: rig.states() == ["healthy", "unhealthy"])
        master, worker = rig.lab.masters()[0], rig.lab.workers()[0]
        os.kill(master if whom == "master" else worker, signal.SIGKILL)

        async def answers() -> int | None:
            try:
                return target_of(await rig.get("/"))
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                return None

        await rig.until(lambda: rig.lab.masters() not in ((), (master,)) and bool(rig.lab.workers()))
        async with asyncio.timeout(5):
            while (found := await answers()) is None:
                await rig.lab.world.sleep(0.01)
        assert found == 0
        assert {target_of(await rig.get("/")) for _ in range(4)} == {0}

    run(scenario)


def test_connections_survive_the_runner_and_the_next_one_adopts(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        plan = await rig.apply()
        before = rig.lab.masters(), rig.lab.workers()
        client = await rig.connect()
        await client.ask("/")
        await rig.lab.abandon()
        assert target_of(await client.ask("/")) in (0, 1)
        rig.lab.told.clear()
        rig.lab.runner = rig.lab.fresh_runner()
        await rig.lab.apply(plan)
        await rig.until(lambda: rig.states() == ["healthy", "healthy"])
        assert (rig.lab.masters(), rig.lab.workers()) == before
        assert target_of(await client.ask("/")) in (0, 1)
        client.close()

    run(scenario)


def test_what_is_in_no_plan_ends(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.apply()
        await rig.lab.apply()
        await rig.until(lambda: not rig.lab.masters() and not rig.lab.proxies.nodes())
        with pytest.raises(ConnectionRefusedError):
            await rig.get("/")

    run(scenario)


def test_another_listener_drops_nobody(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.apply()
        client = await rig.connect()
        assert (await client.ask("/"))[0] == 200
        await rig.apply(listeners=(rig.listener(), rig.listener("second", port=81)))
        assert (await client.ask("/"))[0] == 200, "the process before answers who is connected with it"
        client.close()
        assert (await rig.get("/", port=81))[0] == 200
        assert rig.states() == ["healthy", "healthy"]

    run(scenario)


def certificate(name: str) -> PlannedCertificate:
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/stdout -out /dev/stdout"
    command = ["openssl", *words.split(), "-subj", f"/CN={name}"]
    pem = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return PlannedCertificate(arn=f"certificate {name}", names=(name,), pem=pem)


def test_names_choose_certificates_and_clients_may_speak_http2(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        certificates = (certificate("first.test"), certificate("*.second.test"))
        listener = rig.listener(
            port=443,
            protocol="HTTPS",
            certificates=certificates,
            ssl_policy="ELBSecurityPolicy-TLS13-1-2-2021-06",
        )
        await rig.apply(listeners=(listener,))

        async def seen(name: str, *options: str) -> str:
            given = ["-ksv", "-o", "/dev/null", "--resolve", f"{name}:443:{address(NODE)}", *options]
            command = ["curl", *given, "-w", "\nversion %{http_version} code %{http_code}", f"https://{name}/"]
            return await asyncio.to_thread(rig.lab.run_all, "client", *command)

        first = await seen("other.test")
        assert "CN=first.test" in first and "version 2 code 200" in first
        second = await seen("a.second.test", "--http1.1")
        assert "CN=*.second.test" in second and "version 1.1 code 200" in second
        assert "code 000" in await seen("first.test", "--tls-max", "1.1", *OLD)
        await rig.apply(listeners=(replace(listener, ssl_policy="ELBSecurityPolicy-2016-08"),))
        assert "code 200" in await seen("first.test", "--tls-max", "1.1", *OLD)

    run(scenario)


def test_a_websocket_is_passed_through(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.apply()
        client = await rig.connect()
        upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        code, _, _ = await client.ask("/", *upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        assert code == 101
        client.writer.write(b"\x81\x05hello")
        assert await asyncio.wait_for(client.reader.readexactly(7), 5) == b"\x81\x05hello"
        client.close()

    run(scenario)


def test_a_cookie_keeps_a_client_with_its_target_and_its_group(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        forward = Forward(groups=(WeightedGroup(arn="group"), WeightedGroup(arn="other")), stickiness_s=60)
        sticky = Stickiness(kind="lb_cookie", duration_s=60)
        groups = (rig.group(stickiness=sticky), rig.group("other", targets=rig.planned(2)))
        await rig.apply(listeners=(rig.listener(default=forward),), groups=groups)
        met = set()
        for _ in range(12):
            answer = await rig.get("/")
            cookies = [value.split(";")[0] for name, value in answer[1] if name == "set-cookie"]
            again = [await rig.get("/", f"Cookie: {'; '.join(cookies)}") for _ in range(3)]
            assert {target_of(one) for one in again} == {target_of(answer)}
            met.add(target_of(answer))
        assert len(met) > 1

    run(scenario)


def test_streams_of_a_network_load_balancer_say_whose_they_are(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        served: list[bytes] = []

        async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                served.append(await reader.readuntil(b"hello"))
                writer.write(b"told")
                await reader.read()
            except (OSError, asyncio.IncompleteReadError):
                pass  # a check
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(read, sock=rig.lab.listening(2, 9000))
        check = HealthCheck(protocol="TCP", interval_s=1)
        group = rig.group(protocol="TCP", check=check, targets=rig.planned(2, port=9000), proxy_protocol_v2=True)
        listener = rig.listener(port=9000, protocol="TCP")
        await rig.apply(kind="network", listeners=(listener,), groups=(group,))
        client = await rig.connect(9000)
        client.writer.write(b"hello")
        assert await asyncio.wait_for(client.reader.readexactly(4), 5) == b"told"
        client.close()
        (told,) = served
        assert told.startswith(b"\r\n\r\n\x00\r\nQUIT\n\x21\x11") and told[16:20] == bytes((10, 77, 0, 2))
        server.close()

    run(scenario)


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_a_proxy_has_no_privilege(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.apply()
        home = rig.lab.directory / "balancers" / ENI
        whose = (home / "sockets").stat().st_uid
        assert is_fresh(whose)
        for pid in (*rig.lab.masters(), *rig.lab.workers()):
            status = status_of(pid)
            assert status["Uid"].split() == [str(whose)] * 4 and status["NoNewPrivs"] == "1"
            assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert oct((home / "haproxy.cfg").stat().st_mode)[-3:] == "640"

    run(scenario)

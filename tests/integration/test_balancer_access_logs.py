"""What a real proxy says of requests: each is a line of AWS's, whatever was sent; and what the node counts of them."""

import asyncio
import re
import socket
import stat
from collections.abc import Callable, Sequence

import pytest

from neargate.interfaces.proxies import AccessLines
from neargate.model.balancing import BalancerPlan, FixedResponse, NodeReport, PlannedRule, Redirect
from neargate.proxying.access_format import SOCKET
from neargate.testing.balancer_lab import ENI, FIRST_TARGET, NODE, address

from .balancer_rig import PORT, Rig
from .test_balancers import Scenario, certificate, run, where

pytestmark = pytest.mark.root
__all__ = ["run"]
NAME = "access-50dc6c495c0c9188"
_FIELD = re.compile(r'"[^"]*"|[^ "]+')
RULES = (
    PlannedRule(priority=5, conditions=(where("path-pattern", "/fixed"),), action=FixedResponse(code=418)),
    PlannedRule(priority=7, conditions=(where("path-pattern", "/old"),), action=Redirect(code=301, path="/new")),
)


class Kept:
    """Lines as they are shipped. `is_full`: there is no room."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.lines: list[str] = []
        self.sources: set[tuple[str, str]] = set()
        self.is_full = False
        rig.lab.runner.on_access_lines(self.ship())

    def ship(self) -> AccessLines:
        def take(sent_by: str, eni_id: str, events: Sequence[tuple[int, str]]) -> bool:
            if self.is_full:
                return False
            self.sources.add((sent_by, eni_id))
            self.lines += [line for _, line in events]
            return True

        return take

    async def fields(self, count: int) -> list[list[str]]:
        """Of the first so many lines, when they are here."""
        await self.rig.until(lambda: len(self.lines) >= count)
        found = [_FIELD.findall(line) for line in self.lines]
        assert [" ".join(one) for one in found] == self.lines and len(found) == count
        assert {len(one) for one in found} == {30}
        return found


async def logged(rig: Rig, **changed: object) -> BalancerPlan:
    return await rig.apply(listeners=(rig.listener(rules=RULES),), access_log=NAME, **changed)


def report_of(rig: Rig) -> NodeReport:
    [found] = rig.lab.runner.reports()
    return found


def test_requests_are_lines_of_aws_by_their_ends(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        kept = Kept(rig)
        await logged(rig)
        await rig.get("/a?b=c", "Host: shop.example", "User-Agent: tests/1 (x)")
        await rig.get("/fixed")
        await rig.get("/old?q")
        forwarded, fixed, redirected = await kept.fields(3)
        assert kept.sources == {(NAME, ENI)}
        assert forwarded[0] == "http" and forwarded[3].startswith(f"{address(2)}:")
        assert forwarded[4] in {f"{address(FIRST_TARGET + n)}:{PORT}" for n in (0, 1)}
        assert all(re.fullmatch(r"\d+\.\d{3}", seconds) for seconds in forwarded[5:8])
        assert forwarded[8:10] == ["200", "200"]
        assert int(forwarded[10]) > 50 and int(forwarded[11]) > 100
        assert forwarded[12:14] == ['"GET http://shop.example:80/a?b=c HTTP/1.1"', '"tests/1 (x)"']
        assert forwarded[16] == "group" and forwarded[17].startswith('"Root=1-')
        assert (forwarded[20], forwarded[22]) == ("0", '"forward"')
        assert re.fullmatch("TID_[0-9a-f]{16}", forwarded[29])
        assert fixed[4:10] == ["-", "-1", "-1", "-1", "418", "-"] and fixed[20:23:2] == ["5", '"fixed-response"']
        assert redirected[20:23:2] == ["7", '"redirect"']
        assert redirected[23] == '"http://example.com:80/new?q"'

    run(scenario)


def test_what_hostile_clients_send_stays_in_its_field(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        kept = Kept(rig)
        await logged(rig)
        agent = b'a" "b\\ \x09\x80\xff' + b"x" * 5000
        client = await rig.connect()
        client.writer.write(b'GET /"%0a\'?%22\xc3 HTTP/1.1\r\nHost: a"b\r\nUser-Agent: ' + agent + b"\r\n\r\n")
        await client.answer()
        client.close()
        broken = await rig.connect()
        broken.writer.write(b'NOT " A REQUEST\n200 200\r\n\r\n')
        await broken.answer()
        broken.close()
        empty = await rig.connect()
        empty.close()
        lines = await kept.fields(2)
        by_status = {one[8]: one for one in lines}
        assert set(by_status) & {"400"}
        assert by_status["400"][12] == f'"- http://{address(NODE)}:80- -"'
        # HAProxy takes no such request either, or hands it on as it is: both ways it is one line.
        assert all(line.isascii() and line.isprintable() for line in kept.lines)

    run(scenario)


def test_long_user_agents_are_cut_and_long_requests_are_whole(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        kept = Kept(rig)
        await logged(rig)
        path = "/" + "p" * 7000
        assert (await rig.get(path, "User-Agent: " + 'a"' * 2500))[0] == 200
        [line] = await kept.fields(1)
        assert line[12] == f'"GET http://example.com:80{path} HTTP/1.1"'
        assert line[13] == '"' + "a\\x22" * 1024 + '"'

    run(scenario)


def test_the_longest_redirect_is_a_whole_request_and_the_beginning_of_where_it_leads(
    run: Callable[[Scenario], None],
) -> None:
    async def scenario(rig: Rig) -> None:
        kept = Kept(rig)
        await logged(rig)
        path = "/old?" + "q" * 16_300
        assert (await rig.get(path, "User-Agent: " + "a" * 4000, "X-Amzn-Trace-Id: " + "t" * 600))[0] == 301
        [line] = await kept.fields(1)
        assert line[12] == f'"GET http://example.com:80{path} HTTP/1.1"'
        assert line[23] == '"' + f"http://example.com:80/new?{path[5:]}"[: 12 * 1024] + '"'

    run(scenario)


def test_tls_is_told_by_its_cipher_and_the_certificate_that_was_shown(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        kept = Kept(rig)
        shown = (certificate("first.test"), certificate("second.test"))
        policy = "ELBSecurityPolicy-TLS13-1-2-2021-06"
        listener = rig.listener(port=443, protocol="HTTPS", certificates=shown, ssl_policy=policy)
        await rig.apply(listeners=(listener,), access_log=NAME)
        for name, version in (("other.test", "--http2"), ("second.test", "--http1.1")):
            at = f"{name}:443:{address(NODE)}"
            command = ["curl", "-ks", "-o", "/dev/null", "--resolve", at, version, f"https://{name}/x"]
            await asyncio.to_thread(rig.lab.run, "client", *command)
        second, first = await kept.fields(2)
        assert (second[0], first[0]) == ("h2", "https")
        assert second[12] == '"GET https://other.test:443/x HTTP/2.0"'
        assert first[14] != "-" and first[15] == "TLSv1.3"
        assert (second[18:20], first[18:20]) == (
            ['"other.test"', '"certificate first.test"'],
            ['"second.test"', '"certificate second.test"'],
        )

    run(scenario)


def test_targets_that_are_not_there_and_clients_that_leave(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        kept = Kept(rig)
        await logged(rig, groups=(rig.group(targets=()),))
        assert (await rig.get("/"))[0] == 503
        await logged(rig)
        client = await rig.connect()
        client.writer.write(b"GET /slow HTTP/1.1\r\nHost: example.com\r\n\r\n")
        await rig.until(lambda: any(target.slow for target in rig.targets))
        client.close()
        for target in rig.targets:  # until it answers nobody sees that the client has left
            target.release.set()
        absent, left = await kept.fields(2)
        assert absent[4:10] == ["-", "-1", "-1", "-1", "503", "-"] and absent[16] == "group"
        assert left[4] != "-" and left[8:10] in (["200", "200"], ["460", "-"])

    run(scenario)


def test_nothing_is_said_where_no_log_is_wanted(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        kept = Kept(rig)
        home = rig.lab.directory / "balancers" / ENI
        await rig.apply()
        plain = (home / "haproxy.cfg").read_text()
        assert "log " not in plain and "capture" not in plain and not (home / SOCKET).exists()
        await logged(rig)
        mode = (home / SOCKET).stat().st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o620
        await rig.get("/")
        await kept.fields(1)
        await rig.apply()
        assert "log " not in (home / "haproxy.cfg").read_text()
        await rig.get("/")
        await rig.until(lambda: report_of(rig).traffic.requests == 2)
        assert len(kept.lines) == 1

    run(scenario)


def test_a_reader_that_is_gone_slows_nobody_and_the_next_agent_goes_on(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        plan = await logged(rig)
        await rig.lab.abandon()
        for _ in range(50):
            assert (await rig.get("/"))[0] == 200
        rig.lab.told.clear()
        rig.lab.runner = rig.lab.fresh_runner()
        kept = Kept(rig)
        await rig.lab.apply(plan)
        await rig.until(lambda: rig.is_settled(plan.generation))
        await rig.get("/fixed")
        [line] = await kept.fields(1)
        assert line[8] == "418"
        await rig.until(lambda: report_of(rig).traffic.requests == 1)
        assert report_of(rig).traffic.lost_lines == 0  # of what nobody heard nobody knows

    run(scenario)


def test_a_socket_that_is_full_costs_lines_alone_and_they_are_counted(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        kept = Kept(rig)
        await logged(rig)
        await rig.get("/fixed")
        await kept.fields(1)
        home = rig.lab.directory / "balancers" / ENI
        (home / SOCKET).rename(home / "aside")
        deaf = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        deaf.bind(str(home / SOCKET))
        (home / SOCKET).chmod(0o666)
        for _ in range(400):  # more than any queue of a socket that nobody reads
            assert (await rig.get("/fixed"))[0] == 418
        deaf.close()
        (home / "aside").rename(home / SOCKET)
        await rig.get("/old")
        await kept.fields(2)
        await rig.until(lambda: report_of(rig).traffic.lost_lines == 400)
        kept.is_full = True
        await rig.get("/old")
        await rig.until(lambda: report_of(rig).traffic.lost_lines == 401)

    run(scenario)


def test_what_was_answered_is_counted_by_who_answered_it(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.apply(listeners=(rig.listener(rules=RULES),))
        client = await rig.connect()
        for path in ("/", "/x", "/old", "/fixed"):
            await client.ask(path)
        await rig.until(lambda: report_of(rig).traffic.own == (1, 1, 0))
        told = report_of(rig)
        assert told.requests == (("group", (2, 0, 0, 0, 0)),)
        assert (told.traffic.requests, told.traffic.connections, told.traffic.active) == (4, 1, 1)
        assert told.traffic.received > 0 and told.traffic.sent > 0
        client.close()
        await rig.until(lambda: report_of(rig).traffic.active == 0)
        # Another process counts anew, what it adds up to does not.
        await rig.apply()
        await rig.get("/")
        await rig.until(lambda: report_of(rig).requests == (("group", (3, 0, 0, 0, 0)),))
        assert report_of(rig).traffic.requests == 5

    run(scenario)

"""Which addresses only named registries may have, and how long a server may take. No sockets."""

from typing import Any

import pytest

from neargate.sandbox.pull.dialling import Dialler, host_and_port, is_local, is_named
from neargate.sandbox.pull.pace import Pace, Patience, TooSlow
from neargate.sandbox.pull.proxies import Ways
from neargate.sandbox.pull.transport import Origin, Transport


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.0.9", "0.0.0.0", "169.254.169.254", "169.254.170.2", "224.0.0.1", "255.255.255.255"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254"),
        *("::7f00:1", "64:ff9b::7f00:1", "2002:7f00:1::", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"),
    ],
)
def test_addresses_of_the_machine_and_its_cloud(address: str) -> None:
    assert is_local(address)


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "192.168.1.5", "172.16.0.1", "100.64.0.1", "1.1.1.1", "fd12::1", "2606:4700::1", "::ffff:10.0.0.1"],
)
def test_private_and_public_addresses_are_people_s_registries(address: str) -> None:
    assert not is_local(address)


def test_a_registry_is_named_with_its_port_or_with_all_of_them() -> None:
    named = ("127.0.0.1:5000", "Nas.lan", "[::1]:5000")
    assert is_named("127.0.0.1", 5000, named) and is_named("nas.lan", 80, named) and is_named("::1", 5000, named)
    for host, port in (("127.0.0.1", 22), ("127.0.0.1", 50000), ("localhost", 5000), ("::1", 22), ("evil.nas.lan", 80)):
        assert not is_named(host, port, named)


@pytest.mark.parametrize("url", ["http://", "http:///x", "http://a:0/", "http://a:65536/", "http://a:x/", "http://[x/"])
def test_a_url_that_leads_nowhere(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of urllib, in its own words
        host_and_port(url)


class Connection:
    closed = False

    def close(self) -> None:
        self.closed = True


def test_idle_connections_are_few_however_many_registries_there_are() -> None:
    patience = Patience(head_s=1, body_s=1, window_s=1, body_rate_min=1)
    dialler = Dialler(monotonic=lambda: 0.0, timeout_s=1, named=())
    transport = Transport(ways=Ways(dialler=dialler), patience=patience, monotonic=lambda: 0.0)
    connections: list[Any] = [Connection() for _ in range(1000)]
    for number, connection in enumerate(connections):
        transport.keep(Origin(netns_path=None, scheme="https", host=f"r{number}.example"), connection)
    open_ones = [number for number, connection in enumerate(connections) if not connection.closed]
    assert open_ones == list(range(1000 - 64, 1000)), "the newest"
    of_a_task: Any = Connection()
    transport.keep(Origin(netns_path="/x", scheme="https", host="r"), of_a_task)
    assert of_a_task.closed
    transport.close()
    assert all(connection.closed for connection in connections)
    late: Any = Connection()
    transport.keep(Origin(netns_path=None, scheme="https", host="r"), late)
    assert late.closed, "of a pull that was given up, whose thread was still at it"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def drip(self, pace: Pace, times: int, came: int) -> None:
        for _ in range(times):
            self.pass_while_waiting(pace, 1, came)

    def pass_while_waiting(self, pace: Pace, seconds: float, came: int) -> None:
        assert pace.wait_max() > 0
        pace.wait_begins()
        self.now += seconds
        pace.wait_ended(came)


def paced() -> tuple[Clock, Pace]:
    clock = Clock()
    return clock, Pace(Patience(head_s=10, body_s=100, window_s=5, body_rate_min=10), lambda: clock.now)


def test_a_head_is_due_as_a_whole() -> None:
    clock, pace = paced()
    with pytest.raises(TimeoutError):
        clock.drip(pace, 11, 1)
    assert clock.now == 10


def test_a_body_below_the_least_rate_is_too_slow_and_a_silent_one_timed_out() -> None:
    clock, pace = paced()
    pace.expect_body()
    clock.drip(pace, 10, 10)
    with pytest.raises(TooSlow):
        clock.drip(pace, 6, 9)
    pace.expect_body()
    clock.pass_while_waiting(pace, 5, 0)
    with pytest.raises(TimeoutError) as silent:
        pace.wait_max()
    assert not isinstance(silent.value, TooSlow), "a connection that is cut may be tried again"


def test_what_we_do_with_the_bytes_is_not_the_server_s_slowness_but_the_end_is_the_end() -> None:
    clock, pace = paced()
    pace.expect_body()
    for _ in range(9):
        clock.pass_while_waiting(pace, 1, 10)
        clock.now += 10  # writing it to a disk
    clock.now += 2
    with pytest.raises(TooSlow):
        pace.wait_max()


def test_a_short_document_is_due_sooner() -> None:
    clock, pace = paced()
    pace.expect_body(3)
    clock.pass_while_waiting(pace, 3, 1000)
    with pytest.raises(TooSlow):
        pace.wait_max()
